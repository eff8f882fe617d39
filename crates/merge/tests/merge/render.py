"""Renders the same frame several times in a real Blender.

Run as `blender -b --python render.py -- OUTDIR`, or by a Python that has bpy. Writes `first/` and `second/`, which hold
the same frames as multilayer EXR, stereo EXR and PNG; a version that can do both also writes `interleaved/`, the EXR in
one part.
"""

import sys
from pathlib import Path

import bpy

OUT = Path(sys.argv[sys.argv.index("--") + 1])
MULTI_PART = bpy.app.version >= (5, 0, 0)


def set_up(scene: bpy.types.Scene) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 4
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_vector = layer.use_pass_diffuse_color = True
    layer.use_pass_cryptomatte_object = layer.use_pass_object_index = True
    scene.view_layers.new("Second.Layer")


def choose_format(settings: bpy.types.ImageFormatSettings, file_format: str, depth: str) -> None:
    if MULTI_PART:
        settings.media_type = "MULTI_LAYER_IMAGE" if "MULTILAYER" in file_format else "IMAGE"
    settings.file_format = file_format
    settings.color_depth = depth


def render(scene: bpy.types.Scene, name: str) -> None:
    scene.render.filepath = str(OUT / name)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    scene = bpy.context.scene
    settings = scene.render.image_settings
    set_up(scene)
    for folder in ("first", "second"):
        choose_format(settings, "OPEN_EXR_MULTILAYER", "16")
        render(scene, f"{folder}/half.exr")
        choose_format(settings, "PNG", "16")
        render(scene, f"{folder}/still.png")
        scene.render.use_multiview = True
        choose_format(settings, "OPEN_EXR_MULTILAYER", "32")
        settings.views_format = "MULTIVIEW"
        render(scene, f"{folder}/stereo.exr")
        scene.render.use_multiview = False
    if MULTI_PART:
        settings.use_exr_interleave = True
        choose_format(settings, "OPEN_EXR_MULTILAYER", "16")
        render(scene, "interleaved/half.exr")
        scene.render.use_multiview = True
        choose_format(settings, "OPEN_EXR_MULTILAYER", "32")
        render(scene, "interleaved/stereo.exr")


main()
