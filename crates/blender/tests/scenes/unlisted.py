"""OUT/main.blend names files that only Blender itself can list: the displacement of a mesh, which frames need, and some
that none does. They are not there."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

scene = stage.new_scene()
bpy.ops.mesh.primitive_cube_add()
cube = bpy.context.object
cube.modifiers.new("Detail", "MULTIRES")
stage.save("main.blend")
external = os.path.join(stage.OUT, "detail.btx")
with bpy.context.temp_override(object=cube, active_object=cube):
    bpy.ops.object.multires_subdivide(modifier="Detail", mode="CATMULL_CLARK")
    bpy.ops.object.multires_external_save(filepath=external, modifier="Detail")

# An ocean that is not baked, a brush with a picture, a sound, of which the strip keeps the place, too.
bpy.ops.mesh.primitive_plane_add()
bpy.context.object.modifiers.new("Sea", "OCEAN").filepath = "//sea/"
brush = bpy.data.brushes.new("Brush")
if hasattr(brush, "icon_filepath"):
    brush.icon_filepath = "//brush.png"
noise = stage.write_wav("noise.wav")
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strips.new_sound("Noise", noise, 1, 1)
stage.save("main.blend")
for name in (external, noise):
    os.remove(name)
