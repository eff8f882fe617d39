"""A cube that moves, seen by a camera, in OUT/simple.blend."""

import math
import os
import sys

import bpy

out = (sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])[0]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
bpy.ops.object.camera_add(location=(6, -6, 4), rotation=(math.radians(63), 0, math.radians(45)))
scene.camera = bpy.context.object
bpy.ops.object.light_add(type="AREA", location=(2, -2, 5))
bpy.context.object.data.energy = 300
bpy.ops.mesh.primitive_cube_add()
cube = bpy.context.object
cube.location[0] = 0
cube.keyframe_insert("location", frame=1)
cube.location[0] = 2
cube.keyframe_insert("location", frame=5)
scene.render.engine = "CYCLES"
scene.cycles.samples = 4
# Debian builds Blender without a denoiser.
scene.cycles.use_denoising = False
scene.render.resolution_x, scene.render.resolution_y = 160, 90
scene.frame_start, scene.frame_end = 1, 5
scene.render.filepath = "//out/shot_###"
bpy.ops.wm.save_as_mainfile(filepath=os.path.join(out, "simple.blend"))
