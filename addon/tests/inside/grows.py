"""F12 on a frame in parts: PAUSED says how much of it there is, and Blender shows that. Then SEEN, and the whole."""

import sys
import tempfile
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window  # noqa: E402

paused, seen = map(Path, window.ARGUMENTS)
FOLDER = tempfile.TemporaryDirectory(prefix="tessera-grows-")


Pixel = tuple[float, ...]


def shown(name: str) -> list[Pixel]:
    """What is in the Render Result, as red, green, blue and alpha of each pixel."""
    path = str(Path(FOLDER.name) / name)
    bpy.data.images["Render Result"].save_render(path, scene=bpy.context.scene)
    image = bpy.data.images.load(path)
    values = iter(image.pixels[:])
    pixels = list(zip(values, values, values, values, strict=True))
    bpy.data.images.remove(image)
    return pixels


def rendered(pixels: list[Pixel]) -> float:
    """How much of a picture is there."""
    return sum(pixel[3] > 0 for pixel in pixels) / len(pixels)


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
    yield lambda: abs(rendered(shown("some.exr")) - share) < 0.03
    some = shown("some.exr")
    seen.touch()
    yield lambda: over and not bpy.app.is_job_running("RENDER")
    whole = shown("whole.exr")
    same = all(one == other for one, other in zip(some, whole, strict=True) if one[3] > 0)
    print("OVER", over)
    print("GROWN", 0 < rendered(some) < 1, same, rendered(whole) == 1)


window.run(steps)
