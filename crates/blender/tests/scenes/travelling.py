"""OUT/main.blend, whose frames are made of files of one kind: see the functions.

Arguments OUT KIND. Paths are absolute, so that nothing is found in another place by itself.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

KINDS: dict[str, Callable[[Any], None]] = {}


def kind(function: Callable[[Any], None]) -> Callable[[Any], None]:
    KINDS[function.__name__] = function
    return function


def monkey() -> Any:
    bpy.ops.mesh.primitive_monkey_add()
    made = bpy.context.object
    made.data.materials.append(stage.material("M"))
    return made


def ten_pictures() -> Any:
    """Ten pictures, a new one in each frame; returns what chooses it."""
    for number in range(1, 11):
        stage.write_png(f"seq/f_{number:04d}.png", (20 * number, 250 - 20 * number, 7 * number))
    image = bpy.data.images.load(os.path.join(stage.OUT, "seq/f_0001.png"))
    image.source = "SEQUENCE"
    node = stage.texture(monkey().data.materials[0], image)
    node.image_user.frame_duration = 10
    node.image_user.use_auto_refresh = True
    return node.image_user


@kind
def image_sequence(_scene: Any) -> None:
    ten_pictures()


@kind
def image_cyclic(_scene: Any) -> None:
    """Numbers 3 to 6 over and over."""
    user = ten_pictures()
    user.use_cyclic, user.frame_duration, user.frame_start, user.frame_offset = True, 4, 4, 2


@kind
def image_late(_scene: Any) -> None:
    user = ten_pictures()
    user.frame_start = 5


@kind
def image_animated(_scene: Any) -> None:
    """What chooses the picture moves itself."""
    ten_pictures().keyframe_insert("frame_offset", frame=1)


@kind
def image_in_a_scene_strip(scene: Any) -> None:
    """A strip may show a scene at any of its frames."""
    ten_pictures()
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_scene("Scene", bpy.data.scenes.new("Other"), 1, 1)


@kind
def image_under_a_moving_shutter(scene: Any) -> None:
    ten_pictures()
    scene.render.keyframe_insert("motion_blur_shutter", frame=1)


@kind
def image_with_a_script(_scene: Any) -> None:
    ten_pictures()
    bpy.data.texts.new("own.py").use_module = True


@kind
def views(scene: Any) -> None:
    """A picture for each eye, shown by the compositor, and none under the name that the image has."""
    scene.render.use_multiview = True
    bare = stage.write_png("eyes/wall.png", (9, 9, 9))
    stage.write_png("eyes/wall_L.png", (240, 40, 40))
    stage.write_png("eyes/wall_R.png", (40, 40, 240))
    image = bpy.data.images.load(bare)
    image.use_multiview = True
    image.views_format = "INDIVIDUAL"
    os.remove(bare)
    tree, target = stage.compositor(scene)
    node = tree.nodes.new("CompositorNodeImage")
    node.image = image
    tree.links.new(node.outputs["Image"], target.inputs[0])


@kind
def udim(_scene: Any) -> None:
    """Tiles, of which none is named so."""
    for tile in (1001, 1002):
        stage.write_png(f"tiles/skin.{tile}.png", (tile % 250, 30, 90))
    image = bpy.data.images.load(os.path.join(stage.OUT, "tiles/skin.1001.png"))
    image.source = "TILED"
    image.filepath = os.path.join(stage.OUT, "tiles/skin.<UDIM>.png")
    image.tiles.new(tile_number=1002)
    stage.texture(monkey().data.materials[0], image)


def volume(mode: str) -> Any:
    """The volumes of volumes.py."""
    bpy.ops.object.volume_add()
    data = bpy.context.object.data
    data.filepath = os.path.join(stage.OUT, "vdb/smoke_001.vdb")
    data.is_sequence = True
    data.frame_start, data.frame_duration, data.frame_offset = 2, 4, 1
    data.sequence_mode = mode
    return data


@kind
def volume_clip(_scene: Any) -> None:
    volume("CLIP")


@kind
def volume_extend(_scene: Any) -> None:
    volume("EXTEND")


@kind
def volume_repeat(_scene: Any) -> None:
    volume("REPEAT")


@kind
def volume_ping_pong(_scene: Any) -> None:
    volume("PING_PONG")


@kind
def volume_animated(_scene: Any) -> None:
    """What chooses the frame moves itself."""
    data = volume("EXTEND")
    data.keyframe_insert("frame_offset", frame=1)


@kind
def volume_remapped(scene: Any) -> None:
    volume("EXTEND")
    scene.render.frame_map_old, scene.render.frame_map_new = 100, 50


@kind
def clip(scene: Any) -> None:
    """A clip of pictures in the compositor, that begins with the fourth frame at its number 3."""
    for number in range(1, 11):
        stage.write_png(f"clip/c_{number:03d}.png", (20 * number, 250 - 20 * number, 7 * number))
    made = bpy.data.movieclips.load(os.path.join(stage.OUT, "clip/c_002.png"))
    made.frame_start, made.frame_offset = 4, 1
    tree, target = stage.compositor(scene)
    node = tree.nodes.new("CompositorNodeMovieClip")
    node.clip = made
    tree.links.new(node.outputs["Image"], target.inputs[0])


@kind
def strip(scene: Any) -> None:
    """Pictures in the sequencer, from frame 3 on, the last one held."""
    for number in range(1, 7):
        stage.write_png(f"cut/s_{number:03d}.png", (40 * number, 250 - 40 * number, 7 * number))
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    made = strips.new_image("Plate", os.path.join(stage.OUT, "cut/s_001.png"), 1, 3)
    for number in range(2, 7):
        made.elements.append(f"s_{number:03d}.png")
    made.frame_final_duration = 10
    made.directory = os.path.join(stage.OUT, "cut")


@kind
def strip_views(scene: Any) -> None:
    """Pictures in the sequencer, one for each eye; the strip names those of the left one."""
    scene.render.use_multiview = True
    for number in range(1, 5):
        stage.write_png(f"cut/s_{number:03d}_L.png", (50 * number, 40, 40))
        stage.write_png(f"cut/s_{number:03d}_R.png", (40, 40, 50 * number))
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    made = strips.new_image("Plate", os.path.join(stage.OUT, "cut/s_001_L.png"), 1, 1)
    for number in range(2, 5):
        made.elements.append(f"s_{number:03d}_L.png")
    made.frame_final_duration = 4
    made.use_multiview = True
    made.views_format = "INDIVIDUAL"
    made.directory = os.path.join(stage.OUT, "cut")


@kind
def cloth_baked(scene: Any) -> None:
    owner = stage.cloth()
    stage.bake(scene, owner, owner.modifiers[0].point_cache, frame_start=1, frame_end=8)


@kind
def cloth_blurred(scene: Any) -> None:
    """A shutter that is open for three frames."""
    owner = stage.cloth()
    scene.render.use_motion_blur = True
    scene.render.motion_blur_shutter = 3.0
    stage.bake(scene, owner, owner.modifiers[0].point_cache, frame_start=1, frame_end=10)


def particles(scene: Any, step: int) -> None:
    bpy.ops.mesh.primitive_plane_add(size=2, location=(0, 0, 1))
    owner = bpy.context.object
    owner.name = "Emitter"
    modifier = owner.modifiers.new("Dust", "PARTICLE_SYSTEM")
    system = modifier.particle_system
    bpy.ops.mesh.primitive_uv_sphere_add(segments=8, ring_count=4, radius=1.0, location=(0, 0, 50))
    grain = bpy.context.object
    settings = system.settings
    settings.count, settings.frame_start, settings.frame_end, settings.lifetime = 30, 1, 6, 20
    settings.render_type, settings.instance_object, settings.particle_size = "OBJECT", grain, 0.2
    stage.bake(scene, owner, system.point_cache, frame_start=1, frame_end=9, frame_step=step)


@kind
def particles_baked(scene: Any) -> None:
    particles(scene, 1)


@kind
def particles_in_steps(scene: Any) -> None:
    """Between two steps Blender interpolates."""
    particles(scene, 4)


@kind
def cloth_external(scene: Any) -> None:
    """A bake that was put elsewhere."""
    owner = stage.cloth()
    cache = owner.modifiers[0].point_cache
    stage.bake(scene, owner, cache, frame_start=1, frame_end=8)
    baked, moved = os.path.join(stage.OUT, "blendcache_main"), os.path.join(stage.OUT, "moved")
    os.mkdir(moved)
    for name in os.listdir(baked):
        os.rename(os.path.join(baked, name), os.path.join(moved, "Sheet" + name[name.index("_") :]))
    cache.use_external = True
    cache.name = "Sheet"
    cache.filepath = moved


@kind
def half_baked(scene: Any) -> None:
    """One cloth is baked, and another writes what it simulates to the disk."""
    other = stage.cloth()
    other.modifiers[0].point_cache.use_disk_cache = True
    owner = stage.cloth()
    stage.bake(scene, owner, owner.modifiers[0].point_cache, frame_start=1, frame_end=8)


@kind
def ocean(_scene: Any) -> None:
    """Pictures of a baked sea; after its last frame, that."""
    bpy.ops.mesh.primitive_plane_add(size=4)
    sea = bpy.context.object
    sea.data.materials.append(stage.material("M"))
    modifier = sea.modifiers.new("Sea", "OCEAN")
    modifier.resolution = modifier.viewport_resolution = 4
    modifier.frame_start, modifier.frame_end = 1, 6
    modifier.filepath = os.path.join(stage.OUT, "sea")
    for frame in (1, 10):
        modifier.time = frame / 2
        modifier.keyframe_insert("time", frame=frame)
    with bpy.context.temp_override(object=sea, active_object=sea):
        bpy.ops.object.ocean_bake(modifier="Sea")
    # Without a window nothing tells Blender that the bake has ended. The mark lies before that of the kind of geometry.
    memory = (ctypes.c_char * 2048).from_address(modifier.as_pointer())
    modifier.geometry_mode = "DISPLACE"
    before = bytes(memory)
    modifier.geometry_mode = "GENERATE"
    after = bytes(memory)
    [kind_of_geometry] = [place for place, old in enumerate(before) if (old, after[place]) == (1, 0)]
    memory[kind_of_geometry - 1] = 1
    assert modifier.is_cached


@kind
def fluid(_scene: Any) -> None:
    """The cache of a fluid, by its names only: it is never rendered."""
    bpy.ops.mesh.primitive_cube_add(size=4)
    modifier = bpy.context.object.modifiers.new("Fluid", "FLUID")
    modifier.fluid_type = "DOMAIN"
    modifier.domain_settings.cache_type = "ALL"
    modifier.domain_settings.cache_directory = os.path.join(stage.OUT, "fluid")
    modifier.show_viewport = False
    for number in range(1, 4):
        stage.touch(f"fluid/config/config_{number:04d}.uni")
        stage.touch(f"fluid/data/fluid_data_{number:04d}.vdb")


@kind
def nodes_bake(_scene: Any) -> None:
    """A simulation of geometry nodes, baked; what does not change is stored with the first step."""
    owner = monkey()
    modifier = stage.drifting(owner)
    modifier.bake_target = "DISK"
    modifier.bake_directory = os.path.join(stage.OUT, "drift")
    bake_id = modifier.bakes[0].bake_id
    bpy.ops.object.geometry_node_bake_single(session_uid=owner.session_uid, modifier_name="Drift", bake_id=bake_id)
    # The name of a bake is drawn by lot.
    os.rename(os.path.join(stage.OUT, "drift", str(bake_id)), os.path.join(stage.OUT, "drifted"))
    os.rmdir(os.path.join(stage.OUT, "drift"))
    modifier.bakes[0].use_custom_path = True
    modifier.bakes[0].directory = os.path.join(stage.OUT, "drifted")
    modifier.bake_directory = ""


@kind
def usd_sequence(_scene: Any) -> None:
    """A cube that grows, a file for each frame."""
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    for number in range(1, 8):
        cube.data.vertices[0].co = (-1.0 - 0.3 * number, -1.0, -1.0)
        folder = os.path.join(stage.OUT, "usd")
        os.makedirs(folder, exist_ok=True)
        bpy.ops.wm.usd_export(filepath=os.path.join(folder, f"cube_{number:03d}.usdc"), export_materials=False)
    modifier = cube.modifiers.new("Cache", "MESH_SEQUENCE_CACHE")
    bpy.ops.cachefile.open(filepath=os.path.join(stage.OUT, "usd/cube_001.usdc"))
    modifier.cache_file = bpy.data.cache_files[0]
    modifier.cache_file.is_sequence = True
    modifier.object_path = "/root/Cube/Cube"


made_scene = stage.new_scene()
made_scene.frame_start, made_scene.frame_end = 1, 10
# Only a file with a name can have caches on the disk.
stage.save("main.blend")
KINDS[stage.ARGUMENTS[1]](made_scene)
stage.save("main.blend")
