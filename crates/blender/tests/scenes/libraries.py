"""OUT/proj/main.blend links libs/mid.blend, which links libs/deep/deep.blend; both use an a.png of their own folder.

Paths are absolute, or relative with the second argument `relative`.
"""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

RELATIVE = "relative" in stage.ARGUMENTS


def load_image(path: str, colour: tuple, blend: str) -> bpy.types.Image:
    image = bpy.data.images.load(stage.write_png(path, colour))
    if RELATIVE:
        image.filepath = "//" + os.path.relpath(
            os.path.join(stage.OUT, path), os.path.dirname(os.path.join(stage.OUT, blend))
        )
    return image


def save(name: str) -> None:
    # Links are made relative only to a file that has a name.
    stage.save(name)
    if RELATIVE:
        bpy.ops.file.make_paths_relative()
        stage.save(name)


# deep: an object with a textured mesh.
stage.new_scene()
bpy.ops.mesh.primitive_monkey_add()
deep = bpy.context.object
deep.name = "Deep"
deep.data.name = "DeepMesh"
made = stage.material("DeepMaterial")
stage.texture(made, load_image("libs/deep/a.png", (200, 30, 30), "libs/deep/deep.blend"))
deep.data.materials.append(made)
save("libs/deep/deep.blend")

# mid: a collection with that object and a cube of its own.
stage.new_scene()
collection = bpy.data.collections.new("Mid")
collection.use_fake_user = True
collection.objects.link(stage.link("libs/deep/deep.blend", "objects", "Deep", RELATIVE))
bpy.ops.mesh.primitive_cube_add(location=(0, 2, 0))
cube = bpy.context.object
cube.name = "MidCube"
for holder in list(cube.users_collection):
    holder.objects.unlink(cube)
collection.objects.link(cube)
made = stage.material("MidMaterial")
stage.texture(made, load_image("libs/a.png", (30, 200, 30), "libs/mid.blend"))
cube.data.materials.append(made)
save("libs/mid.blend")

# main: an instance, an override that is moved, and a local object with a linked mesh and a material of its own.
scene = stage.new_scene()
instance = bpy.data.objects.new("Instance", None)
instance.instance_type = "COLLECTION"
instance.instance_collection = stage.link("libs/mid.blend", "collections", "Mid", RELATIVE)
scene.collection.objects.link(instance)
override = stage.link("libs/mid.blend", "objects", "MidCube", RELATIVE).override_create()
override.location = (3, 0, 0)
scene.collection.objects.link(override)
local = bpy.data.objects.new("Local", stage.link("libs/deep/deep.blend", "meshes", "DeepMesh", RELATIVE))
local.location = (-2, 0, 0)
local.material_slots[0].link = "OBJECT"
local.material_slots[0].material = stage.material("Own")
local.material_slots[0].material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0, 0, 1, 1)
scene.collection.objects.link(local)
scene.render.filepath = "//out/"
save("proj/main.blend")
