"""Makes the still that farm-wide adaptive sampling is measured with: glass, metal and paint under a small light.

Run as `blender -b --python examples/make_still.py -- FOLDER SEED...`, or by a Python that has bpy. Writes
`FOLDER/still-SEED.blend` for each seed of the samples, all else the same: 192 by 108 pixels, at most 1,024 samples,
noise threshold 0.01. The floor needs few samples, what is seen through the glass and below it many. Frames go to
`//frames/still_####` as multilayer EXR.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import bpy

WIDTH, HEIGHT = 192, 108
SAMPLES = 1024
THRESHOLD = 0.01

Colour = tuple[float, float, float]


def material(name: str, colour: Colour, roughness: float, **inputs: float) -> Any:
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = roughness
    for name, value in inputs.items():
        # Called "Transmission" before 4.0, "Transmission Weight" since.
        socket = next(socket for socket in shader.inputs if socket.name.startswith(name))
        socket.default_value = value
    return made


def furnish() -> None:
    bpy.ops.mesh.primitive_plane_add(size=20)
    bpy.context.object.data.materials.append(material("Floor", (0.6, 0.6, 0.6), 0.5))
    bpy.ops.mesh.primitive_uv_sphere_add(location=(-1.2, 0, 1))
    bpy.context.object.data.materials.append(material("Copper", (0.8, 0.2, 0.1), 0.2, Metallic=1))
    bpy.ops.mesh.primitive_uv_sphere_add(location=(1.2, 0, 1))
    bpy.ops.object.shade_smooth()
    bpy.context.object.data.materials.append(material("Glass", (1, 1, 1), 0, Transmission=1))
    bpy.ops.mesh.primitive_cube_add(location=(0, 3, 1.5))
    bpy.context.object.data.materials.append(material("Paint", (0.1, 0.4, 0.8), 0.6))
    bpy.ops.object.light_add(type="AREA", location=(3, -3, 5))
    bpy.context.object.data.energy = 600
    bpy.context.object.data.size = 0.7
    bpy.ops.object.light_add(type="POINT", location=(-4, 2, 3))
    bpy.context.object.data.energy = 200


def settle(scene: Any) -> None:
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = 0.1, 0.15, 0.25
    bpy.ops.object.camera_add(location=(0, -8, 3), rotation=(math.radians(75), 0, 0))
    scene.camera = bpy.context.object
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = WIDTH, HEIGHT
    cycles.samples = SAMPLES
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = THRESHOLD
    cycles.use_denoising = False
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    render.image_settings.color_depth = "32"
    render.filepath = "//frames/still_####"


def main() -> None:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    folder, *seeds = arguments
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    furnish()
    settle(scene)
    for seed in seeds:
        scene.cycles.seed = int(seed)
        bpy.ops.wm.save_as_mainfile(filepath=str(Path(folder).absolute() / f"still-{seed}.blend"))


main()
