"""How colours of a scene look on a screen, for whoever shows its frames without Blender.

Blender transforms some colours by the scene's own settings (view transform, look, exposure, gamma, curves), and what
came of them is written down as a table: a *curve*, which gives each channel its place along the table, and a *cube* of
the colours at evenly spaced places, between which is interpolated. The curve is half the logarithm of the light and
half the answer of the transform to greys: the one alone is coarse where a display's white is reached, the other where
strong colours are pulled towards white. Compared with Blender's own pictures (3.4.1, 4.2, 5.0.1; random colours of 14
stops) 999 of 1000 values differ by 3 of 255 at most with Standard, Filmic, AgX and Khronos Neutral; False Color, which
has steps, is only like itself.
"""

from __future__ import annotations

import bisect
import os
import struct
from array import array
from collections.abc import Callable
from typing import Any

import bpy

from . import link, output

MAGIC = b"tsrdisp1"
"""Begins the file. Then, all little-endian: the number of places of the curve and of each side of the cube (u32), the
first and the last stop of the curve (f32), its places (f32), and the cube's red, green and blue (f32), red fastest."""

CURVE = 4096
SIDE = 49

STOPS = (-12.0, 8.0)
"""The light that the curve's second and last places stand for, as powers of two. The first stands for none."""

LINEAR_FORMATS = ("OPEN_EXR", "OPEN_EXR_MULTILAYER", "HDR")
"""Formats that keep colours as they are rendered."""


class Displays:
    """Makes the table of a scene once for each state of its settings."""

    def __init__(self) -> None:
        self._made: tuple[Any, ...] | None = None
        self._path = ""
        self._count = 0

    def of_frames(self, scene: Any) -> str | None:
        """The table for frames of a scene; None where they are written as they are shown."""
        return self.of(scene) if scene.render.image_settings.file_format in LINEAR_FORMATS else None

    def of(self, scene: Any) -> str | None:
        """The file with a scene's table, as long as this Blender lives; None where it cannot be made: no frame is lost
        for that."""
        try:
            state = _state(scene)
            if state != self._made or not os.path.isfile(self._path):
                self._count += 1
                path = os.path.join(bpy.app.tempdir, f"display-{self._count}")
                _write(path, scene)
                self._made, self._path = state, path
            return self._path
        except Exception:
            link.log_traceback()
            return None


def _state(scene: Any) -> tuple[Any, ...]:
    """All that the transform depends on."""
    settings = scene.view_settings
    values: list[Any] = [scene.display_settings.display_device]
    for prop in settings.bl_rna.properties:
        if prop.type not in ("POINTER", "COLLECTION"):
            value = getattr(settings, prop.identifier)
            values.append(tuple(value) if getattr(prop, "is_array", False) else value)
    if settings.use_curve_mapping:
        mapping = settings.curve_mapping
        values += [tuple(mapping.black_level), tuple(mapping.white_level)]
        values += [(*point.location, point.handle_type) for curve in mapping.curves for point in curve.points]
    return tuple(values)


def _write(path: str, scene: Any) -> None:
    undo: output.Undo = []
    output.use_exact_png(scene, undo)
    try:
        curve, cube = _table(lambda width, colours: _shown(scene, f"{path}.png", width, colours))
    finally:
        output.revert(undo)
    with open(path, "wb") as file:
        file.write(struct.pack("<8sIIff", MAGIC, CURVE, SIDE, *STOPS))
        file.write(curve.tobytes() + cube.tobytes())


def _table(shown: Callable[[int, array[float]], array[float]]) -> tuple[array[float], array[float]]:
    """Curve and cube, of what Blender makes of colours in rows of so many."""
    first, last = STOPS
    lights = [0.0] + [2.0 ** (first + (last - first) * step / (CURVE - 2)) for step in range(CURVE - 1)]
    answer = list(shown(CURVE, array("f", [value for light in lights for value in (light, light, light, 1.0)]))[1::3])
    for place in range(1, CURVE):
        answer[place] = max(answer[place - 1], answer[place])
    low, high = answer[0], answer[-1]
    # Some displays are dark whatever the light.
    rise = [(value - low) / (high - low) if high > low else 0.0 for value in answer]
    top = 1.0 + rise[-1]
    curve = [(step / (CURVE - 1) + rise[step]) / top for step in range(CURVE)]
    nodes = [_light_at(curve, lights, place / (SIDE - 1)) for place in range(SIDE)]
    colours = array("f")
    for blue in nodes:
        for green in nodes:
            for red in nodes:
                colours.extend((red, green, blue, 1.0))
    return array("f", curve), shown(SIDE * SIDE, colours)


def _light_at(curve: list[float], lights: list[float], place: float) -> float:
    """What has its place there; the curve rises everywhere."""
    after = min(max(bisect.bisect_left(curve, place), 1), CURVE - 1)
    begin, end = curve[after - 1], curve[after]
    return lights[after - 1] + (lights[after] - lights[after - 1]) * (place - begin) / (end - begin)


def _shown(scene: Any, path: str, width: int, colours: array[float]) -> array[float]:
    """What Blender makes of colours (with alpha), written as a picture and read again as it is."""
    height = len(colours) // 4 // width
    image = bpy.data.images.new("display", width, height, float_buffer=True)
    try:
        image.pixels.foreach_set(colours)
        image.save_render(path, scene=scene)
    finally:
        bpy.data.images.remove(image)
    image = bpy.data.images.load(path)
    try:
        image.colorspace_settings.is_data = True
        written = array("f", bytes(4 * width * height * image.channels))
        image.pixels.foreach_get(written)
        rest = image.channels
    finally:
        bpy.data.images.remove(image)
        os.remove(path)
    shown = array("f", bytes(4 * 3 * width * height))
    for channel in range(3):
        shown[channel::3] = written[channel::rest]
    return shown
