"""An edit that is not saved is rendered; file, undo steps and state stay as they are."""

import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window  # noqa: E402
from tessera import works  # noqa: E402


def steps():  # noqa: ANN201
    bpy.context.preferences.is_dirty = False
    monkey = bpy.data.objects["Suzanne"]
    yield 1
    window.call(bpy.ops.transform.translate, "EXEC_DEFAULT", True, value=(0.5, 0, 0))
    window.call(bpy.ops.transform.translate, "EXEC_DEFAULT", True, value=(0.5, 0, 0))
    yield 1
    print("BEFORE", bpy.data.is_dirty, bpy.data.filepath, round(monkey.location.x, 3))
    window.call(bpy.ops.tessera.render_still, "INVOKE_DEFAULT")
    yield lambda: works.works and not works.works[0].running
    yield 1
    print("AFTER", bpy.data.is_dirty, bpy.data.filepath, round(monkey.location.x, 3))
    print("RENDERED", works.works[0].message, works.works[0].newest)
    print("SHOWN", [each.spaces.active.image.name for each in bpy.context.screen.areas if each.type == "IMAGE_EDITOR"])
    places = []
    for _ in range(2):
        window.call(bpy.ops.ed.undo)
        places.append(round(bpy.data.objects["Suzanne"].location.x, 3))
    print("UNDONE", places, bpy.context.preferences.is_dirty, bpy.context.preferences.edit.undo_steps)


window.run(steps)
