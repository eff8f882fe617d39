"""A cube that moves, seen by a camera, in OUT/simple.blend."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

scene = stage.new_scene()
bpy.ops.mesh.primitive_cube_add()
cube = bpy.context.object
cube.keyframe_insert("location", frame=1)
cube.location[0] = 2
cube.keyframe_insert("location", frame=5)
scene.view_layers[0].use_pass_z = scene.view_layers[0].use_pass_normal = True
scene.frame_end = 5
scene.render.filepath = "//out/shot_###"
stage.save("simple.blend")
