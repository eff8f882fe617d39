"""Which frames files are wanted for, and which moments of time Blender looks at to make one of them.

Only what is sure limits anything. Where a frame may look at any moment (time is remapped, a strip shows another scene,
scripts run) nothing is limited: every file of a sequence or a cache travels. A frame looks at least one frame ahead and
behind, for motion blur, for passes of motion, and where what is stored is interpolated; further, if the shutter is open
longer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import bpy

from . import paths

FRAMES_MAX = 50_000
"""Frames up to which files are told apart by the frames that need them. Who renders more of them needs the whole
sequence anyway, and the sets would take more memory than the scene."""


class File(NamedTuple):
    """A file that something stands for."""

    path: str
    optional: bool = False
    """Frames render the same without it."""
    frames: frozenset[int] | None = None
    """The wanted frames that need it; None: it is needed whatever frame is rendered."""


class Frames:
    """The frames that files are wanted for."""

    def __init__(self, wanted: Iterable[int], reach: int, animated: frozenset[str]) -> None:
        self.wanted = sorted(wanted)
        self.reach = reach
        """Frames ahead and behind that making a frame looks at."""
        self.animated = animated
        """Names of all properties that are animated anywhere in the file."""

    def windows(self) -> Iterator[tuple[int, int, int]]:
        """Each frame with the first and the last moment that it looks at."""
        for frame in self.wanted:
            yield frame, frame - self.reach, frame + self.reach


def wanted(text: str | None, scenes: list[Any], scripts: bool) -> Frames | None:
    """The frames of a request, or of all scenes if it names none. None: nothing can be limited."""
    animated = frozenset(_animated())
    if _unsure(scenes, scripts, animated):
        return None
    if text is None:
        ranges = [range(scene.frame_start, scene.frame_end + 1, scene.frame_step) for scene in scenes]
    else:
        ranges = [_range(part) for part in text.split(",")]
    if sum(map(len, ranges)) > FRAMES_MAX:
        return None
    return Frames({frame for part in ranges for frame in part}, max(map(_reach, scenes)), animated)


def _range(part: str) -> range:
    """A part of a list of frames: `5`, `1..24` or `1..100x5`."""
    match = re.fullmatch(r"(-?\d+)(?:\.\.(-?\d+)(?:x(\d+))?)?", part)
    if match is None:
        raise ValueError(f"{part} is not a list of frames")
    first = int(match[1])
    return range(first, int(match[2] or first) + 1, int(match[3] or 1))


def as_text(frames: Iterable[int]) -> str:
    """A list of frames, as short as runs make it."""
    parts: list[list[int]] = []
    for frame in sorted(frames):
        if parts and parts[-1][1] == frame - 1:
            parts[-1][1] = frame
        else:
            parts.append([frame, frame])
    return ",".join(str(first) if first == last else f"{first}..{last}" for first, last in parts)


def _reach(scene: Any) -> int:
    shutters = [scene.render.motion_blur_shutter] if scene.render.use_motion_blur else []
    # Until 4.2 EEVEE has a shutter of its own.
    if getattr(scene.eevee, "use_motion_blur", False):
        shutters.append(scene.eevee.motion_blur_shutter)
    return max(1, *(math.ceil(shutter) for shutter in shutters), 1)


def _unsure(scenes: list[Any], scripts: bool, animated: frozenset[str]) -> bool:
    """Whether a frame may look at moments that are not around it."""
    if scripts and any(text.use_module for text in bpy.data.texts):
        return True
    if {"frame_map_old", "frame_map_new", "motion_blur_shutter"} & animated:
        return True
    for scene in scenes:
        if scene.render.frame_map_old != scene.render.frame_map_new:
            return True
        if any(strip.type == "SCENE" for strip in paths.all_strips(scene)):
            return True
    return False


def _animated() -> Iterator[str]:
    """The name of each property that is animated."""
    for action in bpy.data.actions:
        for curve in _curves(action):
            yield _property(curve.data_path)
    for owner, _holder, _inner in paths.animated():
        data = owner.animation_data
        for curve in data.drivers if data else ():
            yield _property(curve.data_path)


def _property(data_path: str) -> str:
    return data_path.rsplit(".", 1)[-1]


def _curves(action: Any) -> Iterator[Any]:
    if hasattr(action, "fcurves"):
        yield from action.fcurves
        return
    # From 5.0 on curves are only in the layers of an action.
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                yield from bag.fcurves


Shown = Callable[[int], tuple[int, bool] | None]
"""The number of the file that a moment shows, if one, and whether it has to be there."""


def of_sequence(frames: Frames, shown: Shown) -> dict[int, tuple[frozenset[int], bool]]:
    """By number of a file, the frames that need it, and whether one of them cannot do without it."""
    users: dict[int, set[int]] = {}
    sure: set[int] = set()
    seen: dict[int, tuple[int, bool] | None] = {}
    for frame, first, last in frames.windows():
        for moment in range(first, last + 1):
            if moment not in seen:
                seen[moment] = shown(moment)
            hit = seen[moment]
            if hit is not None:
                users.setdefault(hit[0], set()).add(frame)
                if moment == frame and hit[1]:
                    sure.add(hit[0])
    return {number: (frozenset(of), number in sure) for number, of in sorted(users.items())}


class Cached:
    """The steps of a cache by their times. What lies between two steps is interpolated, before the first and after the
    last there is the first and the last."""

    def __init__(self, steps: Iterable[float]) -> None:
        self.steps = sorted(set(steps))

    def read(self, first: float, last: float) -> list[float]:
        """The steps that moments from `first` to `last` are made of: those between, and the next on both sides where
        no step is exactly there."""
        inside = [step for step in self.steps if first <= step <= last]
        below = [step for step in self.steps if step < first][-1:] if not inside or inside[0] > first else []
        above = [step for step in self.steps if step > last][:1] if not inside or inside[-1] < last else []
        return below + inside + above
