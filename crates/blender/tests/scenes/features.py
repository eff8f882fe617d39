"""OUT/KIND.blend for each kind of output that Blender has: see the functions."""

import os
import sys
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

NEW = bpy.app.version >= (5, 0, 0)


def base() -> Any:
    scene = stage.new_scene()
    bpy.ops.mesh.primitive_monkey_add()
    monkey = bpy.context.object
    monkey.keyframe_insert("rotation_euler", frame=-2)
    monkey.rotation_euler[2] = 2
    monkey.keyframe_insert("rotation_euler", frame=3)
    # A driver that shows the range: it must be the file's own.
    curve = monkey.driver_add("location", 2)
    variable = curve.driver.variables.new()
    variable.name = "end"
    variable.type = "SINGLE_PROP"
    variable.targets[0].id_type = "SCENE"
    variable.targets[0].id = scene
    variable.targets[0].data_path = "frame_end"
    curve.driver.expression = "end * 0.01"
    scene.frame_start, scene.frame_end = 0, 2
    return scene


def image_format(settings: Any, name: str, **values: Any) -> None:
    if hasattr(settings, "media_type"):
        media = {"OPEN_EXR_MULTILAYER": "MULTI_LAYER_IMAGE", "FFMPEG": "VIDEO"}
        settings.media_type = media.get(name, "IMAGE")
    settings.file_format = name
    for key, value in values.items():
        setattr(settings, key, value)


def compositor(scene: Any) -> Any:
    """The scene's compositor, an image going through; returns the tree and the socket with the image."""
    if NEW:
        tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        out = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        out = tree.nodes.new("CompositorNodeComposite")
    layers = tree.nodes.new("CompositorNodeRLayers")
    invert = tree.nodes.new("CompositorNodeInvert")
    tree.links.new(layers.outputs["Image"], invert.inputs["Color"])
    tree.links.new(invert.outputs[0], out.inputs[0])
    return tree, layers.outputs["Image"]


def file_output(tree: Any, folder: str, name: str, form: str) -> Any:
    node = tree.nodes.new("CompositorNodeOutputFile")
    image_format(node.format, form)
    if NEW:
        node.directory = folder
        node.file_name = name
        node.file_output_items.new("RGBA", "one")
        node.file_output_items.new("RGBA", "two")
    elif form == "OPEN_EXR_MULTILAYER":
        node.base_path = folder + name
        node.layer_slots.clear()
        node.layer_slots.new("one")
        node.layer_slots.new("two")
    else:
        node.base_path = folder
        node.file_slots.clear()
        node.file_slots.new(f"{name}one##_")
        node.file_slots.new(f"sub/{name}two")
    return node


def png() -> None:
    """Composited 16-bit PNG with all metadata; file-output nodes, one multilayer, one in a group."""
    scene = base()
    image_format(scene.render.image_settings, "PNG", color_mode="RGBA", color_depth="16")
    scene.render.filepath = "//out/a_##_x"
    for name in ("frame_range", "frame", "camera", "lens", "scene", "marker", "filename", "note"):
        setattr(scene.render, f"use_stamp_{name}", True)
    scene.render.stamp_note_text = "a note"
    tree, socket = compositor(scene)
    for node in (
        file_output(tree, "//nodes/plain/", "p_", "PNG"),
        file_output(tree, "//nodes/multi/", "m_###", "OPEN_EXR_MULTILAYER"),
        file_output(tree, "//nodes/deep/own/", "../../up/z_", "PNG"),
    ):
        tree.links.new(socket, node.inputs[0])
        tree.links.new(socket, node.inputs[1])
    group = bpy.data.node_groups.new("Inner", "CompositorNodeTree")
    if hasattr(group, "interface"):
        group.interface.new_socket("Image", in_out="INPUT", socket_type="NodeSocketColor")
    else:
        group.inputs.new("NodeSocketColor", "Image")
    source = group.nodes.new("NodeGroupInput")
    inner = file_output(group, "//nodes/inner/", "i_", "OPEN_EXR")
    group.links.new(source.outputs[0], inner.inputs[0])
    outer = tree.nodes.new("CompositorNodeGroup")
    outer.node_tree = group
    tree.links.new(socket, outer.inputs[0])


def views() -> None:
    """Two views with files of their own, in half-float EXR; two view layers."""
    scene = base()
    scene.view_layers.new("Second")
    scene.render.use_multiview = True
    image_format(scene.render.image_settings, "OPEN_EXR", color_depth="16", exr_codec="ZIP", views_format="INDIVIDUAL")
    scene.render.filepath = "//out/"


def stereo() -> None:
    """Two views side by side in one picture."""
    scene = base()
    scene.render.use_multiview = True
    image_format(scene.render.image_settings, "PNG", views_format="STEREO_3D")
    scene.render.image_settings.stereo_3d_format.display_mode = "SIDEBYSIDE"
    scene.render.filepath = "//out/both"


def multiview() -> None:
    """Two views in one multilayer EXR with passes."""
    scene = base()
    scene.render.use_multiview = True
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_cryptomatte_object = True
    image_format(scene.render.image_settings, "OPEN_EXR_MULTILAYER", color_depth="32", views_format="MULTIVIEW")
    scene.render.filepath = "//out/multi_#####.exr"


def sequencer() -> None:
    """A scene strip under a colour, as JPEG, the name's extension its own."""
    scene = base()
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    other = bpy.data.scenes.new("Shot")
    other.camera = scene.camera
    other.render.engine = "CYCLES"
    other.cycles.samples = 2
    other.cycles.use_denoising = False
    for owner in scene.collection.objects:
        other.collection.objects.link(owner)
    strips.new_scene("S", other, 1, -5)
    length = {"length": 30} if NEW else {"frame_end": 25}
    colour = strips.new_effect("C", "COLOR", 2, -5, **length)
    colour.color = (0.8, 0.2, 0.1)
    colour.blend_type = "ALPHA_OVER"
    colour.blend_alpha = 0.5
    image_format(scene.render.image_settings, "JPEG", quality=95)
    scene.render.use_file_extension = False
    scene.render.filepath = "//out/seq_####.jpeg"


def movie() -> None:
    """A movie, which becomes PNG frames."""
    scene = base()
    image_format(scene.render.image_settings, "FFMPEG")
    scene.render.filepath = "//out/film_"


def border() -> None:
    """A cropped part at half the size, no overwriting, in BMP."""
    scene = base()
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.2, 0.7
    scene.render.resolution_percentage = 50
    scene.render.use_overwrite = False
    scene.render.use_placeholder = True
    image_format(scene.render.image_settings, "BMP")
    scene.render.filepath = "//out/deep/er/b"


def templates() -> None:
    """Templates in paths, which came with 5.0; before, braces are braces."""
    scene = base()
    image_format(scene.render.image_settings, "PNG")
    scene.render.filepath = "//out/{scene_name}/{blend_name}_{fps}_###"
    tree, socket = compositor(scene)
    node = file_output(tree, "//nodes/{blend_name}/{node_name}", "t_", "PNG")
    tree.links.new(socket, node.inputs[0])


KINDS = [png, views, stereo, multiview, sequencer, movie, border, templates]

for kind in KINDS:
    kind()
    stage.save(f"{kind.__name__}.blend")
