"""OUT/main.blend uses a shader and, where Blender can, a USD scene, and both name another file by its absolute path."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402


def write(name: str, text: str) -> str:
    path = os.path.join(stage.OUT, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


scene = stage.new_scene()
header = write("colours.h", "#define RED color(1, 0, 0)\n")
bpy.ops.mesh.primitive_cube_add()
material = stage.material("M")
bpy.context.object.data.materials.append(material)
node = material.node_tree.nodes.new("ShaderNodeScript")
node.mode = "EXTERNAL"
node.filepath = write("own.osl", f'#include "{header}"\nshader own(output color Out = RED) {{}}\n')
if bpy.app.build_options.usd:
    layer = write("layer.usda", '#usda 1.0\n\ndef Xform "World" {}\n')
    main = write("main.usda", f"#usda 1.0\n(\n    subLayers = [@{layer}@]\n)\n")
    bpy.ops.cachefile.open(filepath=main)
    bpy.data.cache_files[0].use_fake_user = True
stage.save("main.blend")
