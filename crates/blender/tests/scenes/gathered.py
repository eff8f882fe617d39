"""OUT/proj/main.blend with files of many kinds that all show in its frames, in its folder and outside of it.

Arguments OUT KIND [VOLUMES]: see the functions. VOLUMES is where volumes.py left what it makes. Paths are relative and
absolute in turns. What the Blender at hand was built without is left out: `alembic`, `usd`, `osl` as Debian builds 3.4.
"""

import os
import shutil
import struct
import sys
from collections.abc import Callable
from typing import Any

import bpy
from mathutils import Matrix

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

BUILT_WITH = bpy.app.build_options
FRAMES = 6

KINDS: dict[str, Callable[[Any], None]] = {}


def kind(function: Callable[[Any], None]) -> Callable[[Any], None]:
    KINDS[function.__name__] = function
    return function


def out(path: str) -> str:
    path = os.path.join(stage.OUT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def relative(path: str) -> str:
    """OUT/PATH as the .blend names it."""
    return "//" + os.path.relpath(out(path), os.path.join(stage.OUT, "proj"))


def ball(place: int, name: str) -> Any:
    """One in a row of small things that take little to render."""
    bpy.ops.mesh.primitive_uv_sphere_add(
        segments=12, ring_count=8, radius=0.7, location=(place % 4 * 1.5 - 3, place // 4 * 1.5, 0)
    )
    made = bpy.context.object
    made.name = made.data.name = name
    made.data.materials.append(stage.material(name))
    return made


def colours(folder: str) -> list[str]:
    return [
        stage.write_png(f"{folder}/f_{number:04d}.png", (20 * number, 250 - 20 * number, 7 * number))
        for number in range(1, FRAMES + 1)
    ]


def movie(path: str) -> str:
    """A film of changing colours, encoded by Blender itself."""
    pictures = colours("made")
    scene = bpy.data.scenes.new("Film")
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_image("P", pictures[0], 1, 1)
    for picture in pictures[1:]:
        strip.elements.append(os.path.basename(picture))
    render = scene.render
    scene.frame_start, scene.frame_end = 1, len(pictures)
    render.resolution_x, render.resolution_y = 64, 64
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "AVI", "FFV1"
    render.filepath = out(path)
    render.use_file_extension = False
    bpy.ops.render.render(animation=True, scene="Film")
    bpy.data.scenes.remove(scene)
    shutil.rmtree(os.path.join(stage.OUT, "made"))
    return out(path)


def as_multilayer_exr(scene: Any) -> None:
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_diffuse_color = True


def hdri(scene: Any) -> None:
    light = bpy.data.images.new("Sky", 16, 8, float_buffer=True)
    light.pixels = [value for place in range(128) for value in (place / 64, 0.5, 2 - place / 64, 1)]
    light.filepath_raw, light.file_format = out("elsewhere/sky/a.hdr"), "HDR"
    light.save()
    scene.world = bpy.data.worlds.new("World")
    scene.world.use_nodes = True
    # What Blender chooses itself takes a second for each frame.
    scene.world.cycles.sampling_method, scene.world.cycles.sample_map_resolution = "MANUAL", 16
    nodes = scene.world.node_tree.nodes
    node = nodes.new("ShaderNodeTexEnvironment")
    node.image = bpy.data.images.load(out("elsewhere/sky/a.hdr"))
    bpy.data.images.remove(light)
    scene.world.node_tree.links.new(node.outputs[0], nodes["Background"].inputs[0])


def ies() -> None:
    angles, candela = range(0, 181, 45), "100 900 50 20 5"
    with open(out("elsewhere/light/spot.ies"), "w", encoding="ascii") as file:
        file.write("IESNA:LM-63-1995\n[TEST] made\nTILT=NONE\n1 1000 1 5 1 1 2 0 0 0\n1 1 100\n")
        file.write(" ".join(map(str, angles)) + "\n0\n" + candela + "\n")
    lamp = bpy.data.lights.new("Spot", "POINT")
    lamp.energy, lamp.use_nodes = 200, True
    lamp.shadow_soft_size = 0.0
    nodes = lamp.node_tree.nodes
    profile = nodes.new("ShaderNodeTexIES")
    profile.mode, profile.filepath = "EXTERNAL", relative("elsewhere/light/spot.ies")
    lamp.node_tree.links.new(profile.outputs[0], nodes["Emission"].inputs["Strength"])
    holder = bpy.data.objects.new("Spot", lamp)
    holder.location = (0, 0, 2)
    bpy.context.scene.collection.objects.link(holder)


def osl(scene: Any, owner: Any) -> None:
    """A shader of two files, compiled when it is rendered."""
    stage.bring_modules()
    scene.cycles.shading_system = True
    with open(out("elsewhere/osl/colours.h"), "w", encoding="ascii") as file:
        file.write("#define OWN color(0.9, 0.1, 0.2)\n")
    with open(out("elsewhere/osl/own.osl"), "w", encoding="ascii") as file:
        file.write('#include "colours.h"\nshader own(output color Colour = 0) { Colour = OWN * noise(P * 3); }\n')
    tree = owner.data.materials[0].node_tree
    node = tree.nodes.new("ShaderNodeScript")
    node.mode, node.filepath = "EXTERNAL", out("elsewhere/osl/own.osl")
    tree.links.new(node.outputs["Colour"], tree.nodes["Principled BSDF"].inputs["Base Color"])


def mesh_cache(owner: Any) -> None:
    """Points that move up by the frame, as PC2."""
    points = [vertex.co for vertex in owner.data.vertices]
    with open(out("elsewhere/cache/points.pc2"), "wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, len(points), 1.0, 1.0, FRAMES))
        for frame in range(FRAMES):
            for x, y, z in points:
                file.write(struct.pack("<3f", x, y, z + 0.2 * frame))
    modifier = owner.modifiers.new("Points", "MESH_CACHE")
    modifier.cache_format, modifier.filepath = "PC2", relative("elsewhere/cache/points.pc2")
    modifier.frame_start = 1


@kind
def surfaces(scene: Any) -> None:
    """HDRI, two `a.png`, tiles, a sequence, a film, a light profile, a font, a mesh cache and volumes."""
    as_multilayer_exr(scene)
    hdri(scene)
    ies()
    for place, path in enumerate(["proj/a.png", "elsewhere/a.png"]):
        image = bpy.data.images.load(stage.write_png(path, (200, 40 + 150 * place, 30)))
        if place == 0:
            image.filepath = relative(path)
        stage.texture(ball(place, f"A {place}").data.materials[0], image)

    for tile in (1001, 1002):
        stage.write_png(f"proj/tiles/skin.{tile}.png", (tile % 250, 30, 90))
    image = bpy.data.images.load(out("proj/tiles/skin.1001.png"))
    image.source, image.filepath = "TILED", relative("proj/tiles/skin.<UDIM>.png")
    image.tiles.new(tile_number=1002)
    skin = ball(2, "Skin")
    for corner in skin.data.uv_layers[0].data:
        corner.uv[0] *= 2
    stage.texture(skin.data.materials[0], image)

    image = bpy.data.images.load(colours("elsewhere/seq")[0])
    image.source = "SEQUENCE"
    user = stage.texture(ball(3, "Sequence").data.materials[0], image).image_user
    user.frame_duration, user.use_auto_refresh = FRAMES, True

    image = bpy.data.images.load(movie("elsewhere/film.avi"))
    user = stage.texture(ball(4, "Film").data.materials[0], image).image_user
    user.frame_duration, user.use_auto_refresh = FRAMES, True

    bpy.ops.object.text_add(location=(1, 0, 1))
    bpy.context.object.data.font = bpy.data.fonts.load(stage.copy_font("elsewhere/fonts"))
    bpy.context.object.data.body = "Tessera"

    mesh_cache(ball(5, "Cached"))

    for number in range(1, FRAMES + 2):
        name = f"vdb/smoke_{number:03d}.vdb"
        shutil.copy(os.path.join(stage.ARGUMENTS[2], name), out(f"elsewhere/{name}"))
    bpy.ops.object.volume_add(location=(0, 3, 1))
    bpy.context.object.scale = (0.3, 0.3, 0.3)
    if hasattr(bpy.context.scene.cycles, "volume_biased"):
        bpy.context.scene.cycles.volume_biased = True
    data = bpy.context.object.data
    data.filepath = relative("elsewhere/vdb/smoke_001.vdb")
    data.is_sequence, data.frame_start, data.frame_duration = True, 1, 8


def imported(owner: Any) -> None:
    """A shape that nodes read from a file, whose name is a node of its own."""
    bpy.ops.object.select_all(action="DESELECT")
    owner.select_set(True)
    bpy.ops.wm.stl_export(filepath=out("elsewhere/shape.stl"), export_selected_objects=True, apply_modifiers=False)
    tree = bpy.data.node_groups.new("Import", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    name, read = tree.nodes.new("FunctionNodeInputString"), tree.nodes.new("GeometryNodeImportSTL")
    name.string = out("elsewhere/shape.stl")
    tree.links.new(name.outputs[0], read.inputs["Path"])
    tree.links.new(read.outputs[0], tree.nodes.new("NodeGroupOutput").inputs[0])
    owner.modifiers.new("Import", "NODES").node_group = tree
    owner.data.transform(Matrix.Scale(0.5, 4))


def detailed(owner: Any) -> None:
    """A mesh whose details are in a file of their own, which Blender 3.4 can only name and not point elsewhere."""
    owner.modifiers.new("Detail", "MULTIRES")
    with bpy.context.temp_override(object=owner, active_object=owner):
        bpy.ops.object.multires_subdivide(modifier="Detail", mode="SIMPLE")
        path = out("elsewhere/detail.btx")
        bpy.ops.object.multires_external_save(filepath=path, modifier="Detail")


@kind
def motion(scene: Any) -> None:
    """A baked cloth; and where Blender can, Alembic in two layers, USD in two files, a shader, and a bake of nodes."""
    as_multilayer_exr(scene)
    owner = stage.cloth()
    owner.location = (1, 3, 2)
    stage.bake(scene, owner, owner.modifiers[0].point_cache, frame_start=1, frame_end=FRAMES + 1)
    if BUILT_WITH.alembic:
        alembic(ball(0, "Alembic"))
    if BUILT_WITH.usd:
        usd(ball(1, "Usd"))
    if BUILT_WITH.cycles_osl:
        osl(scene, ball(3, "Own"))
    if hasattr(bpy.types, "GeometryNodeImportSTL"):
        imported(ball(4, "Imported"))
        detailed(ball(5, "Detailed"))
    if bpy.app.version >= (4, 2, 0):
        drift = ball(2, "Drift")
        modifier = stage.drifting(drift)
        modifier.bake_target, modifier.bake_directory = "DISK", relative("elsewhere/drift")
        bpy.ops.object.geometry_node_bake_single(
            session_uid=drift.session_uid, modifier_name=modifier.name, bake_id=modifier.bakes[0].bake_id
        )


def cached(owner: Any, path: str, inner: str, stored: str) -> Any:
    """Shows a scene cache in the place of a mesh."""
    known = set(bpy.data.cache_files)
    bpy.ops.cachefile.open(filepath=path)
    [made] = set(bpy.data.cache_files) - known
    made.filepath = stored
    modifier = owner.modifiers.new("Cache", "MESH_SEQUENCE_CACHE")
    modifier.cache_file, modifier.object_path = made, inner
    return made


def alembic(owner: Any) -> None:
    """A ball that swells, and a layer over it in which it swells more."""
    for name, strength in (("base", 0.5), ("layer", 1.0)):
        swell = owner.modifiers.new("Swell", "DISPLACE")
        for frame in (1, FRAMES):
            swell.strength = strength * frame / FRAMES
            swell.keyframe_insert("strength", frame=frame)
        bpy.ops.object.select_all(action="DESELECT")
        owner.select_set(True)
        path = out(f"elsewhere/abc/{name}.abc")
        bpy.ops.wm.alembic_export(
            filepath=path, start=1, end=FRAMES, selected=True, flatten=True, as_background_job=False
        )
        owner.modifiers.remove(swell)
        owner.animation_data_clear()
    made = cached(owner, out("elsewhere/abc/base.abc"), "/Alembic/Alembic", out("elsewhere/abc/base.abc"))
    made.layers.new(filepath=out("elsewhere/abc/layer.abc"))


def usd(owner: Any) -> None:
    """A file that only refers to another one."""
    bpy.ops.object.select_all(action="DESELECT")
    owner.select_set(True)
    owner.data.transform(Matrix.Scale(2, 4))
    bpy.ops.wm.usd_export(
        filepath=out("elsewhere/usd/parts/ball.usdc"), selected_objects_only=True, export_materials=False
    )
    owner.data.transform(Matrix.Scale(0.5, 4))
    with open(out("elsewhere/usd/main.usda"), "w", encoding="ascii") as file:
        file.write('#usda 1.0\n(\n    defaultPrim = "World"\n    upAxis = "Z"\n)\n')
        file.write('def Xform "World" (\n    prepend references = @./parts/ball.usdc@\n)\n{\n}\n')
    cached(owner, out("elsewhere/usd/main.usda"), "/World/Usd/Usd", relative("elsewhere/usd/main.usda"))


@kind
def edit(scene: Any) -> None:
    """A picture and a clip in the compositor of a shot, shown by the sequencer with pictures, a film, a sound."""
    ball(0, "Ball")
    clip = bpy.data.movieclips.load(movie("elsewhere/clip/film.avi"))
    tree, target = stage.compositor(scene)
    nodes, links = tree.nodes, tree.links
    layers, mix = nodes.new("CompositorNodeRLayers"), nodes.new("CompositorNodeAlphaOver")
    plate = nodes.new("CompositorNodeImage")
    plate.image = bpy.data.images.load(stage.write_png("elsewhere/plate/a.png", (30, 200, 30)))
    film = nodes.new("CompositorNodeMovieClip")
    film.clip = clip
    over = nodes.new("CompositorNodeAlphaOver")
    for node in (mix, over):
        factor = next(socket for socket in node.inputs if socket.type == "VALUE")
        factor.default_value = 0.3
    under, top = ([socket for socket in node.inputs if socket.type == "RGBA"] for node in (mix, over))
    links.new(layers.outputs["Image"], under[0])
    links.new(plate.outputs["Image"], under[1])
    links.new(mix.outputs[0], top[0])
    links.new(film.outputs["Image"], top[1])
    links.new(over.outputs[0], target.inputs[0])

    cut = bpy.data.scenes.new("Cut")
    cut.frame_start, cut.frame_end = 1, FRAMES
    cut.render.resolution_x, cut.render.resolution_y = 96, 54
    # In the order of creation: what an image looks like is in the file of the scene that is active.
    editor = cut.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_scene("Shot", scene, 1, 1)
    pictures = colours("elsewhere/cut")
    strip = strips.new_image("Plate", pictures[0], 2, 1)
    for picture in pictures[1:FRAMES]:
        strip.elements.append(os.path.basename(picture))
    strip.blend_type, strip.blend_alpha = "ALPHA_OVER", 0.4
    strip = strips.new_movie("Film", movie("proj/film.avi"), 3, 1)
    strip.blend_type, strip.blend_alpha = "ALPHA_OVER", 0.2
    strips.new_sound("Noise", stage.write_wav("elsewhere/noise.wav"), 4, 1)
    settings = cut.render.image_settings
    settings.file_format, settings.color_mode = "PNG", "RGB"
    strip.filepath = "//film.avi"
    bpy.context.window.scene = cut


made_scene = stage.new_scene()
made_scene.frame_start, made_scene.frame_end = 1, FRAMES
bpy.context.preferences.filepaths.save_version = 0
# Only a file with a name can have relative paths, and caches on the disk.
stage.save("proj/main.blend")
KINDS[stage.ARGUMENTS[1]](made_scene)
bpy.context.scene.render.filepath = "//out/"
stage.save("proj/main.blend")
