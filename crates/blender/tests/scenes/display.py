"""Strong colours from darkness to many times white, with each way of showing them in a file of its own: in
OUT/standard.blend, OUT/film.blend and OUT/graded.blend.
"""

import os
import sys
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402


def colourful_world() -> Any:
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    tree = world.node_tree
    place = tree.nodes.new("ShaderNodeTexCoord")
    colour = place.outputs["Generated"]
    for _ in range(2):
        square = tree.nodes.new("ShaderNodeVectorMath")
        square.operation = "MULTIPLY"
        for factor in square.inputs[:2]:
            tree.links.new(colour, factor)
        colour = square.outputs[0]
    background = tree.nodes["Background"]
    tree.links.new(colour, background.inputs["Color"])
    background.inputs["Strength"].default_value = 60
    return world


scene = stage.new_scene()
scene.world = colourful_world()
scene.camera.data.type = "PANO"
scene.cycles.samples = 1
if hasattr(scene.camera.data, "panorama_type"):
    scene.camera.data.panorama_type = "EQUIRECTANGULAR"
else:
    scene.camera.data.cycles.panorama_type = "EQUIRECTANGULAR"
scene.render.dither_intensity = 0
scene.render.filepath = "//out/shot_###"
settings = scene.view_settings

settings.view_transform = "Standard"
stage.save("standard.blend")

settings.view_transform = "AgX" if bpy.app.version >= (4, 0, 0) else "Filmic"
stage.save("film.blend")

settings.exposure = 0.7
settings.gamma = 1.2
settings.use_curve_mapping = True
curve = settings.curve_mapping.curves[3]
curve.points.new(0.5, 0.4)
settings.curve_mapping.update()
stage.save("graded.blend")
