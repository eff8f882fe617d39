"""F12 on a frame in parts: PAUSED says how much of it there is, and Blender shows that. Then SEEN, and the whole."""

import sys
import tempfile
from pathlib import Path

import bpy
import numpy

sys.path.insert(0, str(Path(__file__).parent))
import window  # noqa: E402

paused, seen = map(Path, window.ARGUMENTS)
FOLDER = tempfile.TemporaryDirectory(prefix="tessera-grows-")


def shown(name: str) -> numpy.ndarray:
    """What is in the Render Result, as colours and alpha of each pixel."""
    path = str(Path(FOLDER.name) / name)
    bpy.data.images["Render Result"].save_render(path, scene=bpy.context.scene)
    image = bpy.data.images.load(path)
    pixels = numpy.array(image.pixels[:]).reshape(-1, 4)
    bpy.data.images.remove(image)
    return pixels


def steps():  # noqa: ANN201
    over = []
    bpy.app.handlers.render_complete.append(lambda *_: over.append("complete"))
    bpy.app.handlers.render_cancel.append(lambda *_: over.append("cancel"))
    scene = bpy.context.scene
    scene.render.engine = "TESSERA"
    scene.cycles.samples = 256
    scene.tessera.tiles = "GRID"
    scene.tessera.tiles_x, scene.tessera.tiles_y = 6, 4
    written = scene.render.image_settings
    written.file_format, written.color_mode, written.color_depth = "OPEN_EXR", "RGBA", "32"
    yield 1
    window.press("F12")
    yield paused.exists
    share = float(paused.read_text())
    yield lambda: abs((shown("some.exr")[:, 3] > 0).mean() - share) < 0.03
    some = shown("some.exr")
    seen.touch()
    yield lambda: over and not bpy.app.is_job_running("RENDER")
    whole = shown("whole.exr")
    there = some[:, 3] > 0
    print("OVER", over)
    print("GROWN", 0 < there.mean() < 1, bool((some[there] == whole[there]).all()), bool((whole[:, 3] > 0).all()))


window.run(steps)
