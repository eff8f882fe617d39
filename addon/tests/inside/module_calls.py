"""As `calls.py`, in a Python that has bpy: FILE -- LINES."""

import sys
from pathlib import Path

import bpy
import ending

sys.path.insert(0, str(Path(__file__).parents[2]))
bpy.ops.wm.read_factory_settings()
import tessera  # noqa: E402

tessera.register()
bpy.ops.wm.open_mainfile(filepath=sys.argv[1], load_ui=False, use_scripts=False)
exec((Path(__file__).parent / "calls.py").read_text())
tessera.unregister()
ending.end()
