# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that is sent: what is open now, in a temporary copy, or the user's own file.

The copy lies beside the user's file, so that every relative path in it means the same. It is written by Blender's own
"Save Copy", which leaves the open file's name, its undo steps and its state as they are. For the moment of writing,
scenes have the engine that workers shall use in place of Tessera.
"""

import contextlib
import functools
import glob
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from . import main_thread
from .settings import ENGINE, real_engine

# Copies that a Blender left behind which did not come to remove them: no job takes so long to send.
LEFT_BEHIND_S = 2 * 24 * 3600

_numbers = itertools.count(1)


class CannotSendError(Exception):
    """There is nothing that could be sent, and why."""


class SceneFile:
    """A file to be sent, and what to remove once it was."""

    def __init__(self, path: Path, temporary: list[Path] | None = None, engine: str | None = None) -> None:
        self.path = path
        # The engine to be said to the program, where the file has Tessera.
        self.engine = engine
        self._temporary = temporary or []

    def remove(self) -> None:
        """Removes what is temporary. May be called again."""
        for path in self._temporary:
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        self._temporary = []


def own_file() -> Path | None:
    """Where the open file lies; none if it was never saved."""
    return Path(bpy.data.filepath) if bpy.data.filepath else None


def take(source: str, scene: bpy.types.Scene, passes_only: bool = False) -> SceneFile:
    """The file to send, by `source` as in the job's settings.

    `passes_only`: the file shall give what an engine gives to Blender, before compositor and sequencer, which Blender
    itself runs afterwards; and of a border only what is inside. That takes a copy.
    """
    if source == "MEMORY" or passes_only:
        return _copy(scene, passes_only)
    own = own_file()
    if own is None:
        raise CannotSendError("The file was never saved: save it, or send what is open")
    if source == "SAVE":
        try:
            bpy.ops.wm.save_mainfile()
        except RuntimeError as error:
            raise CannotSendError(f"The file cannot be saved: {plain(error)}") from error
    engine = real_engine(scene) if scene.render.engine == ENGINE else None
    return SceneFile(own, engine=engine)


def plain(error: Exception) -> str:
    """What Blender says, without the word in front."""
    return " ".join(str(error).removeprefix("Error: ").split())


def _copy(scene: bpy.types.Scene, passes_only: bool) -> SceneFile:
    own = own_file()
    if own is None:
        return _write_aside("untitled.blend", scene, passes_only)
    _remove_left_behind(own)
    path = own.with_name(f".{own.stem}.tessera-{os.getpid()}-{next(_numbers)}.blend")
    if not os.access(own.parent, os.W_OK):
        return _write_aside(own.name, scene, passes_only)
    copied = SceneFile(path, [path, *_caches(own, path)])
    try:
        _write(path, scene, passes_only)
    except CannotSendError:
        copied.remove()
        raise
    return copied


def _write_aside(name: str, scene: bpy.types.Scene, passes_only: bool) -> SceneFile:
    """A copy in a folder of its own: Blender writes other relative paths into it, to the same files."""
    folder = Path(tempfile.mkdtemp(prefix="tessera-"))
    copied = SceneFile(folder / name, [folder])
    own = own_file()
    if own is not None:
        _caches(own, copied.path)
    try:
        _write(copied.path, scene, passes_only)
    except CannotSendError:
        copied.remove()
        raise
    return copied


def _write(path: Path, scene: bpy.types.Scene, passes_only: bool) -> None:
    global _was_changed
    _was_changed = _was_changed or bpy.data.is_dirty
    with _as_workers_open_it(scene, passes_only):
        try:
            bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, check_existing=False, compress=False)
        except RuntimeError as error:
            raise CannotSendError(f"A copy of the scene cannot be written: {plain(error)}") from error


# Whether the open file had changes when a copy was written, until that is said to Blender again.
_was_changed = False


def keep_changed(_until: float) -> None:
    """Blender takes a written copy for a saved file, on its next round: this says that the file has changes still.

    Blender notes a change wherever an undo step is made, also if the user allows for none. So for a moment none is
    allowed, and one is asked for: the undo history stays as it is.
    """
    global _was_changed
    if not _was_changed or bpy.app.background:
        return
    _was_changed = False
    if bpy.data.is_dirty:
        return
    edit = bpy.context.preferences.edit
    steps, changed = edit.undo_steps, bpy.context.preferences.is_dirty
    edit.undo_steps = 0
    try:
        bpy.ops.ed.undo_push(message="Tessera")
    finally:
        edit.undo_steps = steps
        bpy.context.preferences.is_dirty = changed


@contextlib.contextmanager
def _as_workers_open_it(scene: bpy.types.Scene, passes_only: bool) -> Iterator[None]:
    """The scenes as they shall be in the copy; as they were afterwards."""
    undo: list[tuple[Any, str, Any]] = []
    stack = contextlib.ExitStack()

    def put(owner: Any, name: str, value: Any) -> None:
        before = getattr(owner, name)
        if before != value:
            undo.append((owner, name, before))
            setattr(owner, name, value)

    try:
        for each in bpy.data.scenes:
            if each.render.engine == ENGINE and each.library is None:
                put(each.render, "engine", real_engine(each))
        if passes_only:
            render = scene.render
            put(render, "use_compositing", False)
            put(render, "use_sequencer", False)
            put(render, "use_crop_to_border", True)
            stack.enter_context(_as_engines_write(render.image_settings))
        yield
    finally:
        stack.close()
        for owner, name, before in reversed(undo):
            setattr(owner, name, before)


# Of an image format, in an order in which each may be set after those before it.
FORMAT_PROPERTIES = (
    "media_type",
    "file_format",
    "color_mode",
    "color_depth",
    "exr_codec",
    "quality",
    "compression",
    "views_format",
    "use_exr_interleave",
    "color_management",
)


@contextlib.contextmanager
def _as_engines_write(form: Any) -> Iterator[None]:
    """Frames in the form in which an engine hands them over: all views in one file, colours as in the scene."""
    before = [(name, getattr(form, name)) for name in FORMAT_PROPERTIES if hasattr(form, name)]
    space = form.linear_colorspace_settings
    written_in = space.name
    try:
        for name, value in (
            ("media_type", "MULTI_LAYER_IMAGE"),
            ("file_format", "OPEN_EXR_MULTILAYER"),
            ("color_depth", "32"),
            ("views_format", "MULTIVIEW"),
            # In one part: of several, 5.0 does not find the views again.
            ("use_exr_interleave", True),
            ("color_management", "FOLLOW_SCENE"),
        ):
            if hasattr(form, name):
                setattr(form, name, value)
        space.name = scene_linear()
        yield
    finally:
        for name, value in before:
            # What means nothing in the format that is set again was not asked for there either.
            with contextlib.suppress(TypeError):
                setattr(form, name, value)
        # A new format begins with a space of its own.
        if written_in and space.name != written_in:
            space.name = written_in


@functools.lru_cache
def scene_linear() -> str:
    """What the colour configuration calls the space that engines render in: that of a new image with float pixels."""
    image = bpy.data.images.new("Tessera", 1, 1, float_buffer=True)
    name = image.colorspace_settings.name
    bpy.data.images.remove(image)
    return name


def _caches(own: Path, copy: Path) -> list[Path]:
    """Blender looks for baked physics in a folder named after the file: the copy gets that by its own name too."""
    source = own.with_name(f"blendcache_{own.stem}")
    if not source.is_dir():
        return []
    target = copy.with_name(f"blendcache_{copy.stem}")
    try:
        target.symlink_to(source, target_is_directory=True)
    except OSError:
        # Windows lets only some users make links to folders.
        shutil.copytree(source, target, copy_function=_link_or_copy)
    return [target]


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _remove_left_behind(own: Path) -> None:
    """Copies of a Blender that crashed."""
    with contextlib.suppress(OSError):
        stem = glob.escape(own.stem)
        for pattern in (f".{stem}.tessera-*.blend", f"blendcache_.{stem}.tessera-*"):
            for path in own.parent.glob(pattern):
                if time.time() - path.lstat().st_mtime > LEFT_BEHIND_S:
                    SceneFile(path, [path]).remove()


def register() -> None:
    main_thread.every_tick(keep_changed)


def unregister() -> None:
    global _was_changed
    _was_changed = False
