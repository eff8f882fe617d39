"""Caches that Blender reads by the frame: point caches, bakes of geometry nodes, baked oceans.

What may be left out is decided by what Blender reads when all of it is baked: the step of a frame if there is one, else
those around it, with the frames beside for motion blur. Whatever does not have a name that is known, and every cache
of which anything is still simulated, travels whole. So do the caches of fluids: Mantaflow looks at what lies beside a
frame to decide how it reads it, and no Blender at hand bakes one to hold it against. And external point caches: pointed
to another place, Blender counts their frames anew from what lies there, and takes the first for the start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import bpy

from . import paths
from .frames import Cached, File, Frames
from .link import Refusal

FOLDER_MAX_FILES = 200_000
"""Files listed of one cache folder: a bake of years of frames, but not a whole disk named by mistake."""

POINTS = re.compile(r"(.*?)_(-?\d{6,})(_\d{2,})?\.bphys")
OCEAN = re.compile(r"(disp|foam|normal|spray|spray_inverse)_(-?\d{4,})\.exr")
STEP = re.compile(r"(-?\d+)_(\d{5})\.json")
"""A step of a bake of nodes: the frame, and the part of it in hundred-thousandths."""
NAME = re.compile(r'"name"\s*:\s*"([^"]+)"')
"""How a step refers to what lies in `blobs`, among other things that have names."""


def files_below(folder: str) -> Iterator[str]:
    """Every file in a folder and its folders."""
    count = 0
    for inner, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > FOLDER_MAX_FILES:
                text = f"the cache {folder} has more than {FOLDER_MAX_FILES:,} files: is it the folder that is meant?"
                raise Refusal("unreadable", text)
            yield os.path.join(inner, name)


def _steps(files: dict[str, float], wanted: Frames, spans: Iterable[tuple[int, int]]) -> Iterator[File]:
    """Of the files of a cache with their times, those that the frames read. Outside of a span of frames Blender reads
    as at its ends."""
    cached = Cached(files.values())
    users: dict[float, set[int]] = {}
    for frame, first, last in wanted.windows():
        moments = {(first, last)} | {(min(max(first, a), b), min(max(last, a), b)) for a, b in spans}
        for low, high in moments:
            for step in cached.read(low, high):
                users.setdefault(step, set()).add(frame)
    for file, step in files.items():
        if step in users:
            yield File(file, frames=frozenset(users[step]))


# Point caches


def points(files: list[str], wanted: Frames | None) -> Iterator[File]:
    """Of files of point caches, those that the frames read. BKE_ptcache_read."""
    caches = [cache for cache, _label in all_point_caches()]
    if wanted is None or not all(_is_readable(cache) for cache in caches) or _draws_paths():
        yield from map(File, files)
        return
    spans = {(cache.frame_start, cache.frame_end) for cache in caches}
    by_cache: dict[tuple[str, str, str], dict[str, float]] = {}
    for file in files:
        folder, name = os.path.split(file)
        match = POINTS.fullmatch(name)
        # Number 0 tells of all frames: when particles are born and die.
        if match is None or int(match[2]) == 0:
            yield File(file)
        else:
            by_cache.setdefault((folder, match[1], match[3]), {})[file] = int(match[2])
    for steps in by_cache.values():
        yield from _steps(steps, wanted, spans)


def all_point_caches() -> Iterator[tuple[Any, str]]:
    for owner in bpy.data.objects:
        yield from paths.point_caches(owner)
    for scene in bpy.data.scenes:
        yield from paths.world_caches(scene)


def _is_readable(cache: Any) -> bool:
    """Whether nothing of it is simulated any more, or it has no files."""
    return cache.is_baked or cache.use_external or not cache.use_disk_cache


def _draws_paths() -> bool:
    """Particles that are rendered as their paths."""
    return any(settings.type == "EMITTER" and settings.render_type == "PATH" for settings in bpy.data.particles)


# Bakes of geometry nodes


def nodes_bake(folder: str, wanted: Frames | None) -> Iterator[File]:
    """A folder of bakes, each with its steps in `meta`, and what they refer to in `blobs`: steps share what does not
    change."""
    bakes: dict[str, list[str]] = {}
    for file in files_below(folder):
        inner = os.path.dirname(file)
        if wanted is not None and os.path.basename(inner) in ("meta", "blobs"):
            bakes.setdefault(os.path.dirname(inner), []).append(file)
        else:
            yield File(file)
    for bake, files in bakes.items():
        yield from _bake(bake, files, wanted)


def _bake(bake: str, files: list[str], wanted: Frames) -> Iterator[File]:
    meta, blobs = os.path.join(bake, "meta"), os.path.join(bake, "blobs")
    steps: dict[str, float] = {}
    for file in files:
        match = STEP.fullmatch(os.path.basename(file))
        if os.path.dirname(file) == meta and match is not None:
            steps[file] = int(match[1]) + int(match[2]) / 100_000
    others = [file for file in files if file not in steps]
    # Beside a file whose name says nothing, all may be of use.
    if not steps or any(os.path.dirname(file) != blobs for file in others):
        yield from map(File, files)
        return
    # A bake of one state for all frames is its first step.
    kept = [File(min(steps, key=steps.__getitem__)), *_steps(steps, wanted, ())]
    whole: set[str] = set()
    used: dict[str, set[int]] = {}
    for file in kept:
        yield file
        for blob in _named(file.path, blobs):
            if file.frames is None:
                whole.add(blob)
            else:
                used.setdefault(blob, set()).update(file.frames)
    for blob in others:
        if blob in whole or blob in used:
            yield File(blob, frames=None if blob in whole else frozenset(used[blob]))


def _named(step: str, folder: str) -> set[str]:
    """Everything in a folder that a step may refer to."""
    try:
        with open(step, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        # It is read again to be sent, and named if that fails.
        return set()
    return {os.path.join(folder, name) for name in NAME.findall(text)}


# Oceans


def ocean(modifier: Any, folder: str, wanted: Frames | None) -> Iterator[File]:
    """The pictures of a baked ocean. BKE_ocean_simulate_cache."""
    kinds: dict[str, dict[str, float]] = {}
    for file in files_below(folder):
        match = OCEAN.fullmatch(os.path.basename(file))
        if wanted is None or match is None or os.path.dirname(file) != folder:
            yield File(file)
        else:
            kinds.setdefault(match[1], {})[file] = int(match[2])
    for steps in kinds.values():
        yield from _steps(steps, wanted, [(modifier.frame_start, modifier.frame_end)])
