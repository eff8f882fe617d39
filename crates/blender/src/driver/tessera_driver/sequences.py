"""Files that are numbered by frames: which of them some frames show, by the rules that Blender finds them by.

Each rule is that of one function of Blender, named beside it. Where what chooses the number is itself animated, or
nothing can be limited, a sequence comes as a whole: every file of it that is there.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import bpy

from . import frames, paths
from .frames import File, Frames

Found = Iterator[File]

SPEEDS = {"strobe", "speed_factor", "use_reverse_frames"}
"""What makes a strip show its images at other frames."""


def parts_of(path: str) -> tuple[str, int, str] | None:
    """The last digits of a file name are its frame: what is before, how many they are, what is after.
    BLI_path_sequence_decode."""
    folder, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    match = re.search(r"(\d+)(\D*)$", stem)
    if match is None:
        return None
    head = os.path.join(folder, stem[: match.start(1)])
    return head, len(match.group(1)), match.group(2) + extension


def whole(path: str) -> Found:
    """All files of a sequence that are there; the named one if none is."""
    parts = parts_of(path)
    found = []
    if parts is not None:
        head, _digits, tail = parts
        folder, start = os.path.split(head)
        for name in _names(folder):
            number = name[len(start) : len(name) - len(tail)]
            if name.startswith(start) and name.endswith(tail) and re.fullmatch(r"-?\d+", number):
                found.append(os.path.join(folder, name))
    for file in found or [path]:
        yield File(file)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _numbered(path: str, wanted: Frames, shown: frames.Shown) -> Found:
    """The files of a sequence that the frames show, missing ones too; of those that they may look at, what is there."""
    parts = parts_of(path)
    if parts is None:
        yield File(path)
        return
    head, digits, tail = parts
    for number, (users, needed) in frames.of_sequence(wanted, shown).items():
        sign = "-" if number < 0 else ""
        file = f"{head}{sign}{abs(number):0{digits}d}{tail}"
        if needed or os.path.isfile(file):
            yield File(file, not needed, users)


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


def of_image(image: Any, path: str, wanted: Frames | None, users: ImageUsers) -> Found:
    harmless = image in users.harmless
    for view in _views(image, path):
        files = _image_sequence(image, view, wanted, users) if image.source == "SEQUENCE" else iter([File(view)])
        for file in files:
            yield file._replace(optional=file.optional or harmless)


def _views(owner: Any, path: str) -> Iterator[str]:
    """An image or a strip of several views has a file for each, named by the scene's suffixes."""
    if not (owner.use_multiview and owner.views_format == "INDIVIDUAL"):
        yield path
        return
    stem, extension = os.path.splitext(path)
    suffixes = _suffixes()
    bare = next((stem[: -len(suffix)] for suffix in suffixes if suffix and stem.endswith(suffix)), stem)
    found = [bare + suffix + extension for suffix in sorted(suffixes)]
    found = [file for file in found if os.path.isfile(file)]
    yield from found or [path]


def _suffixes() -> set[str]:
    return {view.file_suffix for scene in bpy.data.scenes for view in scene.render.views if view.use}


def _image_sequence(image: Any, path: str, wanted: Frames | None, users: ImageUsers) -> Found:
    mappings = users.mappings.get(image, [None])
    if wanted is None or any(mapping is None or mapping.frame_duration <= 0 for mapping in mappings):
        yield from whole(path)
        return
    for mapping in mappings:
        yield from _numbered(path, wanted, _image_shown(mapping))


def _image_shown(mapping: Any) -> frames.Shown:
    """BKE_image_user_frame_get."""
    duration, start, offset = mapping.frame_duration, mapping.frame_start, mapping.frame_offset
    cyclic = getattr(mapping, "use_cyclic", False)

    def shown(moment: int) -> tuple[int, bool]:
        place = moment - start + 1
        kept = (place - 1) % duration + 1 if cyclic else min(max(place, 0), duration)
        # Before its first frame an image shows nothing, or number 0 if there is one. There are no negative numbers.
        return max(kept + offset, 0), kept > 0

    return shown


# Clips, volumes, scene caches


def of_clip(clip: Any, path: str, wanted: Frames | None) -> Found:
    """get_sequence_filepath of movieclip.cc. A strip shows a clip at other frames than the scene's."""
    parts = parts_of(path)
    strips = any(strip.type == "MOVIECLIP" for scene in bpy.data.scenes for strip in paths.all_strips(scene))
    if wanted is None or parts is None or strips or _is_animated(clip):
        yield from whole(path)
        return
    # Blender looks at the first file to know what the clip is.
    yield File(path)
    head, digits, _tail = parts
    first = int(path[len(head) : len(head) + digits])
    begin, offset = clip.frame_start, clip.frame_offset
    # What lies before or after a clip shows nothing.
    yield from _numbered(path, wanted, lambda moment: (max(first + moment - begin + offset, 0), False))


def of_volume(volume: Any, path: str, wanted: Frames | None) -> Found:
    """volume_sequence_frame."""
    if not volume.is_sequence:
        yield File(path)
    elif wanted is None or _is_animated(volume) or not _ends_in_number(path):
        yield from whole(path)
    elif volume.frame_duration > 0:
        yield from _numbered(path, wanted, _volume_shown(volume))


def _volume_shown(volume: Any) -> frames.Shown:
    duration, start, offset, mode = (
        volume.frame_duration,
        volume.frame_start,
        volume.frame_offset,
        volume.sequence_mode,
    )

    def shown(moment: int) -> tuple[int, bool] | None:
        place = moment - start + 1
        if mode == "CLIP" and not 1 <= place <= duration:
            return None
        if mode == "EXTEND":
            place = min(max(place, 1), duration)
        elif mode == "REPEAT":
            place = (place - 1) % duration + 1
        elif mode == "PING_PONG":
            there_and_back = max(2 * duration - 2, 1)
            place = (place - 1) % there_and_back + 1
            if place > duration:
                place = 2 * duration - place
        return place + offset, True

    return shown


def of_scene_cache(cache: Any, path: str, wanted: Frames | None) -> Found:
    """BKE_cachefile_filepath_get."""
    if not cache.is_sequence:
        yield File(path)
    elif wanted is None or _is_animated(cache) or cache.override_frame or not _ends_in_number(path):
        yield from whole(path)
    else:
        # Of the named one Blender takes the list of what is in it.
        yield File(path)
        there = _numbers_there(path)
        # Before the first and after the last nothing is shown, and nothing is missing.
        yield from _numbered(path, wanted, lambda moment: (moment, there.start <= moment < there.stop))


def _numbers_there(path: str) -> range:
    """From the first number of a sequence to the last that is there."""
    parts = parts_of(path)
    if parts is None:
        return range(0)
    head, _digits, tail = parts
    numbers = [int(file.path[len(head) : len(file.path) - len(tail)]) for file in whole(path)]
    return range(min(numbers), max(numbers) + 1)


def _ends_in_number(path: str) -> bool:
    """Whether the number is the last before the extension. BLI_path_frame_get."""
    return re.search(r"\d$", os.path.splitext(path)[0]) is not None


# Strips


def of_strip(scene: Any, strip: Any, folder: str, wanted: Frames | None) -> Found:
    """The images of a strip that the frames show."""
    for file in _of_strip(scene, strip, folder, wanted):
        yield from (file._replace(path=view) for view in views_of_strip(strip, file.path))


def _of_strip(scene: Any, strip: Any, folder: str, wanted: Frames | None) -> Found:
    names = all_of_strip(strip, folder)
    if wanted is None or len(names) < 2 or not _is_plain(scene, strip) or SPEEDS & wanted.animated:
        yield from map(File, names)
        return
    start, last = int(strip.frame_start), len(names) - 1

    def shown(moment: int) -> tuple[int, bool]:
        # A strip drawn out longer than its images holds the first and the last.
        return min(max(moment - start, 0), last), True

    for place, (users, needed) in frames.of_sequence(wanted, shown).items():
        if needed or any(map(os.path.isfile, views_of_strip(strip, names[place]))):
            yield File(names[place], not needed, users)


def views_of_strip(strip: Any, path: str) -> Iterator[str]:
    """Only a name that ends as that of a view does stands for the others, too. BKE_scene_multiview_view_prefix_get."""
    stem, _extension = os.path.splitext(path)
    if stem.endswith(tuple(_suffixes())):
        yield from _views(strip, path)
    else:
        yield path


def all_of_strip(strip: Any, folder: str) -> list[str]:
    return [os.path.join(folder, element.filename) for element in strip.elements]


def _is_plain(scene: Any, strip: Any) -> bool:
    """Whether a strip shows its images one a frame. Trimmed, retimed or slowed ones, and what an effect of speed may
    slow, do not."""
    plain = {"animation_offset_start": 0, "speed_factor": 1.0, "use_reverse_frames": False}
    if strip.strobe > 1.0 or any(getattr(strip, name, value) != value for name, value in plain.items()):
        return False
    strips = paths.all_strips(scene)
    retimed = any(len(getattr(other, "retiming_keys", ())) > 0 for other in strips)
    slowed = any(other.type == "SPEED" or getattr(other, "speed_factor", 1.0) != 1.0 for other in strips)
    return not retimed and not slowed and float(strip.frame_start).is_integer()
