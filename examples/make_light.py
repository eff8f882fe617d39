"""Makes the scenes of the benches: frames that cost next to nothing, and a file that is heavy to send.

Run as `blender -b --python examples/make_light.py -- OUT.blend [--heavy-mesh MB]`, or by a Python that has bpy.

Sixty subdivided objects, 160 by 90 pixels, 4 samples, 500 frames in which only the camera moves: a frame is as good as
free where the scene stays loaded, and costs a second where it does not. With `--heavy-mesh` a mesh is added that makes
the file about so many megabytes; its points are noise, so that compression helps little. Files are saved uncompressed,
the same script gives the same scene, and frames go to `//frames/####` as multilayer EXR.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from array import array
from pathlib import Path

import bpy
from mathutils import Vector

FRAMES = 500
OBJECTS = 60
FRAMES_PER_TURN = 250

# What a point and its share of edges and faces take in a file (3.4 writes 84 bytes, 5.0 writes 82), and all the rest.
BYTES_PER_POINT = 83
OTHER_BYTES = 5_000_000


def add_material(name: str, colour: tuple[float, float, float]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = 0.4
    return material


def add_objects(scene: bpy.types.Scene) -> None:
    """Heads on a spiral, each a mesh of its own under a subdivision modifier."""
    bpy.ops.mesh.primitive_monkey_add()
    first = bpy.context.object
    first.data.polygons.foreach_set("use_smooth", [True] * len(first.data.polygons))
    colours = [(0.55, 0.12, 0.05), (0.70, 0.60, 0.42), (0.03, 0.10, 0.32), (0.80, 0.48, 0.10)]
    materials = [add_material(f"Colour {index}", colour) for index, colour in enumerate(colours)]
    for index in range(OBJECTS):
        made = first if index == 0 else first.copy()
        if index > 0:
            made.data = first.data.copy()
            scene.collection.objects.link(made)
        made.name = f"Head {index:02}"
        angle, distance = index * 2.399963, 0.9 * math.sqrt(index)
        made.location = (distance * math.cos(angle), distance * math.sin(angle), 0.5)
        made.rotation_euler = (0, 0, angle + math.pi / 2)
        made.scale = (0.55, 0.55, 0.55)
        made.data.materials.clear()
        made.data.materials.append(materials[index % len(materials)])
        subdivision = made.modifiers.new("Subdivision", "SUBSURF")
        subdivision.levels = subdivision.render_levels = 1


def add_heavy_mesh(scene: bpy.types.Scene, megabytes: int) -> None:
    """A floor of noise."""
    side = math.isqrt(max(4 * BYTES_PER_POINT, megabytes * 1_000_000 - OTHER_BYTES) // BYTES_PER_POINT)
    numbers = random.Random(11)
    points = array("f")
    for row in range(side):
        for column in range(side):
            points.extend((column / side - 0.5, row / side - 0.5, numbers.random() * 0.0005))
    faces = array("i")
    for row in range(side - 1):
        for corner in range(row * side, row * side + side - 1):
            faces.extend((corner, corner + 1, corner + side + 1, corner + side))
    mesh = bpy.data.meshes.new("Floor")
    mesh.vertices.add(side * side)
    mesh.vertices.foreach_set("co", points)
    mesh.loops.add(len(faces))
    mesh.loops.foreach_set("vertex_index", faces)
    mesh.polygons.add(len(faces) // 4)
    mesh.polygons.foreach_set("loop_start", range(0, len(faces), 4))
    if bpy.app.version < (4, 1, 0):
        mesh.polygons.foreach_set("loop_total", [4] * (len(faces) // 4))
    mesh.update(calc_edges=True)
    floor = bpy.data.objects.new("Floor", mesh)
    floor.scale = (40, 40, 40)
    scene.collection.objects.link(floor)


def add_light_and_camera(scene: bpy.types.Scene) -> None:
    sun = bpy.data.lights.new("Sun", "SUN")
    sun.energy, sun.angle = 3.0, 0.1
    made = bpy.data.objects.new("Sun", sun)
    made.rotation_euler = (0.8, 0.2, 0.4)
    scene.collection.objects.link(made)
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.10, 0.12, 0.16)

    made = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(made)
    scene.camera = made
    for frame in range(1, FRAMES + 1):
        angle = 2 * math.pi * frame / FRAMES_PER_TURN
        made.location = (12 * math.cos(angle), 12 * math.sin(angle), 5 + math.sin(3 * angle))
        made.rotation_euler = (Vector((0, 0, 0.3)) - made.location).to_track_quat("-Z", "Y").to_euler()
        made.keyframe_insert("location", frame=frame)
        made.keyframe_insert("rotation_euler", frame=frame)


def set_up_render(scene: bpy.types.Scene) -> None:
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = 160, 90, 100
    scene.frame_start, scene.frame_end = 1, FRAMES
    cycles.device = "CPU"
    cycles.samples = 4
    cycles.max_bounces = 2
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    settings = render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "16"
    render.filepath = "//frames/####"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make_light.py")
    parser.add_argument("out", type=Path)
    parser.add_argument("--heavy-mesh", type=int, default=0, metavar="MB")
    arguments = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
    out = arguments.out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    add_objects(scene)
    if arguments.heavy_mesh > 0:
        add_heavy_mesh(scene, arguments.heavy_mesh)
    add_light_and_camera(scene)
    set_up_render(scene)
    scene.frame_set(1)
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(out), compress=False)
    print(f"wrote {out}: {out.stat().st_size / 1e6:.1f} MB")


main()
