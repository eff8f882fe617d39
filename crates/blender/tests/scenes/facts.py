"""OUT/facts.blend: two scenes, scripts, drivers, nodes and an engine of add-ons that are not there."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402


class Foreign(bpy.types.RenderEngine):
    bl_idname = "FOREIGN"
    bl_label = "Foreign"


class ForeignNode(bpy.types.ShaderNode):
    bl_idname = "ForeignNode"
    bl_label = "Foreign Node"


bpy.utils.register_class(Foreign)
bpy.utils.register_class(ForeignNode)
scene = stage.new_scene()
bpy.ops.mesh.primitive_cube_add()
cube = bpy.context.object
# Blender computes the first itself, the second needs Python, the third is off.
for index, expression in enumerate(("frame * 2 + sin(0.5)", "len(bpy.data.objects)", "__import__('os')")):
    curve = cube.driver_add("location", index)
    curve.driver.expression = expression
    curve.mute = index == 2
made = stage.material("M")
made.node_tree.nodes.new("ForeignNode")
cube.data.materials.append(made)
driven = made.node_tree.nodes["Principled BSDF"].inputs["Roughness"].driver_add("default_value")
driven.driver.expression = "max([0.1, 0.2])"
for name, registers in (("ui.py", True), ("notes.py", False)):
    text = bpy.data.texts.new(name)
    text.write("pass")
    text.use_module = registers
other = bpy.data.scenes.new("Other")
other.render.engine = "FOREIGN"
other.frame_start, other.frame_end, other.frame_step = 10, 20, 5
other.render.resolution_percentage = 50
other.render.resolution_x, other.render.resolution_y = 101, 51
stage.save("facts.blend")
# With classes of Python's registered, some versions crash on their way out.
os._exit(0)
