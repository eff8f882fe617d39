"""OUT/show/shots/shot.blend: what a folder that is packed must keep apart, take along and point elsewhere.

It links OUT/show/libs/mid.blend, which links OUT/show/libs/deep/deep.blend; the three use an a.png each, of their own
folders. The shot shows a sequence of four pictures in OUT/pictures, names its files by absolute paths, and deep.blend
by relative ones.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import bpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../blender/tests/scenes"))
import stage  # noqa: E402


def textured(name: str, picture: str, colour: tuple[int, int, int]) -> Any:
    made = stage.material(name)
    image = bpy.data.images.load(stage.write_png(picture, colour))
    stage.texture(made, image)
    return image, made


stage.new_scene()
bpy.ops.mesh.primitive_monkey_add()
deep = bpy.context.object
deep.name, deep.data.name = "Deep", "DeepMesh"
image, made = textured("DeepMaterial", "show/libs/deep/a.png", (200, 30, 30))
image.filepath = "//a.png"
deep.data.materials.append(made)
stage.save("show/libs/deep/deep.blend")

stage.new_scene()
collection = bpy.data.collections.new("Mid")
collection.use_fake_user = True
collection.objects.link(stage.link("show/libs/deep/deep.blend", "objects", "Deep", False))
bpy.ops.mesh.primitive_cube_add(location=(0, 2, 0))
cube = bpy.context.object
cube.name = "MidCube"
for holder in list(cube.users_collection):
    holder.objects.unlink(cube)
collection.objects.link(cube)
_image, made = textured("MidMaterial", "show/libs/a.png", (30, 200, 30))
cube.data.materials.append(made)
stage.save("show/libs/mid.blend")

scene = stage.new_scene()
instance = bpy.data.objects.new("Instance", None)
instance.instance_type = "COLLECTION"
instance.instance_collection = stage.link("show/libs/mid.blend", "collections", "Mid", False)
scene.collection.objects.link(instance)
bpy.ops.mesh.primitive_cube_add(location=(3, 0, 0))
_image, made = textured("Own", "show/shots/a.png", (30, 30, 200))
bpy.context.object.data.materials.append(made)
for number in range(1, 5):
    stage.write_png(f"pictures/p_{number:04d}.png", (60 * number, 250 - 60 * number, 9))
sequence = bpy.data.images.load(os.path.join(stage.OUT, "pictures/p_0001.png"))
sequence.source = "SEQUENCE"
bpy.ops.mesh.primitive_plane_add(location=(-2, -2, 0), size=3)
made = stage.material("Pictures")
node = stage.texture(made, sequence)
node.image_user.frame_duration = 4
node.image_user.use_auto_refresh = True
bpy.context.object.data.materials.append(made)
scene.render.filepath = "//out/"
stage.save("show/shots/shot.blend")
