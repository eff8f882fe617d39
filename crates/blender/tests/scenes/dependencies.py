"""OUT/all.blend names a file of every kind, some of them missing."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

scene = stage.new_scene()
scene.frame_start, scene.frame_end = 2, 4
bpy.ops.mesh.primitive_cube_add()
cube = bpy.context.object
made = stage.material("M")
cube.data.materials.append(made)
nodes = made.node_tree.nodes

# Images: one relative, one absolute, one missing, one packed, one for a brush only.
relative = bpy.data.images.load(stage.write_png("tex/wood.png", (120, 80, 40)))
relative.name = "Wood"
relative.filepath = "//tex/wood.png"
stage.texture(made, relative)
absolute = bpy.data.images.load(stage.write_png("other/wood.png", (10, 80, 40)))
absolute.name = "OtherWood"
stage.texture(made, absolute)
missing = bpy.data.images.load(stage.write_png("tex/gone.png", (0, 0, 0)))
missing.name = "Gone"
stage.texture(made, missing)
os.remove(os.path.join(stage.OUT, "tex/gone.png"))
packed = bpy.data.images.load(stage.write_png("tex/packed.png", (9, 9, 9)))
packed.pack()
stage.texture(made, packed)
unused = bpy.data.images.load(stage.write_png("tex/unused.png", (1, 2, 3)))
unused.use_fake_user = True

# A sequence of ten frames, of which the node shows 3 to 5 (offset 1), and one that is not there.
for number in range(1, 11):
    stage.write_png(f"seq/f_{number:04d}.png", (number, number, number))
os.remove(os.path.join(stage.OUT, "seq/f_0004.png"))
sequence = bpy.data.images.load(os.path.join(stage.OUT, "seq/f_0001.png"))
sequence.name = "Seq"
sequence.source = "SEQUENCE"
node = stage.texture(made, sequence)
node.image_user.frame_duration = 9
node.image_user.frame_start = 1
node.image_user.frame_offset = 1
node.image_user.use_auto_refresh = True

# Tiles.
for tile in (1001, 1002, 1011):
    stage.write_png(f"udim/skin.{tile}.png", (tile % 255, 0, 0))
tiled = bpy.data.images.load(os.path.join(stage.OUT, "udim/skin.1001.png"))
tiled.name = "Skin"
tiled.source = "TILED"
tiled.filepath = os.path.join(stage.OUT, "udim/skin.<UDIM>.png")
tiled.tiles.new(tile_number=1002)
tiled.tiles.new(tile_number=1011)
stage.texture(made, tiled)

# A light profile and a shader script.
ies = nodes.new("ShaderNodeTexIES")
ies.mode = "EXTERNAL"
ies.filepath = stage.touch("light/spot.ies")
osl = nodes.new("ShaderNodeScript")
osl.mode = "EXTERNAL"
osl.filepath = "//osl/missing.osl"

# Movie and sequence clips, a sound, a volume, a scene cache, a text block, a font.
movie = bpy.data.images.new("Movie", 8, 8)
movie.source = "MOVIE"
movie.filepath = stage.touch("mov/clip.mp4")
stage.texture(made, movie)
bpy.ops.object.text_add()
bpy.context.object.data.font = bpy.data.fonts.load(stage.copy_font("fonts"))
bpy.ops.object.volume_add()
bpy.context.object.data.filepath = stage.touch("vdb/smoke.vdb")
sound = bpy.data.sounds.load(stage.write_wav("noise.wav"))
sound.use_fake_user = True
with open(os.path.join(stage.OUT, "note.txt"), "w") as file:
    file.write("hello")
bpy.data.texts.load(os.path.join(stage.OUT, "note.txt"))
bpy.ops.object.select_all(action="DESELECT")
bpy.ops.mesh.primitive_plane_add()
plane = bpy.context.object
# Debian builds Blender without Alembic; the file need not be one to be listed.
bpy.ops.cachefile.open(filepath=stage.touch("abc/plane.abc"))
bpy.data.cache_files[0].use_fake_user = True

# Modifiers with files: a mesh cache, an ocean that is not baked.
cache = plane.modifiers.new("Points", "MESH_CACHE")
cache.filepath = "//cache/missing.pc2"
plane.modifiers.new("Ocean", "OCEAN").filepath = "//ocean/"

# Strips.
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strip = strips.new_image("Plate", os.path.join(stage.OUT, "seq/f_0001.png"), 1, 1)
for number in (2, 3, 5, 6, 7):
    strip.elements.append(f"f_{number:04d}.png")
scene.render.use_sequencer = False

# The point cache of a cloth, as a bake leaves it.
stage.touch("blendcache_all/cloth_000001_00.bphys")

stage.save("all.blend")
# Saved once, the file knows where it is: `//` is OUT.
strip.directory = "//seq"
bpy.ops.wm.save_mainfile()
