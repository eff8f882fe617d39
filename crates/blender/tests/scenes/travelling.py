"""OUT/main.blend, whose frames are made of files of one kind: see the functions.

Arguments OUT KIND. Paths are absolute, so that nothing is found in another place by itself.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

KINDS: dict[str, Callable[[Any], None]] = {}


def kind(function: Callable[[Any], None]) -> Callable[[Any], None]:
    KINDS[function.__name__] = function
    return function


def monkey() -> Any:
    bpy.ops.mesh.primitive_monkey_add()
    made = bpy.context.object
    made.data.materials.append(stage.material("M"))
    return made


@kind
def image_sequence(_scene: Any) -> None:
    """Ten pictures, a new one in each frame."""
    for number in range(1, 11):
        stage.write_png(f"seq/f_{number:04d}.png", (20 * number, 250 - 20 * number, 7 * number))
    image = bpy.data.images.load(os.path.join(stage.OUT, "seq/f_0001.png"))
    image.source = "SEQUENCE"
    node = stage.texture(monkey().data.materials[0], image)
    node.image_user.frame_duration = 10
    node.image_user.use_auto_refresh = True


@kind
def views(scene: Any) -> None:
    """A picture for each eye, shown by the compositor, and none under the name that the image has."""
    scene.render.use_multiview = True
    bare = stage.write_png("eyes/wall.png", (9, 9, 9))
    stage.write_png("eyes/wall_L.png", (240, 40, 40))
    stage.write_png("eyes/wall_R.png", (40, 40, 240))
    image = bpy.data.images.load(bare)
    image.use_multiview = True
    image.views_format = "INDIVIDUAL"
    os.remove(bare)
    tree, target = stage.compositor(scene)
    node = tree.nodes.new("CompositorNodeImage")
    node.image = image
    tree.links.new(node.outputs["Image"], target.inputs[0])


@kind
def udim(_scene: Any) -> None:
    """Tiles, of which none is named so."""
    for tile in (1001, 1002):
        stage.write_png(f"tiles/skin.{tile}.png", (tile % 250, 30, 90))
    image = bpy.data.images.load(os.path.join(stage.OUT, "tiles/skin.1001.png"))
    image.source = "TILED"
    image.filepath = os.path.join(stage.OUT, "tiles/skin.<UDIM>.png")
    image.tiles.new(tile_number=1002)
    stage.texture(monkey().data.materials[0], image)


made_scene = stage.new_scene()
made_scene.frame_start, made_scene.frame_end = 1, 10
KINDS[stage.ARGUMENTS[1]](made_scene)
stage.save("main.blend")
