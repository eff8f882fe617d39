"""Writes what fuzzing starts from: small frames of a real Blender, in every layout and codec that it writes.

Run as `blender -b --factory-startup --python seeds.py -- OUTDIR`, or by a Python that has bpy. Fills OUTDIR/read with
frames of 16×12 pixels, and OUTDIR/merge with several of them in one file, in the form that `src/lib.rs` reads.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import bpy

OUT = Path(sys.argv[sys.argv.index("--") + 1])
MULTI_PART = bpy.app.version >= (5, 0, 0)
WIDTH, HEIGHT, SAMPLES = 16, 12, 2
ALLOWED, RANGES = 1, 2
CODECS = {"16": ["NONE", "ZIP", "PIZ", "RLE", "B44", "DWAA"], "32": ["NONE", "ZIP", "ZIPS", "PIZ", "PXR24", "DWAB"]}


def set_up(scene: bpy.types.Scene) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = WIDTH, HEIGHT, 100
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = True
    layer.use_pass_diffuse_direct = layer.use_pass_diffuse_color = True
    layer.use_pass_cryptomatte_object = True
    layer.pass_cryptomatte_depth = 2
    settings = scene.render.image_settings
    if MULTI_PART:
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"


def render(scene: bpy.types.Scene, name: str) -> bytes:
    path = OUT / "read" / f"{bpy.app.version[0]}.{bpy.app.version[1]}-{name}.exr"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return path.read_bytes()


def packed(flags: int, width: int, samples: int, files: list[tuple[tuple[int, ...], bytes]]) -> bytes:
    parts = [struct.pack("<4H", flags, width, HEIGHT, samples)]
    for (x, offset, count), file in files:
        parts.append(struct.pack("<7H", x, 0, WIDTH, HEIGHT, offset, count, len(file)) + file)
    return b"".join(parts)


def main() -> None:
    scene = bpy.context.scene
    settings = scene.render.image_settings
    set_up(scene)
    for folder in ("read", "merge"):
        (OUT / folder).mkdir(parents=True, exist_ok=True)
    for depth, codecs in CODECS.items():
        for codec in codecs:
            settings.color_depth, settings.exr_codec = depth, codec
            name = f"{codec.lower()}-{depth}"
            file = render(scene, name)
            tiles = packed(0, 2 * WIDTH, SAMPLES, [((0, 0, SAMPLES), file), ((WIDTH, 0, SAMPLES), file)])
            ranges = packed(RANGES, WIDTH, 2 * SAMPLES, [((0, 0, SAMPLES), file), ((0, SAMPLES, SAMPLES), file)])
            so_far = packed(ALLOWED | RANGES, 2 * WIDTH, 2 * SAMPLES, [((WIDTH, SAMPLES, SAMPLES), file)])
            for kind, made in (("tiles", tiles), ("ranges", ranges), ("so-far", so_far)):
                (OUT / "merge" / f"{bpy.app.version[0]}.{bpy.app.version[1]}-{kind}-{name}").write_bytes(made)
    settings.color_depth, settings.exr_codec = "16", "ZIP"
    if MULTI_PART:
        settings.use_exr_interleave = True
        render(scene, "interleaved")
        settings.use_exr_interleave = False
    scene.render.use_multiview = True
    settings.views_format = "MULTIVIEW"
    render(scene, "stereo")


main()
