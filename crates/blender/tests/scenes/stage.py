"""What the scene scripts share: where to write, an empty scene with a camera and a light, textures, bakes."""

from __future__ import annotations

import glob
import math
import os
import shutil
import struct
import sys
import wave
import zlib
from typing import Any

import bpy

ARGUMENTS = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
OUT = os.path.abspath(ARGUMENTS[0])


def new_scene() -> Any:
    """An empty file with a camera and a light, rendered by Cycles in a blink."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.object.camera_add(location=(6, -6, 4), rotation=(math.radians(63), 0, math.radians(45)))
    scene.camera = bpy.context.object
    bpy.ops.object.light_add(type="AREA", location=(2, -2, 5))
    bpy.context.object.data.energy = 300
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 2
    scene.cycles.use_adaptive_sampling = False
    # Debian builds Blender without a denoiser.
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = 96, 54
    scene.frame_start, scene.frame_end = 1, 3
    return scene


def save(name: str) -> None:
    """Saves as OUT/NAME with paths as they were given."""
    path = os.path.join(OUT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=path, relative_remap=False)


def write_png(path: str, colour: tuple[int, int, int]) -> str:
    """A picture of 8 by 8 pixels in one colour, at OUT/PATH; returns the whole path."""
    path = os.path.join(OUT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    side = 8
    rows = (b"\0" + bytes(colour) * side) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )
    return path


def write_wav(path: str) -> str:
    """Half a second of a tone, at OUT/PATH; returns the whole path."""
    path = os.path.join(OUT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        tone = (int(9000 * math.sin(at / 4)) for at in range(4000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))
    return path


def bring_modules() -> None:
    """Makes the modules that a Blender brings besides bpy known to a Python that runs bpy."""
    sys.path += glob.glob(os.path.join(bpy.utils.resource_path("LOCAL"), "python/lib/python*/site-packages"))


def copy_font(folder: str) -> str:
    """Some font of this machine in OUT/FOLDER; returns the whole path."""
    places = ["/usr/share/fonts", os.path.join(bpy.utils.system_resource("DATAFILES"), "fonts")]
    found = [os.path.join(inner, name) for place in places for inner, _, names in os.walk(place) for name in names]
    font = min(name for name in found if name.endswith((".ttf", ".otf", ".woff2")))
    os.makedirs(os.path.join(OUT, folder), exist_ok=True)
    return shutil.copy(font, os.path.join(OUT, folder, "font" + os.path.splitext(font)[1]))


def touch(path: str) -> str:
    """A file that is only there, at OUT/PATH; returns the whole path."""
    path = os.path.join(OUT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"-")
    return path


def material(name: str) -> Any:
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    return made


def texture(made: Any, image: Any) -> Any:
    """Colours a material by an image."""
    nodes = made.node_tree.nodes
    node = nodes.new("ShaderNodeTexImage")
    node.image = image
    made.node_tree.links.new(node.outputs[0], nodes["Principled BSDF"].inputs["Base Color"])
    return node


def compositor(scene: Any) -> tuple[Any, Any]:
    """The empty node tree of a scene's compositor, and the node whose first input is its picture."""
    if bpy.app.version >= (5, 0, 0):
        tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        return tree, tree.nodes.new("NodeGroupOutput")
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    return tree, tree.nodes.new("CompositorNodeComposite")


def bake(scene: Any, owner: Any, cache: Any, **properties: Any) -> None:
    """Bakes a point cache to the disk, beside the file, which must have been saved."""
    cache.use_disk_cache = True
    for name, value in properties.items():
        setattr(cache, name, value)
    with bpy.context.temp_override(scene=scene, object=owner, active_object=owner, point_cache=cache):
        bpy.ops.ptcache.bake(bake=True)
    assert cache.is_baked


def cloth() -> Any:
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=6, y_subdivisions=6, size=3, location=(0, 0, 2))
    owner = bpy.context.object
    owner.name = "Cloth"
    owner.data.materials.append(material("M"))
    owner.modifiers.new("Cloth", "CLOTH")
    return owner


def drifting(owner: Any) -> Any:
    """Gives an object nodes that simulate how it drifts away; returns their modifier."""
    tree = bpy.data.node_groups.new("Drift", "GeometryNodeTree")
    for in_out in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=in_out, socket_type="NodeSocketGeometry")
    nodes, links = tree.nodes, tree.links
    source, target = nodes.new("NodeGroupInput"), nodes.new("NodeGroupOutput")
    begin, end = nodes.new("GeometryNodeSimulationInput"), nodes.new("GeometryNodeSimulationOutput")
    begin.pair_with_output(end)
    move = nodes.new("GeometryNodeSetPosition")
    move.inputs["Offset"].default_value = (0.2, 0.0, 0.1)
    links.new(source.outputs[0], begin.inputs["Geometry"])
    links.new(begin.outputs["Geometry"], move.inputs[0])
    links.new(move.outputs[0], end.inputs["Geometry"])
    links.new(end.outputs["Geometry"], target.inputs[0])
    modifier = owner.modifiers.new("Drift", "NODES")
    modifier.node_group = tree
    return modifier


def link(library: str, kind: str, name: str, relative: bool) -> Any:
    """Links a datablock from OUT/LIBRARY."""
    path = os.path.join(OUT, library)
    with bpy.data.libraries.load(path, link=True, relative=relative) as (_source, target):
        setattr(target, kind, [name])
    return getattr(target, kind)[0]
