"""Runs the add-on's tests: python3 addon/tests/run.py --tessera PROGRAM --xtask PROGRAM [TEST...]

They take real Blenders (3.4.1, bpy 4.2 and 5.0.1), a real manager and real workers, and Xvfb for Blender's window. TEST
is as for `python3 -m unittest`: test_engine, or test_jobs.Jobs.test_results_are_brought_later.
"""

import argparse
import os
import sys
import unittest
from pathlib import Path

import stand

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--tessera", type=Path, required=True, help="the program under test")
    parser.add_argument("--xtask", type=Path, required=True, help="compares frames")
    parser.add_argument("--blender", type=Path, default=Path("/usr/bin/blender"))
    parser.add_argument("--bpy-4-2", type=Path, default=cache / "tessera/others/bpy-4.2.23/bin/python")
    parser.add_argument("--bpy-5-0", type=Path, default=cache / "tessera/bpy-5.0.1/bin/python")
    parser.add_argument("tests", nargs="*", default=[])
    chosen = parser.parse_args()
    for name in ("tessera", "xtask", "blender", "bpy_4_2", "bpy_5_0"):
        # Links stay: a Python behind a link is another environment.
        path = Path(os.path.abspath(getattr(chosen, name)))
        if not path.is_file():
            parser.error(f"there is no {path}: run scripts/setup test, and build the program")
        setattr(stand.Tools, name, path)
    names = chosen.tests or sorted(path.stem for path in HERE.glob("test_*.py"))
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    try:
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    finally:
        stand.remove_scenes()
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
