"""Renders OUT/KIND.blend as a user of Blender would, first its range, then the frame -2: arguments OUT KIND."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

kind = stage.ARGUMENTS[1]
bpy.ops.wm.open_mainfile(filepath=os.path.join(stage.OUT, f"{kind}.blend"), load_ui=False)
scene = bpy.context.scene
render = scene.render
if render.is_movie_format:
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
bpy.ops.render.render(animation=True)
if "frame_start" in bpy.ops.render.render.get_rna_type().properties:
    bpy.ops.render.render(animation=True, frame_start=-2, frame_end=-2)
else:
    # A range of the old Blenders cannot begin below zero.
    scene.frame_set(-2)
    folder, name = os.path.split(render.filepath)
    digits = name.count("#")
    name = name.replace("#" * digits, f"-{2:0{digits}d}") if digits else f"{name}-0002"
    render.filepath = f"{folder}/{name}"
    bpy.ops.render.render(write_still=True)
