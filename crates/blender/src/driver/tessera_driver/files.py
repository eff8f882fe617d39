"""From the places that name files to the files themselves: sequences, tiles, views and caches are many."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import bpy

from . import paths
from .paths import Reference

FOLDER_MAX_FILES = 200_000
"""Files listed of one cache folder: a bake of years of frames, but not a whole disk named by mistake."""

Found = Iterator[tuple[str, bool]]
"""Absolute paths, each with whether the frame renders the same without it."""


class FrameSpan:
    """The frames that files are wanted for, both ends included."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last


def external_files(span: FrameSpan) -> list[dict[str, Any]]:
    """Every external file once, with all its users."""
    listed: dict[str, dict[str, Any]] = {}
    users = image_users()
    references = list(paths.references())
    for reference in references:
        for path, optional in expand(reference, span, users):
            _add(listed, reference.stored, path, reference.kind, reference.label, reference.optional or optional)
    for stored, path, kind, label in cache_folders():
        _add(listed, stored, path, kind, label, False)
    _add_unlisted(listed, {reference.absolute() for reference in references})
    main = os.path.normpath(bpy.data.filepath)
    return [entry for path, entry in sorted(listed.items()) if path != main]


def _add(listed: dict[str, dict[str, Any]], stored: str, path: str, kind: str, label: str, optional: bool) -> None:
    path = os.path.normpath(path)
    entry = listed.get(path)
    if entry is None:
        listed[path] = {
            "stored": stored,
            "path": path,
            "kind": kind,
            "used_by": [label],
            "optional": optional,
            "exists": os.path.isfile(path),
        }
        return
    entry["optional"] = entry["optional"] and optional
    if label not in entry["used_by"]:
        entry["used_by"].append(label)


def _add_unlisted(listed: dict[str, dict[str, Any]], known: set[str]) -> None:
    """What Blender itself would list and the above does not know of."""
    for path in bpy.utils.blend_paths(absolute=True, packed=False):
        path = os.path.normpath(path)
        # The first file of a sequence is known, and maybe not needed.
        if path not in listed and path not in known and os.path.isfile(path):
            _add(listed, path, path, "other", "the file", False)


def expand(reference: Reference, span: FrameSpan, users: ImageUsers) -> Found:
    """The files that a reference stands for. Those that should be there come, too, if they are not."""
    path = reference.absolute()
    detail = reference.detail
    if reference.kind == "library":
        yield paths.library_file(reference.owner), False
    elif detail == "folder":
        yield from ((file, False) for file in files_below(path))
    elif reference.kind == "udim":
        yield from ((_tile(path, tile.number), False) for tile in detail.tiles)
    elif isinstance(detail, bpy.types.Image):
        yield from _image(detail, path, span, users)
    elif reference.kind == "sequence" and isinstance(detail, bpy.types.MovieClip):
        yield from _sequence_or_first(path)
    elif reference.kind == "sequence":
        yield from ((os.path.join(path, element.filename), False) for element in _elements(detail, span))
    elif getattr(detail, "is_sequence", False):
        yield from _sequence_or_first(path)
    else:
        yield path, False


# Images


class ImageUsers:
    """Who shows an image, as far as that decides which of its files are needed."""

    def __init__(self) -> None:
        self.mappings: dict[Any, list[Any]] = defaultdict(list)
        """By image: the image users that choose the frame of a sequence; None where all frames may be needed."""
        self.harmless: set[Any] = set()
        """Images that no frame shows: of brushes, backgrounds of the viewport, or of nobody."""


def image_users() -> ImageUsers:
    users = ImageUsers()
    for tree, _label in paths.node_trees():
        animated = _is_animated(tree)
        for node in tree.nodes:
            image = getattr(node, "image", None)
            if isinstance(image, bpy.types.Image):
                # A compositor's image node has the properties of an image user itself.
                mapping = getattr(node, "image_user", None) or (node if hasattr(node, "frame_duration") else None)
                users.mappings[image].append(None if animated else mapping)
            for socket in node.inputs:
                if socket.type == "IMAGE" and isinstance(getattr(socket, "default_value", None), bpy.types.Image):
                    users.mappings[socket.default_value].append(None)
    for texture in bpy.data.textures:
        if texture.type == "IMAGE" and texture.image is not None:
            users.mappings[texture.image].append(None if _is_animated(texture) else texture.image_user)
    images = list(bpy.data.images)
    for image, owners in bpy.data.user_map(subset=images).items():
        if all(_is_harmless(owner) for owner in owners):
            users.harmless.add(image)
    return users


def _is_animated(owner: Any) -> bool:
    return owner.animation_data is not None


def _is_harmless(owner: Any) -> bool:
    if isinstance(owner, bpy.types.Object):
        return owner.type == "EMPTY"
    # Cameras hold backgrounds for the viewport only.
    viewport = (bpy.types.Brush, bpy.types.Screen, bpy.types.WindowManager, bpy.types.WorkSpace, bpy.types.Camera)
    return isinstance(owner, viewport)


def _image(image: Any, path: str, span: FrameSpan, users: ImageUsers) -> Found:
    optional = image in users.harmless
    for view in _views(image, path):
        if image.source == "SEQUENCE":
            yield from ((file, optional or spare) for file, spare in _image_sequence(image, view, span, users))
        else:
            yield view, optional


def _views(image: Any, path: str) -> Iterator[str]:
    """An image of several views has a file for each, named by the scene's suffixes."""
    if not (image.use_multiview and image.views_format == "INDIVIDUAL"):
        yield path
        return
    stem, extension = os.path.splitext(path)
    suffixes = {view.file_suffix for scene in bpy.data.scenes for view in scene.render.views if view.use}
    bare = next((stem[: -len(suffix)] for suffix in suffixes if suffix and stem.endswith(suffix)), stem)
    found = [bare + suffix + extension for suffix in sorted(suffixes)]
    found = [file for file in found if os.path.isfile(file)]
    yield from found or [path]


def _image_sequence(image: Any, path: str, span: FrameSpan, users: ImageUsers) -> Found:
    mappings = users.mappings.get(image, [None])
    parts = _sequence_parts(path)
    if parts is None:
        yield path, False
        return
    head, digits, tail = parts
    exact: set[int] = set()
    spare: set[int] = set()
    for mapping in mappings:
        if mapping is None or mapping.frame_duration <= 0:
            yield from _sequence_or_first(path)
            return
        exact.update(_frames_shown(mapping, span.first, span.last))
        # Motion blur looks a frame ahead and behind.
        spare.update(_frames_shown(mapping, span.first - 1, span.first - 1))
        spare.update(_frames_shown(mapping, span.last + 1, span.last + 1))
    for frame in sorted(exact | spare):
        file = f"{head}{frame:0{digits}d}{tail}"
        if frame in exact:
            yield file, False
        elif os.path.isfile(file):
            yield file, True


def _frames_shown(mapping: Any, first: int, last: int) -> set[int]:
    """Blender's BKE_image_user_frame_get, over a range."""
    duration = mapping.frame_duration
    cyclic = getattr(mapping, "use_cyclic", False)
    begin, end = first - mapping.frame_start + 1, last - mapping.frame_start + 1
    if cyclic:
        if end - begin + 1 >= duration:
            shown = range(1, duration + 1)
        else:
            return {(frame - 1) % duration + 1 + mapping.frame_offset for frame in range(begin, end + 1)}
    else:
        shown = range(min(max(begin, 0), duration), min(max(end, 0), duration) + 1)
    return {frame + mapping.frame_offset for frame in shown}


def _tile(path: str, number: int) -> str:
    index = number - 1001
    path = path.replace("<UDIM>", str(number))
    return path.replace("<UVTILE>", f"u{index % 10 + 1}_v{index // 10 + 1}")


# Sequences and folders


def _sequence_parts(path: str) -> tuple[str, int, str] | None:
    """The last digits of a file name are its frame: what is before, how many they are, what is after."""
    folder, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    match = re.search(r"(\d+)(\D*)$", stem)
    if match is None:
        return None
    head = os.path.join(folder, stem[: match.start(1)])
    return head, len(match.group(1)), match.group(2) + extension


def _sequence_or_first(path: str) -> Found:
    """All files of a sequence that are there; the named one if none is."""
    parts = _sequence_parts(path)
    found = []
    if parts is not None:
        head, _digits, tail = parts
        folder, start = os.path.split(head)
        for name in _names(folder):
            if name.startswith(start) and name.endswith(tail) and name[len(start) : len(name) - len(tail)].isdigit():
                found.append(os.path.join(folder, name))
    for file in found or [path]:
        yield file, False


def _elements(strip: Any, span: FrameSpan) -> Iterable[Any]:
    """The images of a strip that the span shows."""
    elements = list(strip.elements)
    if len(elements) < 2:
        return elements
    # Where the strip is trimmed, retimed or slowed, an element's place is not its frame.
    plain = {"animation_offset_start": 0, "speed_factor": 1.0, "strobe": 1.0, "use_reverse_frames": False}
    if any(getattr(strip, name, value) != value for name, value in plain.items()):
        return elements
    start = int(strip.frame_start)
    first, last = span.first - start, span.last - start
    kept = [element for index, element in enumerate(elements) if first - 1 <= index <= last + 1]
    return kept or elements[:1]


def files_below(folder: str) -> Iterator[str]:
    """Every file in a folder and its folders."""
    count = 0
    for inner, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > FOLDER_MAX_FILES:
                return
            yield os.path.join(inner, name)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def cache_folders() -> Iterator[tuple[str, str, str, str]]:
    """Files that Blender finds by the name of the .blend: point caches and bakes in `blendcache_NAME` beside it."""
    blends = [(bpy.data.filepath, "the file")]
    blends += [(paths.library_file(library), paths.describe_library(library)) for library in bpy.data.libraries]
    for blend, label in blends:
        folder, name = os.path.split(blend)
        cache = "blendcache_" + os.path.splitext(name)[0]
        for file in files_below(os.path.join(folder, cache)):
            kind = "point_cache" if file.endswith(".bphys") else "nodes_bake"
            yield f"//{os.path.relpath(file, folder)}", file, kind, label
