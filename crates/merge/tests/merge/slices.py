"""Renders one frame whole and in slices in a real Blender.

Run as `blender -b --python slices.py -- OUTDIR`, or by a Python that has bpy. Writes folders of 32-bit multilayer EXR,
each with `whole.exr` and its slices: `samples/`, `tiles/`, `both/`, `mixed/` (some samples of the whole frame, the
others of halves of it), `stereo/` (two views, by samples and tiles) and `adaptive/` (tiles of a frame with adaptive
sampling and motion vectors). A slice is named by the samples that it has, and by what is kept and what was rendered:
`0+64 0,0,18x13 0,0,26x21.exr`.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import bpy

OUT = Path(sys.argv[sys.argv.index("--") + 1])
VERSION = bpy.app.version
SIZE = (72, 40)
SAMPLES = 64
PARTS = [(0, 1), (1, 7), (8, 24), (32, 32)]
OVERSCAN = 8

Window = tuple[int, int, int, int]

LAYER_PASSES = (
    "use_pass_z",
    "use_pass_mist",
    "use_pass_position",
    "use_pass_normal",
    "use_pass_uv",
    "use_pass_object_index",
    "use_pass_material_index",
    "use_pass_diffuse_direct",
    "use_pass_diffuse_indirect",
    "use_pass_diffuse_color",
    "use_pass_glossy_direct",
    "use_pass_glossy_indirect",
    "use_pass_glossy_color",
    "use_pass_transmission_direct",
    "use_pass_transmission_indirect",
    "use_pass_transmission_color",
    "use_pass_emit",
    "use_pass_environment",
    "use_pass_ambient_occlusion",
    "use_pass_cryptomatte_object",
    "use_pass_cryptomatte_material",
    "use_pass_cryptomatte_asset",
)


def material(name: str, seed: float) -> bpy.types.Material:
    """A surface whose colours change within every pixel."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    made.pass_index = int(seed) + 1
    nodes, links = made.node_tree.nodes, made.node_tree.links
    surface = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 200 + seed
    links.new(noise.outputs["Color"], surface.inputs["Base Color"])
    surface.inputs["Roughness"].default_value = 0.3
    aov = nodes.new("ShaderNodeOutputAOV")
    if hasattr(aov, "aov_name"):
        aov.aov_name = "glow"
    else:
        aov.name = "glow"
    links.new(noise.outputs["Color"], aov.inputs["Color"])
    return made


def set_up(scene: bpy.types.Scene) -> None:
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.cycles.samples = SAMPLES
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.render.film_transparent = True
    cube = bpy.data.objects["Cube"]
    cube.data.materials.clear()
    cube.data.materials.append(material("speckled", 0))
    cube.pass_index = 3
    for number in range(12):
        angle = number * math.tau / 12
        bpy.ops.mesh.primitive_uv_sphere_add(
            radius=0.4, location=(2.2 * math.cos(angle), 2.2 * math.sin(angle), 0.2 * number - 1)
        )
        ball = bpy.context.object
        ball.name = f"ball {number}"
        ball.pass_index = number + 10
        ball.data.materials.append(material(f"ball {number}", number + 1))
    world = scene.world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.2, 0.3, 0.5, 1)
    light = bpy.data.objects["Light"]
    light.location.x += 0.5
    for layer in (scene.view_layers[0], scene.view_layers.new("Second.Layer")):
        for name in LAYER_PASSES:
            setattr(layer, name, True)
        layer.aovs.add().name = "glow"
    settings = scene.render.image_settings
    if VERSION >= (5, 0, 0):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    settings.exr_codec = "ZIP"


def render(
    scene: bpy.types.Scene,
    folder: str,
    samples: tuple[int, int] = (0, SAMPLES),
    kept: Window | None = None,
    rendered: Window | None = None,
) -> None:
    cycles = scene.cycles
    if VERSION >= (4, 4, 0):
        cycles.use_sample_subset = samples != (0, SAMPLES)
        cycles.sample_offset, cycles.sample_subset_length = samples
        cycles.samples = SAMPLES
    else:
        cycles.sample_offset, cycles.samples = samples
    scene.render.use_border = scene.render.use_crop_to_border = rendered is not None
    name = "whole"
    if rendered or samples != (0, SAMPLES):
        x, y, width, height = rendered or (0, 0, *SIZE)
        scene.render.border_min_x, scene.render.border_max_x = x / SIZE[0], (x + width) / SIZE[0]
        # Blender counts from the bottom.
        scene.render.border_min_y, scene.render.border_max_y = 1 - (y + height) / SIZE[1], 1 - y / SIZE[1]
        window = "{},{},{}x{}".format
        name = f"{samples[0]}+{samples[1]} {window(*(kept or (0, 0, *SIZE)))} {window(x, y, width, height)}"
    scene.render.filepath = str(OUT / folder / f"{name}.exr")
    bpy.ops.render.render(write_still=True)


def tiles(columns: int, rows: int) -> list[tuple[Window, Window]]:
    """What is kept of each tile, and what is rendered for it."""
    found = []
    for row in range(rows):
        for column in range(columns):
            left, right = (SIZE[0] * at // columns for at in (column, column + 1))
            top, bottom = (SIZE[1] * at // rows for at in (row, row + 1))
            x, y = max(0, left - OVERSCAN), max(0, top - OVERSCAN)
            width, height = min(SIZE[0], right + OVERSCAN) - x, min(SIZE[1], bottom + OVERSCAN) - y
            found.append(((left, top, right - left, bottom - top), (x, y, width, height)))
    return found


def main() -> None:
    scene = bpy.context.scene
    set_up(scene)
    render(scene, "samples")
    for part in PARTS:
        render(scene, "samples", samples=part)
    for kept, rendered in tiles(4, 3):
        render(scene, "tiles", kept=kept, rendered=rendered)
        # Not every tile has to be cut into the same ranges.
        cut = 16 if kept[0] else 63
        for part in ((0, cut), (cut, SAMPLES - cut)):
            render(scene, "both", samples=part, kept=kept, rendered=rendered)
    render(scene, "mixed", samples=(0, 16))
    for kept, rendered in tiles(1, 2):
        render(scene, "mixed", samples=(16, 48), kept=kept, rendered=rendered)

    scene.render.use_multiview = True
    scene.render.image_settings.views_format = "MULTIVIEW"
    render(scene, "stereo")
    for kept, rendered in tiles(1, 2):
        for part in ((0, 24), (24, 40)):
            render(scene, "stereo", samples=part, kept=kept, rendered=rendered)
    scene.render.use_multiview = False

    for layer in scene.view_layers:
        layer.use_pass_vector = True
    scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold = 0.05
    scene.cycles.adaptive_min_samples = 4
    render(scene, "adaptive")
    for kept, rendered in tiles(3, 2):
        render(scene, "adaptive", kept=kept, rendered=rendered)


main()
