"""Renders one frame of OUT/KIND.blend with its scripts, as a user of Blender would: arguments OUT KIND FRAME."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

kind, frame = stage.ARGUMENTS[1], int(stage.ARGUMENTS[2])
bpy.ops.wm.open_mainfile(filepath=os.path.join(stage.OUT, f"{kind}.blend"), load_ui=False, use_scripts=True)
scene = bpy.context.scene
scene.frame_start, scene.frame_end = 1, frame
scene.frame_start = frame
scene.render.filepath = f"//{kind}-alone/####"
bpy.ops.render.render(animation=True)
