"""The example of the project, made small: OUT/tesserae.blend and what it uses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

SMALL = {"WIDTH, HEIGHT": "96, 54", "SAMPLES": "2", "FRAMES": "24"}

out = sys.argv[-1]
script = Path(__file__).resolve().parents[4] / "examples" / "make_scene.py"
source = script.read_text()
for name, value in SMALL.items():
    source, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", source, flags=re.MULTILINE)
    assert count == 1, f"{script} has no line {name} = ..."
sys.argv = [str(script), "--", out]
exec(compile(source, str(script), "exec"), {"__name__": "__main__", "__file__": str(script)})
