"""Scenes that differ in what has to be said of them before they are sent."""

import os
import sys

import bpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../blender/tests/scenes"))
import stage  # noqa: E402


def shot() -> bpy.types.Scene:
    scene = stage.new_scene()
    scene.name = "Shot"
    scene.frame_start, scene.frame_end, scene.frame_step = 2, 10, 4
    scene.render.filepath = "//render/shot_###"
    scene.render.image_settings.file_format = "PNG"
    return scene


shot()
bpy.data.scenes.new("Empty")
stage.save("plain.blend")

shot()
bpy.ops.mesh.primitive_grid_add()
bpy.context.object.name = "Cloth"
bpy.context.object.modifiers.new("Cloth", "CLOTH")
stage.save("cloth.blend")

scene = shot()
if hasattr(scene.render.image_settings, "media_type"):
    scene.render.image_settings.media_type = "VIDEO"
scene.render.image_settings.file_format = "FFMPEG"
stage.save("movie.blend")

shot()
bpy.ops.mesh.primitive_cube_add()
driven = bpy.context.object
driven.name = "Driven"
driver = driven.driver_add("location", 0).driver
driver.type = "SCRIPTED"
driver.expression = "[n * 2 for n in range(3)][1] + frame"
stage.save("driven.blend")

os.makedirs(os.path.join(stage.OUT, "render"), exist_ok=True)
