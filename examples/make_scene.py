"""Makes the example: an amphora that assembles itself, tile by tile, above a dark pool.

Run as `blender -b --python examples/make_scene.py -- OUTDIR`, or by a Python that has bpy:
`python examples/make_scene.py -- OUTDIR`. Writes `OUTDIR/tesserae.blend` with everything it uses beside it:

    tesserae.blend                          animation, light, camera, lettering; links the set
    library/set.blend                       pedestal, water, amphora; links the materials
    library/materials/materials.blend       all materials
    textures/stone/pattern.png              two pictures of one name in two folders
    textures/glaze/pattern.png

All paths in the files are relative. The same script gives the same picture: nothing depends on the time, the place or
an unseeded number. 24 frames; about one second each on one core. Frames go to `//frames/####` as multilayer EXR.
"""

from __future__ import annotations

import math
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import bpy
from mathutils import Euler, Matrix, Quaternion, Vector

Colour = tuple[float, float, float]

FRAMES = 24
WIDTH, HEIGHT = 640, 360
SAMPLES = 8

PEDESTAL_TOP = 1.02

IVORY: Colour = (0.78, 0.68, 0.50)
LAPIS: Colour = (0.015, 0.065, 0.26)
AZURE: Colour = (0.04, 0.24, 0.42)
TERRACOTTA: Colour = (0.48, 0.10, 0.035)
GOLD: Colour = (0.95, 0.60, 0.16)

# Radius of the amphora over its height, foot to lip.
PROFILE = [
    (0.00, 0.25),
    (0.05, 0.23),
    (0.12, 0.20),
    (0.25, 0.31),
    (0.45, 0.46),
    (0.68, 0.555),
    (0.88, 0.555),
    (1.05, 0.47),
    (1.18, 0.34),
    (1.28, 0.245),
    (1.40, 0.205),
    (1.52, 0.215),
    (1.60, 0.27),
    (1.64, 0.30),
]


# Pictures


def write_png(path: Path, size: int, pixel: Callable[[float, float], Colour]) -> None:
    """Writes a square 8-bit RGB picture; `pixel` gives display colours for places from 0 to 1."""
    rows = bytearray()
    for y in range(size):
        rows.append(0)
        for x in range(size):
            channels = pixel((x + 0.5) / size, (y + 0.5) / size)
            rows.extend(max(0, min(255, round(channel * 255))) for channel in channels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(rows), 9))
        + chunk(b"IEND", b"")
    )


class Noise:
    """Value noise that repeats at the edges of the picture."""

    def __init__(self, seed: int, cells: int) -> None:
        numbers = random.Random(seed)
        self.cells = cells
        self.values = [[numbers.random() for _ in range(cells)] for _ in range(cells)]

    def at(self, x: float, y: float) -> float:
        x, y = x * self.cells, y * self.cells
        left, top = math.floor(x), math.floor(y)
        across, down = smooth(x - left), smooth(y - top)

        def value(column: int, row: int) -> float:
            return self.values[row % self.cells][column % self.cells]

        upper = lerp(value(left, top), value(left + 1, top), across)
        lower = lerp(value(left, top + 1), value(left + 1, top + 1), across)
        return lerp(upper, lower, down)


def write_textures(folder: Path) -> None:
    octaves = [Noise(seed, cells) for seed, cells in ((1, 4), (2, 8), (3, 16), (4, 32))]

    def turbulence(x: float, y: float) -> float:
        return sum((noise.at(x, y) - 0.5) / 2**octave for octave, noise in enumerate(octaves))

    def stone(x: float, y: float) -> Colour:
        vein = 1 - abs(math.sin(math.pi * (2 * x + 2 * y + 2.2 * turbulence(x, y))))
        shade = 0.88 + 0.10 * turbulence(y, x) - 0.26 * vein**8
        return (shade, shade * 0.965, shade * 0.91)

    def glaze(x: float, y: float) -> Colour:
        speckle = max(0.0, octaves[3].at(x, y) - 0.72) * 1.6
        shade = 0.93 + 0.16 * turbulence(x, y) - speckle
        return (shade, shade, shade)

    write_png(folder / "stone" / "pattern.png", 256, stone)
    write_png(folder / "glaze" / "pattern.png", 256, glaze)


# Numbers


def lerp(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def smooth(share: float) -> float:
    share = max(0.0, min(1.0, share))
    return share * share * (3 - 2 * share)


def radius_at(height: float) -> float:
    """The profile, rounded between its points (Catmull-Rom)."""
    points = [PROFILE[0], *PROFILE, PROFILE[-1]]
    for index in range(1, len(points) - 2):
        (low, start), (high, end) = points[index], points[index + 1]
        if low <= height <= high and high > low:
            share = (height - low) / (high - low)
            before, after = points[index - 1][1], points[index + 2][1]
            return 0.5 * (
                2 * start
                + (end - before) * share
                + (2 * before - 5 * start + 4 * end - after) * share**2
                + (3 * start - before - 3 * end + after) * share**3
            )
    return points[-1][1]


# Files


def start_file(path: Path) -> bpy.types.Scene:
    """An empty file, saved at once so that paths in it can be relative."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)
    return bpy.context.scene


def save(path: Path) -> None:
    for mesh in bpy.data.meshes:
        # Blender 3 sums up the normals of vertices in whatever order its threads come by, so that two renders of large
        # meshes differ in their last bits. Those of corners are summed up in one order.
        if hasattr(mesh, "use_auto_smooth") and mesh.library is None:
            mesh.use_auto_smooth, mesh.auto_smooth_angle = True, math.pi
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False, relative_remap=True)


def link(path: Path, kind: str, names: list[str]) -> list[bpy.types.ID]:
    """Links data of another file by a relative path."""
    with bpy.data.libraries.load(str(path), link=True, relative=True) as (_, wanted):
        setattr(wanted, kind, list(names))
    return list(getattr(wanted, kind))


# Materials


@dataclass
class Nodes:
    """The empty node tree of a new material, and what it puts out."""

    tree: bpy.types.NodeTree
    output: bpy.types.NodeSocket

    def add(self, kind: str, **inputs: object) -> bpy.types.Node:
        """A node; values and sockets for its inputs by name or, where names repeat, by `_0`, `_1`."""
        node = self.tree.nodes.new(kind)
        for name, value in inputs.items():
            socket = node.inputs[int(name[1:]) if name.startswith("_") else name]
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            else:
                socket.default_value = (
                    (*value, 1) if isinstance(value, tuple) and len(value) == 3 and socket.type == "RGBA" else value
                )
        return node

    def calculate(self, operation: str, first: object, second: object) -> bpy.types.NodeSocket:
        """Two vectors or colours, added or multiplied, by a node that every version has."""
        node = self.add("ShaderNodeVectorMath", _0=first, _1=second)
        node.operation = operation
        return node.outputs[0]

    def finish(self, shader: bpy.types.NodeSocket) -> None:
        self.tree.links.new(shader, self.output)


def new_material(name: str) -> Nodes:
    material = bpy.data.materials.new(name)
    material.use_fake_user = True
    material.use_nodes = True
    material.node_tree.nodes.clear()
    output = material.node_tree.nodes.new("ShaderNodeOutputMaterial")
    # The fill is a look and not a lamp: nothing is to be lit by it.
    if hasattr(material.cycles, "emission_sampling"):
        material.cycles.emission_sampling = "NONE"
    else:
        material.cycles.sample_as_light = False
    return Nodes(material.node_tree, output.inputs["Surface"])


def picture(nodes: Nodes, path: Path, scale: float) -> bpy.types.NodeSocket:
    """A picture from a file, wrapped around the object from three sides, so that no mesh needs a UV map."""
    image = bpy.data.images.load(str(path))
    image.filepath = bpy.path.relpath(str(path))
    place = nodes.add("ShaderNodeTexCoord").outputs["Object"]
    mapping = nodes.add("ShaderNodeMapping", Vector=place, Scale=(scale, scale, scale))
    node = nodes.add("ShaderNodeTexImage", Vector=mapping.outputs["Vector"])
    node.image, node.projection, node.projection_blend = image, "BOX", 0.2
    return node.outputs["Color"]


def tile_colour(nodes: Nodes, path: Path) -> bpy.types.NodeSocket:
    """The colour of the object, which every tile has for itself, under the depth that the glaze gives it."""
    own = nodes.add("ShaderNodeObjectInfo").outputs["Color"]
    return nodes.calculate("MULTIPLY", own, picture(nodes, path, 3.0))


def matt(nodes: Nodes, colour: bpy.types.NodeSocket | Colour) -> bpy.types.NodeSocket:
    """A matt surface in its own fill light, cool from the right and faint from the left, worked out from the normal.

    A real fill would take half the samples and give back noise; so all of them go to the key.
    """
    normal = nodes.add("ShaderNodeNewGeometry").outputs["Normal"]
    facing = nodes.add("ShaderNodeVectorMath", _0=normal, _1=Vector((0.80, -0.45, 0.40)).normalized())
    facing.operation = "DOT_PRODUCT"
    shade = nodes.add(
        "ShaderNodeValToRGB", Fac=nodes.add("ShaderNodeMapRange", _0=facing.outputs["Value"], _1=-1.0).outputs[0]
    )
    dark, light = shade.color_ramp.elements
    dark.color, light.color = (0.016, 0.014, 0.020, 1), (0.12, 0.19, 0.29, 1)
    shade.color_ramp.interpolation = "EASE"
    fill = nodes.add("ShaderNodeEmission", Color=nodes.calculate("MULTIPLY", shade.outputs["Color"], colour))
    body = nodes.add("ShaderNodeBsdfDiffuse", Color=colour)
    return nodes.add("ShaderNodeAddShader", _0=body.outputs[0], _1=fill.outputs[0]).outputs[0]


def metal(nodes: Nodes, colour: bpy.types.NodeSocket | Colour, roughness: float) -> None:
    """Metal with some body, so that it is not black where it mirrors the night."""
    shine = nodes.add("ShaderNodeBsdfGlossy", Color=colour, Roughness=roughness)
    nodes.finish(nodes.add("ShaderNodeMixShader", _0=0.6, _1=matt(nodes, colour), _2=shine.outputs[0]).outputs[0])


def make_materials(path: Path, textures: Path) -> None:
    start_file(path)
    # Plain shaders and few of them: a farm's example should spend its second on light, not on layers nobody sees.
    stone = new_material("Stone")
    stone.finish(matt(stone, picture(stone, textures / "stone" / "pattern.png", 0.9)))

    glaze = new_material("Glaze")
    clay = matt(glaze, tile_colour(glaze, textures / "glaze" / "pattern.png"))
    shine = glaze.add("ShaderNodeBsdfGlossy", Color=(1.0, 1.0, 1.0), Roughness=0.11)
    share = glaze.add("ShaderNodeFresnel", IOR=1.55)
    glaze.finish(glaze.add("ShaderNodeMixShader", _0=share.outputs[0], _1=clay, _2=shine.outputs[0]).outputs[0])

    leaf = new_material("Gold leaf")
    metal(leaf, tile_colour(leaf, textures / "glaze" / "pattern.png"), 0.24)

    mortar = new_material("Mortar")
    mortar.finish(matt(mortar, (0.050, 0.044, 0.042)))

    water = new_material("Water")
    mirror = water.add("ShaderNodeFresnel", IOR=1.40)
    water.finish(water.add("ShaderNodeBsdfGlossy", Color=mirror.outputs[0], Roughness=0.0).outputs[0])

    metal(new_material("Brass"), (0.42, 0.20, 0.045), 0.40)
    save(path)


# The set


def new_object(
    name: str,
    vertices: list[tuple[float, float, float]],
    faces: list[tuple[int, ...]],
    material: bpy.types.Material,
    collection: bpy.types.Collection,
    *,
    shaded_smooth: bool = True,
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], faces)
    mesh.materials.append(material)
    mesh.polygons.foreach_set("use_smooth", [shaded_smooth] * len(faces))
    mesh.update()
    made = bpy.data.objects.new(name, mesh)
    collection.objects.link(made)
    return made


def box(width: float, depth: float, height: float) -> tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]:
    """A box that stands on the origin."""
    x, y = width / 2, depth / 2
    vertices = [(a * x, b * y, c) for c in (0.0, height) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    faces = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    return vertices, faces


def turned(
    outline: list[tuple[float, float]], steps: int
) -> tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]:
    """A body of revolution from its (height, radius) outline."""
    vertices = []
    for height, radius in outline:
        for step in range(steps):
            angle = 2 * math.pi * step / steps
            vertices.append((radius * math.cos(angle), radius * math.sin(angle), height))
    faces = []
    for row in range(len(outline) - 1):
        for step in range(steps):
            after = (step + 1) % steps
            faces.append((row * steps + step, row * steps + after, (row + 1) * steps + after, (row + 1) * steps + step))
    return vertices, faces


def add_bevel(to: bpy.types.Object, width: float, segments: int = 2) -> None:
    bevel = to.modifiers.new("Bevel", "BEVEL")
    bevel.width, bevel.segments = width, segments
    bevel.limit_method = "ANGLE"


def add_subdivision(to: bpy.types.Object, levels: int) -> None:
    subdivision = to.modifiers.new("Subdivision", "SUBSURF")
    subdivision.levels = subdivision.render_levels = levels


def make_pedestal(materials: dict[str, bpy.types.Material], into: bpy.types.Collection) -> None:
    """A plinth, a fluted drum that is one flute in an array, and a slab."""
    plinth = new_object("Plinth", *box(1.16, 1.16, 0.36), materials["Stone"], into, shaded_smooth=False)
    add_bevel(plinth, 0.025)
    slab = new_object("Slab", *box(0.98, 0.98, 0.11), materials["Stone"], into, shaded_smooth=False)
    slab.location.z = PEDESTAL_TOP - 0.11
    add_bevel(slab, 0.02)

    flutes, points = 20, 5
    step = 2 * math.pi / flutes
    outline = [
        (0.0, 0.46),
        (0.05, 0.46),
        (0.075, 0.42),
        (0.11, 0.405),
        (0.44, 0.39),
        (0.48, 0.405),
        (0.51, 0.44),
        (0.56, 0.44),
    ]
    vertices, faces = [], []
    for height, radius in outline:
        depth = 0.035 if 0.1 < height < 0.45 else 0.0
        for point in range(points):
            share = point / (points - 1)
            angle = (share - 0.5) * step
            deep = radius - depth * math.sin(math.pi * share)
            vertices.append((deep * math.cos(angle), deep * math.sin(angle), height))
    for row in range(len(outline) - 1):
        for point in range(points - 1):
            corner = row * points + point
            faces.append((corner, corner + 1, corner + points + 1, corner + points))
    drum = new_object("Drum", vertices, faces, materials["Stone"], into)
    drum.location.z = 0.355
    turn = bpy.data.objects.new("Drum turn", None)
    turn.location.z = drum.location.z
    turn.rotation_euler.z = step
    into.objects.link(turn)
    array = drum.modifiers.new("Array", "ARRAY")
    array.count = flutes
    array.use_relative_offset = False
    array.use_object_offset = True
    array.offset_object = turn
    array.use_merge_vertices = array.use_merge_vertices_cap = True
    add_subdivision(drum, 2)


def make_water(water: bpy.types.Material, into: bpy.types.Collection) -> None:
    """Still water to the horizon; the pedestal sends rings over it. Rows are close where the rings are."""
    outline = [(0.0, 0.3 + 0.05 * row) for row in range(90)]
    outline += [(0.0, outline[-1][1] * 1.35**row) for row in range(1, 14)]
    surface = new_object("Water", *turned(outline, 128), water, into)
    wave = surface.modifiers.new("Wave", "WAVE")
    wave.height, wave.width, wave.narrowness = 0.035, 0.55, 3.6
    wave.speed, wave.time_offset = 0.05, -200
    wave.falloff_radius = 4.6


def make_body(materials: dict[str, bpy.types.Material], into: bpy.types.Collection) -> None:
    """The amphora under the tiles: what shows between them."""
    outline = [(height, max(0.02, radius_at(height) - 0.022)) for height in (index * 1.62 / 40 for index in range(41))]
    outline = [(0.0, 0.02), *outline, (1.62, 0.2), (1.4, 0.16), (1.3, 0.02)]
    body = new_object("Body", *turned(outline, 40), materials["Mortar"], into)
    body.location.z = PEDESTAL_TOP
    add_subdivision(body, 1)


def make_set(path: Path, materials_path: Path) -> None:
    scene = start_file(path)
    names = ["Stone", "Mortar", "Water"]
    materials = dict(zip(names, link(materials_path, "materials", names), strict=True))
    collection = bpy.data.collections.new("Set")
    scene.collection.children.link(collection)
    make_pedestal(materials, collection)
    make_water(materials["Water"], collection)
    make_body(materials, collection)
    save(path)


# The tiles


@dataclass
class Tile:
    """One tile: where it ends, what it looks like, and when it flies."""

    place: Vector
    turn: Quaternion
    size: tuple[float, float, float]
    colour: Colour
    gold: bool
    start: float
    flight: float
    angle: float


def colour_of(row: int, share: float) -> tuple[Colour, bool]:
    """The bands of the amphora, foot to lip: lines of gold, a wave on the belly, leaves on the shoulder."""
    if row in (3, 15, 19, 23):
        return GOLD, True
    if row < 3 or row > 23:
        return TERRACOTTA, False
    if row in (4, 14, 20, 22):
        return IVORY, False
    if 5 <= row <= 13:
        # A zigzag of ivory, four times around, night below it and sea above.
        phase = 4 * share % 1.0
        crest = 7.0 + 4.0 * (1 - abs(2 * phase - 1))
        if abs(row - crest) < 0.62:
            return IVORY, False
        if abs(row - crest + 3.0) < 0.5 and row > 6 and abs(phase - 0.5) < 0.06:
            return GOLD, True
        return (LAPIS if row < crest else AZURE), False
    if row in (16, 17, 18):
        leaf = (12 * share + 0.5 * (row - 16)) % 1.0
        return (TERRACOTTA if leaf < 0.5 else IVORY), False
    return LAPIS, False


def tiles(numbers: random.Random) -> Iterator[Tile]:
    rows = 27
    outline = [index * 1.62 / 400 for index in range(401)]
    # Rows lie at equal distances along the outline, not along the height.
    lengths = [0.0]
    for low, high in pairwise(outline):
        lengths.append(lengths[-1] + math.hypot(high - low, radius_at(high) - radius_at(low)))
    row_length = lengths[-1] / rows
    for row in range(rows):
        index = next(index for index, length in enumerate(lengths) if length >= (row + 0.5) * row_length)
        height, radius = outline[index], radius_at(outline[index])
        slope = (radius_at(min(1.62, height + 0.01)) - radius_at(max(0.0, height - 0.01))) / 0.02
        count = 4 * max(3, round(2 * math.pi * radius / 0.098 / 4))
        for number in range(count):
            share = (number + 0.5 * (row % 2)) / count
            angle = 2 * math.pi * share
            colour, gold = colour_of(row, share)
            outward = Vector((math.cos(angle), math.sin(angle), -slope)).normalized()
            around = Vector((-math.sin(angle), math.cos(angle), 0.0))
            upward = outward.cross(around)
            turn = Matrix((around, upward, outward)).transposed().to_quaternion()
            # Set by hand: no tile lies quite like its neighbour, and each catches the light in its own moment.
            tilt = Euler((numbers.gauss(0, 0.045), numbers.gauss(0, 0.045), numbers.gauss(0, 0.02))).to_quaternion()
            shade = math.exp(numbers.gauss(0, 0.02 if gold else 0.13))
            wave = ((share * 2 + row / rows) % 1.0) * 3.0
            yield Tile(
                place=Vector((radius * math.cos(angle), radius * math.sin(angle), PEDESTAL_TOP + height)),
                turn=turn @ tilt,
                size=(2 * math.pi * radius / count * 0.90, row_length * 0.88, 0.036),
                colour=tuple(min(1.0, channel * shade) for channel in colour),
                gold=gold,
                start=lerp(-7.0, 12.0, row / (rows - 1)) + wave + numbers.uniform(-0.6, 0.6) - 1.0,
                flight=numbers.uniform(7.5, 9.0),
                angle=angle,
            )


def tile_mesh(name: str, material: bpy.types.Material) -> bpy.types.Mesh:
    """A tile of size 1 with broken edges; every tile is one of these two meshes, scaled."""
    inset, top = 0.07, 0.5
    low, high = -0.5, 0.5
    vertices = [
        *((x, y, low) for x, y in ((low, low), (high, low), (high, high), (low, high))),
        *((x, y, 0.25) for x, y in ((low, low), (high, low), (high, high), (low, high))),
        *(
            (x * (1 - 2 * inset), y * (1 - 2 * inset), top)
            for x, y in ((low, low), (high, low), (high, high), (low, high))
        ),
    ]
    faces = [(3, 2, 1, 0), (8, 9, 10, 11)]
    for ring in (0, 4):
        for corner in range(4):
            after = (corner + 1) % 4
            faces.append((ring + corner, ring + after, ring + 4 + after, ring + 4 + corner))
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], faces)
    mesh.materials.append(material)
    mesh.update()
    return mesh


def flown(tile: Tile, tumble: Quaternion, share: float) -> tuple[Vector, Quaternion]:
    """Where a tile is after a share of its flight: out of the water, around and up, and in to its place."""
    climb, close = smooth(share * 1.15), smooth((share - 0.25) / 0.75)
    angle = tile.angle - 2.3 * (1 - smooth(share)) ** 1.4
    distance = lerp(1.25 + 0.35 * math.sin(3 * tile.angle), math.hypot(tile.place.x, tile.place.y), close)
    bulge = 0.42 * math.sin(math.pi * min(1.0, share * 1.05)) * (1 - close)
    rise = lerp(-0.12, tile.place.z, climb) + 0.16 * math.sin(math.pi * share)
    place = Vector(((distance + bulge) * math.cos(angle), (distance + bulge) * math.sin(angle), rise))
    turn = tumble.slerp(tile.turn, smooth((share - 0.1) / 0.9))
    return place, turn


def make_tiles(scene: bpy.types.Scene, materials: dict[str, bpy.types.Material]) -> None:
    numbers = random.Random(79)
    meshes = {False: tile_mesh("Tile", materials["Glaze"]), True: tile_mesh("Gold tile", materials["Gold leaf"])}
    collection = bpy.data.collections.new("Tiles")
    scene.collection.children.link(collection)
    for number, tile in enumerate(tiles(numbers)):
        made = bpy.data.objects.new(f"Tile {number:04}", meshes[tile.gold])
        collection.objects.link(made)
        made.scale = tile.size
        made.color = (*tile.colour, 1)
        made.rotation_mode = "QUATERNION"
        tumble = Euler([numbers.uniform(-math.pi, math.pi) for _ in range(3)]).to_quaternion()
        animate(made, tile, tumble)


def animate(made: bpy.types.Object, tile: Tile, tumble: Quaternion) -> None:
    """One key per frame of the flight; before and after it the tile rests."""
    first = max(1, math.floor(tile.start))
    last = min(FRAMES, math.ceil(tile.start + tile.flight))
    before = None
    for frame in range(first, max(first, last) + 1):
        share = max(0.0, min(1.0, (frame - tile.start) / tile.flight))
        made.location, turn = flown(tile, tumble, share)
        # The nearer of the two quaternions of one rotation, so that nothing spins between two frames.
        if before is not None and before.dot(turn) < 0:
            turn.negate()
        made.rotation_quaternion = before = turn
        if first < last:
            made.keyframe_insert("location", frame=frame)
            made.keyframe_insert("rotation_quaternion", frame=frame)


# Light, lettering, camera


def aimed(made: bpy.types.Object, target: Vector) -> None:
    made.rotation_euler = (target - made.location).to_track_quat("-Z", "Y").to_euler()


def make_light(scene: bpy.types.Scene) -> None:
    """One lamp; the sky is only seen and mirrored, so that every sample goes to the lamp."""
    lamp = bpy.data.lights.new("Key", "AREA")
    lamp.shape = "DISK"
    lamp.size, lamp.energy, lamp.color = 1.0, 520, (1.0, 0.76, 0.52)
    key = bpy.data.objects.new("Key", lamp)
    key.location = (-3.6, -3.6, 4.3)
    scene.collection.objects.link(key)
    aimed(key, Vector((0, 0, 1.5)))

    world = bpy.data.worlds.new("World")
    scene.world = world
    world.use_nodes = True
    world.node_tree.nodes.clear()
    output = world.node_tree.nodes.new("ShaderNodeOutputWorld")
    sky = Nodes(world.node_tree, output.inputs["Surface"])
    direction = sky.add("ShaderNodeTexCoord").outputs["Generated"]
    light = dusk(sky, direction)
    # Two soft boxes that the camera never sees, but the tiles mirror: the cool fill, and an edge of light from behind.
    for towards, inner, outer, colour in (
        ((0.86, -0.46, 0.22), 0.96, 0.55, (0.75, 1.15, 1.70)),
        ((0.90, 0.34, 0.42), 0.97, 0.84, (2.0, 2.9, 4.0)),
    ):
        light = sky.calculate("ADD", light, soft_box(sky, direction, Vector(towards), inner, outer, colour))
    sky.finish(sky.add("ShaderNodeBackground", Color=light).outputs[0])
    world.cycles.sampling_method = "NONE"
    world.cycles_visibility.diffuse = False
    world.mist_settings.start, world.mist_settings.depth = 4, 12


def dusk(sky: Nodes, direction: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """A glow on the horizon behind the amphora, wider than high, that sinks into night."""
    flat = sky.calculate("MULTIPLY", direction, Vector((0.85, 1.0, 2.3)))
    away = sky.add("ShaderNodeVectorMath", _0=flat, _1=Vector((0.0, 1.0, 0.03)))
    away.operation = "DISTANCE"
    shade = sky.add("ShaderNodeValToRGB", Fac=away.outputs["Value"])
    ramp = shade.color_ramp
    ramp.interpolation = "B_SPLINE"
    stops = [
        (0.00, (0.62, 0.27, 0.095)),
        (0.08, (0.30, 0.15, 0.085)),
        (0.20, (0.055, 0.068, 0.080)),
        (0.42, (0.010, 0.026, 0.044)),
        (1.00, (0.002, 0.005, 0.013)),
    ]
    while len(ramp.elements) < len(stops):
        ramp.elements.new(1.0)
    for element, (place, colour) in zip(ramp.elements, stops, strict=True):
        element.position, element.color = place, (*colour, 1)
    return shade.outputs["Color"]


def soft_box(
    sky: Nodes, direction: bpy.types.NodeSocket, towards: Vector, inner: float, outer: float, colour: Colour
) -> bpy.types.NodeSocket:
    """A round light in the sky; `inner` and `outer` are the cosines between which it fades."""
    facing = sky.add("ShaderNodeVectorMath", _0=direction, _1=towards.normalized())
    facing.operation = "DOT_PRODUCT"
    fade = sky.add("ShaderNodeMapRange", _0=facing.outputs["Value"], _1=outer, _2=inner)
    fade.interpolation_type = "SMOOTHSTEP"
    return sky.calculate("MULTIPLY", fade.outputs["Result"], Vector(colour))


def make_lettering(scene: bpy.types.Scene, brass: bpy.types.Material) -> None:
    curve = bpy.data.curves.new("Lettering", "FONT")
    curve.body = "TESSERAE"
    curve.align_x, curve.align_y = "CENTER", "CENTER"
    curve.size, curve.space_character = 0.175, 1.12
    curve.extrude, curve.bevel_depth, curve.bevel_resolution = 0.012, 0.004, 0
    # A text has no normals of corners (see `save`). With fewer than 1,000 faces Blender 3 uses one thread for them.
    curve.resolution_u = 4
    curve.materials.append(brass)
    made = bpy.data.objects.new("Lettering", curve)
    made.location = (0, -0.588, 0.20)
    made.rotation_euler = (math.pi / 2, 0, 0)
    scene.collection.objects.link(made)


def make_camera(scene: bpy.types.Scene) -> None:
    camera = bpy.data.cameras.new("Camera")
    camera.lens = 47
    camera.dof.use_dof = True
    camera.dof.aperture_fstop = 2.4
    made = bpy.data.objects.new("Camera", camera)
    scene.collection.objects.link(made)
    scene.camera = made
    aim = Vector((0, 0, 1.24))
    for frame in range(1, FRAMES + 1):
        share = smooth((frame - 1) / (FRAMES - 1))
        angle = math.radians(lerp(-98, -83, share))
        distance = lerp(7.9, 7.3, share)
        made.location = (distance * math.cos(angle), distance * math.sin(angle), lerp(1.75, 1.45, share))
        aimed(made, aim)
        camera.dof.focus_distance = (aim - made.location).length - 0.45
        made.keyframe_insert("location", frame=frame)
        made.keyframe_insert("rotation_euler", frame=frame)
        camera.dof.keyframe_insert("focus_distance", frame=frame)


def set_up_render(scene: bpy.types.Scene) -> None:
    render, cycles, layer = scene.render, scene.cycles, scene.view_layers[0]
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.fps = 12
    scene.frame_start, scene.frame_end = 1, FRAMES
    cycles.device = "CPU"
    cycles.samples = SAMPLES
    cycles.seed = 1
    # Exact in tiles and sample ranges, and without the denoiser that not every build has.
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    cycles.max_bounces = 2
    cycles.diffuse_bounces = 0
    cycles.glossy_bounces = 2
    cycles.transmission_bounces = cycles.volume_bounces = 0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.blur_glossy = 0.6
    cycles.sample_clamp_indirect = 2.0
    if hasattr(cycles, "use_light_tree"):
        cycles.use_light_tree = False
    scene.view_settings.view_transform = "Standard"
    layer.use_pass_z = layer.use_pass_mist = layer.use_pass_normal = layer.use_pass_diffuse_color = True
    layer.use_pass_cryptomatte_object = True
    layer.pass_cryptomatte_depth = 4
    settings = render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "16"
    settings.exr_codec = "ZIP"
    render.filepath = "//frames/####"


def make_main(path: Path, set_path: Path, materials_path: Path) -> None:
    scene = start_file(path)
    names = ["Glaze", "Gold leaf", "Brass"]
    materials = dict(zip(names, link(materials_path, "materials", names), strict=True))
    (collection,) = link(set_path, "collections", ["Set"])
    scene.collection.children.link(collection)
    make_tiles(scene, materials)
    make_light(scene)
    make_lettering(scene, materials["Brass"])
    make_camera(scene)
    set_up_render(scene)
    scene.frame_set(1)
    save(path)


def main() -> None:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if len(arguments) != 1:
        sys.exit("usage: blender -b --python make_scene.py -- OUTDIR")
    out = Path(arguments[0]).resolve()
    materials_path = out / "library" / "materials" / "materials.blend"
    set_path = out / "library" / "set.blend"
    write_textures(out / "textures")
    make_materials(materials_path, out / "textures")
    make_set(set_path, materials_path)
    make_main(out / "tesserae.blend", set_path, materials_path)
    print(f"wrote {out / 'tesserae.blend'}")


main()
