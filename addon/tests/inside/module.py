"""Renders an animation in a Python that has bpy: FILE OUTPUT FIRST LAST ENGINE, with TESSERA on the farm."""

import sys
from pathlib import Path

import bpy
import ending

blend, output, first, last, engine = sys.argv[1:6]
bpy.ops.wm.read_factory_settings()
if engine == "TESSERA":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import tessera

    tessera.register()
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False, use_scripts=False)
scene = bpy.context.scene
scene.render.filepath = output
scene.frame_start, scene.frame_end = int(first), int(last)
scene.render.engine = engine
bpy.ops.render.render(animation=True)
if engine == "TESSERA":
    tessera.unregister()
ending.end()
