"""OUT/KIND.blend for kinds of frames that are rendered in parts: see the functions. With arguments only those."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

NEW = bpy.app.version >= (5, 0, 0)
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
    "use_pass_transmission_direct",
    "use_pass_emit",
    "use_pass_environment",
    "use_pass_ambient_occlusion",
    "use_pass_cryptomatte_object",
    "use_pass_cryptomatte_material",
    "use_pass_cryptomatte_asset",
)


def speckled(name: str, seed: int) -> Any:
    """A surface whose colours change within every pixel, and are an output of their own."""
    made = stage.material(name)
    made.pass_index = seed + 1
    nodes, links = made.node_tree.nodes, made.node_tree.links
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 200 + seed
    links.new(noise.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    aov = nodes.new("ShaderNodeOutputAOV")
    if hasattr(aov, "aov_name"):
        aov.aov_name = "glow"
    else:
        aov.name = "glow"
    links.new(noise.outputs["Color"], aov.inputs["Color"])
    return made


def base() -> Any:
    """Two view layers of a ring of balls that turns, in a light that is sampled adaptively."""
    scene = stage.new_scene()
    scene.render.resolution_x, scene.render.resolution_y = 144, 80
    scene.render.resolution_percentage = 50
    scene.cycles.samples = 32
    scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold = 0.05
    scene.cycles.adaptive_min_samples = 4
    bpy.ops.mesh.primitive_monkey_add()
    monkey = bpy.context.object
    monkey.data.materials.append(speckled("speckled", 0))
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.4)
    ball = bpy.context.object.data
    bpy.data.objects.remove(bpy.context.object)
    ball.materials.append(speckled("ball", 1))
    for number in range(8):
        angle = number * math.tau / 8
        owner = bpy.data.objects.new(f"ball {number}", ball)
        owner.location = 2.2 * math.cos(angle), 2.2 * math.sin(angle), 0.2 * number - 1
        owner.pass_index = number
        owner.parent = monkey
        scene.collection.objects.link(owner)
    for frame, turn in ((1, 0), (4, 2)):
        monkey.rotation_euler[2] = turn
        monkey.keyframe_insert("rotation_euler", frame=frame)
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = 0.1, 0.12, 0.2
    scene.view_layers.new("Second.Layer")
    return scene


def passes(scene: Any) -> None:
    for layer in scene.view_layers:
        for name in LAYER_PASSES:
            setattr(layer, name, True)
        layer.aovs.add().name = "glow"


def image_format(settings: Any, name: str, **values: Any) -> None:
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE" if name == "OPEN_EXR_MULTILAYER" else "IMAGE"
    settings.file_format = name
    for key, value in values.items():
        setattr(settings, key, value)


def whole_exr(scene: Any) -> None:
    image_format(scene.render.image_settings, "OPEN_EXR_MULTILAYER", color_depth="32", exr_codec="ZIP")


def everything() -> None:
    """All passes of two view layers, vectors too, before a transparent film."""
    scene = base()
    passes(scene)
    scene.render.film_transparent = True
    for layer in scene.view_layers:
        layer.use_pass_vector = True
    whole_exr(scene)


def denoised() -> None:
    """One view layer that is denoised, with the data of it, and one that is not."""
    scene = base()
    passes(scene)
    scene.cycles.use_denoising = True
    scene.view_layers[0].cycles.denoising_store_passes = True
    scene.view_layers[1].cycles.use_denoising = False
    scene.render.film_transparent = True
    whole_exr(scene)


def denoised_picture() -> None:
    """Denoised without adaptive sampling, as a dithered PNG."""
    scene = base()
    scene.cycles.use_denoising = True
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.samples = 16
    scene.render.dither_intensity = 1.0
    image_format(scene.render.image_settings, "PNG")


def denoised_exposed() -> None:
    """Denoised with an exposure, which files have and memory has not."""
    scene = base()
    scene.cycles.use_denoising = True
    scene.cycles.film_exposure = 0.7
    scene.cycles.samples = 20
    scene.cycles.use_adaptive_sampling = False
    whole_exr(scene)


def denoised_stereo() -> None:
    """Two views of a denoised frame."""
    scene = base()
    scene.cycles.use_denoising = True
    scene.render.use_multiview = True
    whole_exr(scene)
    scene.render.image_settings.views_format = "MULTIVIEW"


def file_output(tree: Any, folder: str, form: str) -> Any:
    node = tree.nodes.new("CompositorNodeOutputFile")
    image_format(node.format, form)
    if NEW:
        node.directory = folder
        node.file_name = "n_"
        node.file_output_items.new("RGBA", "one")
    elif form == "OPEN_EXR_MULTILAYER":
        node.base_path = f"{folder}n_"
        node.layer_slots.clear()
        node.layer_slots.new("one")
    else:
        node.base_path = folder
        node.file_slots.clear()
        node.file_slots.new("n_one_")
    return node


def composited() -> None:
    """A stamped 16-bit PNG, blurred by vectors, matted by Cryptomatte, with both view layers, and file-output nodes."""
    scene = base()
    passes(scene)
    for layer in scene.view_layers:
        layer.use_pass_vector = True
    tree, out = stage.compositor(scene)
    nodes, links = tree.nodes, tree.links
    layers, second = nodes.new("CompositorNodeRLayers"), nodes.new("CompositorNodeRLayers")
    second.layer = "Second.Layer"
    blur = nodes.new("CompositorNodeVecBlur")
    for name in ("Image", "Depth" if "Depth" in layers.outputs else "Z", "Vector"):
        links.new(layers.outputs[name], blur.inputs[name if name in blur.inputs else "Z"])
    crypto = nodes.new("CompositorNodeCryptomatteV2")
    crypto.matte_id = "ball 2,Suzanne"
    links.new(blur.outputs[0], crypto.inputs["Image"])
    add = nodes.new("CompositorNodeAlphaOver")
    colours = [socket for socket in add.inputs if socket.type == "RGBA"]
    links.new(crypto.outputs["Image"], colours[0])
    links.new(second.outputs["glow"], colours[1])
    links.new(add.outputs[0], out.inputs[0])
    for folder, form in (("plain", "PNG"), ("linear", "OPEN_EXR"), ("multi", "OPEN_EXR_MULTILAYER")):
        links.new(
            crypto.outputs["Matte"] if form == "OPEN_EXR" else blur.outputs[0],
            file_output(tree, f"//nodes/{folder}/", form).inputs[0],
        )
    scene.render.use_stamp = True
    for name in ("date", "time", "render_time", "memory", "hostname"):
        setattr(scene.render, f"use_stamp_{name}", False)
    scene.render.stamp_note_text = "a note"
    scene.render.use_stamp_note = True
    scene.render.dither_intensity = 2.0
    image_format(scene.render.image_settings, "PNG", color_mode="RGBA", color_depth="16")


def stereo() -> None:
    """Two views of two view layers in one file."""
    scene = base()
    scene.render.use_multiview = True
    scene.view_layers[0].use_pass_cryptomatte_object = scene.view_layers[0].use_pass_z = True
    whole_exr(scene)
    scene.render.image_settings.views_format = "MULTIVIEW"


def views() -> None:
    """Two views with files of their own, as JPEG."""
    scene = base()
    scene.render.use_multiview = True
    image_format(scene.render.image_settings, "JPEG", views_format="INDIVIDUAL")


def ranges() -> None:
    """A fixed number of samples, which can be cut into ranges."""
    scene = base()
    passes(scene)
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.samples = 64
    for layer in scene.view_layers:
        layer.cycles.pass_debug_sample_count = True
    whole_exr(scene)
    misnamed = scene.copy()
    misnamed.name, misnamed.use_fake_user = "Scene, misnamed", True
    misnamed.view_layers[0].aovs.add().name = "Vector"
    if bpy.app.version < (4, 4, 0):
        many = scene.copy()
        many.name, many.use_fake_user = "Scene, many samples", True
        many.cycles.sampling_pattern = "PROGRESSIVE_MULTI_JITTER" if bpy.app.version < (4, 0, 0) else "TABULATED_SOBOL"
        many.cycles.samples = 257


def camera() -> None:
    """Depth of field and motion blur, in parts of Cycles' own smaller than the frame."""
    scene = base()
    scene.camera.data.dof.use_dof = True
    scene.camera.data.dof.focus_distance = 7
    scene.camera.data.dof.aperture_fstop = 0.3
    scene.camera.data.shift_x = 0.1
    scene.render.use_motion_blur = True
    scene.render.pixel_aspect_x = 1.5
    scene.cycles.use_auto_tile = True
    scene.cycles.tile_size = 32
    scene.cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    scene.cycles.filter_width = 6
    image_format(scene.render.image_settings, "OPEN_EXR", color_depth="32", exr_codec="ZIP")


def panorama() -> None:
    """All around, in an interleaved half-float EXR with a colour space of its own."""
    scene = base()
    scene.camera.data.type = "PANO"
    settings = scene.camera.data if hasattr(scene.camera.data, "panorama_type") else scene.camera.data.cycles
    settings.panorama_type = "EQUIRECTANGULAR"
    image_format(scene.render.image_settings, "OPEN_EXR", color_depth="16", exr_codec="ZIP")
    scene.render.image_settings.color_management = "OVERRIDE"
    scene.render.image_settings.linear_colorspace_settings.name = "Linear ACES" if not NEW else "ACES2065-1"


def whole() -> None:
    """Scenes whose frames are rendered whole, named by why."""
    base()
    plain = bpy.context.scene

    def scene(name: str) -> Any:
        bpy.context.window.scene = plain
        bpy.ops.scene.new(type="LINK_COPY")
        bpy.context.scene.name = name
        return bpy.context.scene

    eevee = scene("engine")
    eevee.render.engine = "BLENDER_WORKBENCH"
    freestyle = scene("freestyle")
    freestyle.render.use_freestyle = True
    scene("region").render.use_border = True
    scene("time").cycles.time_limit = 60
    if NEW:
        scene("guiding").cycles.use_guiding = True
        foggy = scene("volume")
        foggy.world = bpy.data.worlds.new("fog")
        foggy.world.use_nodes = True
        nodes = foggy.world.node_tree.nodes
        fog = nodes.new("ShaderNodeVolumeScatter")
        foggy.world.node_tree.links.new(fog.outputs[0], nodes["World Output"].inputs["Volume"])
    counted = scene("counted")
    counted.view_layers[0].cycles.pass_debug_sample_count = True
    subset = scene("subset")
    subset.cycles.sample_offset = 3
    strips = scene("strips").sequence_editor_create()
    strips = strips.strips if hasattr(strips, "strips") else strips.sequences
    strips.new_effect("C", "COLOR", 1, 1, **({"length": 30} if NEW else {"frame_end": 25}))
    drawn = scene("pencil")
    bpy.ops.object.grease_pencil_add() if NEW else bpy.ops.object.gpencil_add()
    pencil = bpy.context.object
    for collection in pencil.users_collection:
        collection.objects.unlink(pencil)
    own = bpy.data.collections.new("own")
    drawn.collection.children.link(own)
    own.objects.link(pencil)
    for name, shown in (("other", plain), ("unused", None)):
        composited = scene(name)
        tree, out = stage.compositor(composited)
        node = tree.nodes.new("CompositorNodeRLayers" if shown else "CompositorNodeRGB")
        if shown:
            node.scene = shown
        tree.links.new(node.outputs[0], out.inputs[0])
    catcher = scene("catcher")
    catcher.cycles.use_denoising = True
    ground = bpy.data.objects.new("ground", bpy.data.objects["Suzanne"].data)
    ground.is_shadow_catcher = True
    lower = bpy.data.collections.new("lower")
    catcher.collection.children.link(lower)
    lower.objects.link(ground)


KINDS: list[Callable[[], None]] = [
    everything,
    denoised,
    denoised_picture,
    denoised_exposed,
    denoised_stereo,
    composited,
    stereo,
    views,
    ranges,
    camera,
    panorama,
    whole,
]

for kind in KINDS:
    if len(stage.ARGUMENTS) == 1 or kind.__name__ in stage.ARGUMENTS:
        kind()
        bpy.context.scene.render.filepath = "//out/f_"
        stage.save(f"{kind.__name__}.blend")
