"""How late a timer of Blender's window comes while a scene is sent: python3 addon/tests/lateness.py --tessera PROGRAM

A manager and two workers of one thread on this machine, Blender 3.4.1's own window under Xvfb. The scene is sent by
the panel's button; the second time its blocks are on the farm already. Prints a line of JSON for each time: `idle`
before it and `sending` from the end of the saving until the farm has the job, each with `p99_ms`, `worst_ms` and
`ticks` of a timer that wants to be called every 10 ms, and `saving_ms`, which Blender takes to write the file.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import stand


def measure(farm: stand.Farm, blend: Path, megabytes: int) -> dict[str, Any]:
    """Makes a scene of this size unless it is there, sends it, and gives what was seen."""
    if not blend.exists():
        script = stand.REPOSITORY / "examples/make_light.py"
        farm.user.blender("-b", "--factory-startup", "--python", script, "--", blend, "--heavy-mesh", megabytes)
    said = farm.user.window("lateness", blend)
    found = next(line for line in said.splitlines() if line.startswith("LATENESS"))
    return {"bytes": blend.stat().st_size, **json.loads(found.removeprefix("LATENESS"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", type=Path, required=True, help="the program that is measured")
    parser.add_argument("--blender", type=Path, default=Path("/usr/bin/blender"))
    parser.add_argument("--megabytes", type=int, default=500, help="size of the scene")
    chosen = parser.parse_args()
    stand.Tools.tessera = Path(os.path.abspath(chosen.tessera))
    stand.Tools.blender = Path(os.path.abspath(chosen.blender))
    folder = Path(tempfile.mkdtemp(prefix="tessera-lateness-"))
    try:
        farm = stand.Farm(folder / "farm")
        try:
            farm.user.install_addon()
            for _ in range(2):
                print(json.dumps(measure(farm, folder / "heavy.blend", chosen.megabytes)), flush=True)
        finally:
            farm.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
