"""Renders a part of a frame: a rectangle of its pixels, a range of its samples, or both, with all that the whole frame
is later made of, and nothing that is only done to whole frames."""

from __future__ import annotations

import struct
from typing import Any

from . import output, splitting
from .link import Refusal
from .splitting import Window

Undo = output.Undo

Range = dict[str, int]
"""Samples: `offset` of the first, `length`."""

COLOURS = {
    "use_pass_diffuse_color": ("use_pass_diffuse_direct", "use_pass_diffuse_indirect"),
    "use_pass_glossy_color": ("use_pass_glossy_direct", "use_pass_glossy_indirect"),
    "use_pass_transmission_color": ("use_pass_transmission_direct", "use_pass_transmission_indirect"),
}
"""Colours that Cycles divides passes of light by: those are merged by samples only together with them."""


class Slices:
    """What a scene's slices have in common; their places and samples they have not."""

    def __init__(self, scene: Any, undo: Undo) -> None:
        refuse_whole(scene)
        self.scene = scene
        self.samples = scene.cycles.samples
        """Of a whole frame."""
        self._no_ranges = list(splitting.no_even_ranges(scene))
        self._adaptive = scene.cycles.use_adaptive_sampling
        _settle(scene, undo)

    def place(self, wanted: Window) -> Window:
        """Has a window of the frame rendered, and what must be known around it. Returns all of what is rendered."""
        width, height = splitting.frame_size(self.scene)
        right, bottom = wanted["x"] + wanted["width"], wanted["y"] + wanted["height"]
        if not (0 <= wanted["x"] < right <= width and 0 <= wanted["y"] < bottom <= height):
            raise Refusal(
                "request",
                f"the window {wanted['x']},{wanted['y']},{wanted['width']}x{wanted['height']} is not in the frame, "
                f"which has {width}x{height} pixels",
            )
        around = splitting.overscan(self.scene)
        left, right = max(0, wanted["x"] - around), min(width, right + around)
        top, bottom = max(0, wanted["y"] - around), min(height, bottom + around)
        render = self.scene.render
        # Blender counts from the bottom.
        _set(render, "border_min_x", _edge(left, width))
        _set(render, "border_max_x", _edge(right, width))
        _set(render, "border_min_y", _edge(height - bottom, height))
        _set(render, "border_max_y", _edge(height - top, height))
        return {"x": left, "y": top, "width": right - left, "height": bottom - top}

    def choose(self, wanted: Range | None) -> Range:
        """Has a range of the samples rendered, all of them if none is named.

        Of a range every pixel has all samples: which need more shows only when all ranges are seen together. Asked
        before `place`, since what must be known around a window depends on it.
        """
        chosen = wanted or {"offset": 0, "length": self.samples}
        offset, length = chosen["offset"], chosen["length"]
        if offset < 0 or length < 1 or offset + length > self.samples:
            raise Refusal("request", f"the samples {offset}+{length} are no range of the {self.samples} of the frame")
        whole = length == self.samples
        if not whole and self._no_ranges:
            reasons = "; ".join(self._no_ranges)
            raise Refusal("request", f"the samples of {self.scene.name!r} cannot be rendered in ranges: {reasons}")
        cycles = self.scene.cycles
        if splitting.HAS_SUBSETS:
            _set(cycles, "use_sample_subset", not whole)
            _set(cycles, "sample_subset_length", length)
        else:
            _set(cycles, "samples", length)
        _set(cycles, "sample_offset", offset)
        _set(cycles, "use_adaptive_sampling", self._adaptive and wanted is None)
        return chosen


def refuse_whole(scene: Any) -> None:
    """Nothing but scenes whose frames can be rendered in parts."""
    reasons = list(splitting.no_parts(scene, scene.render.engine))
    if reasons:
        raise Refusal("request", f"frames of {scene.name!r} cannot be rendered in parts: {'; '.join(reasons)}")


def _settle(scene: Any, undo: Undo) -> None:
    render = scene.render
    for layer in splitting.denoised(scene):
        output.set_property(layer.cycles, "denoising_store_passes", True, undo)
    for layer in scene.view_layers:
        for colour, lights in COLOURS.items():
            if any(getattr(layer, light) for light in lights):
                output.set_property(layer, colour, True, undo)
    output.set_property(scene.cycles, "use_denoising", False, undo)
    for name in ("use_compositing", "use_sequencer", "use_stamp"):
        output.set_property(render, name, False, undo)
    output.use_linear_exr(scene, undo)
    output.keep(render, ("border_min_x", "border_max_x", "border_min_y", "border_max_y"), undo)
    output.set_property(render, "use_border", True, undo)
    output.set_property(render, "use_crop_to_border", True, undo)
    samples = ("samples", "sample_offset", "use_sample_subset", "sample_subset_length", "use_adaptive_sampling")
    output.keep(scene.cycles, [name for name in samples if hasattr(scene.cycles, name)], undo)


def _edge(pixels: int, size: int) -> float:
    """The part of a side of which Blender and Cycles, cutting to whole pixels in 32-bit floats, make so many pixels."""
    edge = _f32(pixels / size)
    while int(_f32(edge * size)) < pixels:
        (bits,) = struct.unpack("<i", struct.pack("<f", edge))
        (edge,) = struct.unpack("<f", struct.pack("<i", bits + 1))
    return edge


def _f32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def _set(owner: Any, name: str, value: Any) -> None:
    """Without a way back: that is kept from before the first slice."""
    if getattr(owner, name) != value:
        setattr(owner, name, value)
