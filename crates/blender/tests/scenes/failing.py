"""Renders that end in an error, in OUT.

`denoise.blend` is denoised in every frame, `denoise_two.blend` in frame 2. The others fail in frame 2 of any Blender,
since a script takes away the folder where Cycles keeps its tiles: `tiles.blend`, and `strip.blend` and `layer.blend`,
which show the scene Within by the sequencer and by the compositor.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

TAKE_AWAY = """
import os, shutil
import bpy

def take_away(scene, *_):
    if scene.frame_current == 2:
        shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
    else:
        os.makedirs(bpy.app.tempdir, exist_ok=True)

bpy.app.handlers.frame_change_pre.append(take_away)
"""


def new_scene() -> Any:
    scene = stage.new_scene()
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    cube.keyframe_insert("location", frame=1)
    cube.location[0] = 2
    cube.keyframe_insert("location", frame=3)
    scene.render.filepath = "//out/####"
    return scene


def use_tiles(scene: Any) -> None:
    scene.cycles.use_auto_tile, scene.cycles.tile_size = True, 16
    text = bpy.data.texts.new("take_away.py")
    text.write(TAKE_AWAY)
    text.use_module = True


def outer(inner: Any) -> Any:
    """A scene around a scene."""
    scene = bpy.data.scenes.new("Outer")
    bpy.context.window.scene = scene
    inner.name = "Within"
    scene.name = "Scene"
    scene.camera = inner.camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 2, False
    scene.render.resolution_x, scene.render.resolution_y = 96, 54
    scene.frame_start, scene.frame_end = 1, 3
    scene.render.filepath = "//out/####"
    inner.render.use_persistent_data = True
    return scene


scene = new_scene()
scene.cycles.use_denoising = True
stage.save("denoise.blend")
for frame in (1, 2, 3):
    scene.cycles.use_denoising = frame == 2
    scene.cycles.keyframe_insert("use_denoising", frame=frame)
stage.save("denoise_two.blend")

use_tiles(new_scene())
stage.save("tiles.blend")

inner = new_scene()
use_tiles(inner)
scene = outer(inner)
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strips.new_scene("Within", inner, 1, 1)
stage.save("strip.blend")

inner = new_scene()
use_tiles(inner)
scene = outer(inner)
if hasattr(scene, "compositing_node_group"):
    tree = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
    scene.compositing_node_group = tree
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    end = tree.nodes.new("NodeGroupOutput")
else:
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    end = tree.nodes.new("CompositorNodeComposite")
layer = tree.nodes.new("CompositorNodeRLayers")
layer.scene = inner
tree.links.new(layer.outputs[0], end.inputs[0])
stage.save("layer.blend")
