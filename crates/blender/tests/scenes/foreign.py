r"""OUT/proj/main.blend names its files as Windows does, OUT/proj/here.blend as they lie here, but in its library.

`C:\work` stands for OUT/mnt, `\\nas\films` for OUT/nas. Of the relative paths some are mixed, one leads through a link,
and one has a letter that is composed of two.
"""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

MNT, NAS = os.path.join(stage.OUT, "mnt"), os.path.join(stage.OUT, "nas")


def thing(
    name: str, place: int, picture: str, colour: tuple[int, int, int], stored: str
) -> tuple[bpy.types.Image, str]:
    """A cube that shows OUT/PICTURE; returns its image, and how that is stored in the end."""
    bpy.ops.mesh.primitive_cube_add(size=1, location=(place % 3 * 1.5 - 2, place // 3 * 1.5, 0))
    made = bpy.context.object
    made.name = made.data.name = name
    made.data.materials.append(stage.material(name))
    image = bpy.data.images.load(stage.write_png(picture, colour))
    stage.texture(made.data.materials[0], image)
    return image, stored


def windows(path: str) -> str:
    return path.replace(MNT, "C:\\work").replace(NAS, "\\\\nas\\films").replace("/", "\\")


def patch(name: str) -> None:
    """Writes the paths of libraries in a saved file as Windows does: Blender here would not."""
    place = os.path.join(stage.OUT, name)
    with open(place, "rb") as file:
        content = file.read()
    here = os.path.join(MNT, "libs/lib.blend")
    there = windows(here).encode()
    with open(place, "wb") as file:
        file.write(content.replace(here.encode(), there.ljust(len(here.encode()), b"\0")))


def save(name: str) -> None:
    path = os.path.join(stage.OUT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=path, relative_remap=False, compress=False)


bpy.context.preferences.filepaths.save_version = 0
stage.new_scene()
stored = [
    thing("Beside", 0, "mnt/libs/a.png", (200, 30, 30), "//a.png"),
    thing("Drive", 1, "mnt/tex/a.png", (30, 200, 30), windows(f"{MNT}/tex/a.png")),
]
for image, path in stored:
    image.filepath = path
save("mnt/libs/lib.blend")

scene = stage.new_scene()
bpy.context.preferences.filepaths.save_version = 0
os.makedirs(os.path.join(stage.OUT, "proj"))
os.symlink("../elsewhere", os.path.join(stage.OUT, "proj/linked"))
stored = [
    thing("Share", 2, "nas/a.png", (30, 30, 200), windows(f"{NAS}/a.png")),
    thing("Up", 3, "tex/a.png", (200, 200, 30), "//..\\tex/a.png"),
    thing("Link", 4, "elsewhere/a.png", (30, 200, 200), "//linked\\a.png"),
    thing("Composed", 5, "proj/te\u0301x/a.png", (200, 30, 200), "//te\u0301x/a.png"),
    thing("Letter", 6, "mnt/tex/b.png", (90, 120, 30), "c:/work/tex\\b.png"),
]
scene.collection.objects.link(stage.link("mnt/libs/lib.blend", "objects", "Beside", False))
# An object here with a mesh from there keeps its own material only if the library is found while the file is loaded.
local = bpy.data.objects.new("Local", stage.link("mnt/libs/lib.blend", "meshes", "Drive", False))
local.location = (1, 3, 0)
scene.collection.objects.link(local)
own = bpy.data.objects.new("Own", local.data)
own.location = (-1, 3, 0)
own.material_slots[0].link = "OBJECT"
own.material_slots[0].material = stage.material("Own")
own.material_slots[0].material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1, 0, 0, 1)
scene.collection.objects.link(own)
scene.render.filepath = "//out/"

save("proj/here.blend")
for image, path in stored:
    image.filepath = path
save("proj/main.blend")
patch("proj/main.blend")
