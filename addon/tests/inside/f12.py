"""Renders a frame with F12, or what Ctrl-F12 calls, and saves the Render Result: OUTPUT ENGINE animation|F12."""

import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window  # noqa: E402

output, engine, key = window.ARGUMENTS


def steps():  # noqa: ANN201
    over = []
    bpy.app.handlers.render_complete.append(lambda *_: over.append("complete"))
    bpy.app.handlers.render_cancel.append(lambda *_: over.append("cancel"))
    scene = bpy.context.scene
    scene.render.engine = engine
    yield 1
    if key == "animation":
        window.call(bpy.ops.render.render, "INVOKE_DEFAULT", animation=True)
    else:
        window.press(key)
    yield lambda: over and not bpy.app.is_job_running("RENDER")
    print("OVER", over)
    if over == ["complete"]:
        bpy.data.images["Render Result"].save_render(output, scene=scene)
    print("STATE", bpy.data.is_dirty, scene.render.engine, scene.render.image_settings.file_format)


window.run(steps)
