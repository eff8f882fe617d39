# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows frames in the image editor as they come in.

One image is used for all of them. It belongs to no scene and is never saved with a file, nor sent with the next job.
"""

from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

NAME = "Tessera Frame"

# What Blender's image editor can show. Others (movies, logs of file-output nodes) are for other programs.
SUFFIXES = {".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".webp", ".bmp", ".tga", ".hdr", ".dpx", ".cin", ".jp2"}


def open_editor(context: bpy.types.Context) -> None:
    """Opens an image editor where the user wants rendered images, as F12 does."""
    if bpy.app.background or _editors(for_frames=True):
        return
    if bpy.ops.render.view_show.poll():
        bpy.ops.render.view_show("INVOKE_DEFAULT")
    image = bpy.data.images.get(NAME)
    if image is not None:
        _show_in_editors(image)


def frame(path: Path | None) -> None:
    """Shows a frame's file."""
    if path is None or bpy.app.background or path.suffix.lower() not in SUFFIXES:
        return
    image = bpy.data.images.get(NAME)
    try:
        if image is None:
            image = bpy.data.images.load(str(path))
            image.name = NAME
        else:
            image.filepath = str(path)
            image.reload()
    except RuntimeError:
        # It was moved away meanwhile; the next one will do.
        return
    _show_in_editors(image)


def _show_in_editors(image: Any) -> None:
    for space in _editors(for_frames=True):
        space.image = image
        space.image_user.use_auto_refresh = True


def _editors(for_frames: bool) -> list[Any]:
    """Image editors that show a render, or a frame of before."""
    found = []
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type != "IMAGE_EDITOR":
                continue
            space = area.spaces.active
            shown = space.image
            if not for_frames or shown is not None and (shown.type == "RENDER_RESULT" or shown.name == NAME):
                found.append(space)
                area.tag_redraw()
    return found


@persistent
def leave_out(*_: Any) -> None:
    """What nothing uses is not saved; that an editor shows it counts as use."""
    image = bpy.data.images.get(NAME)
    if image is not None:
        image.use_extra_user = False


@persistent
def take_in(*_: Any) -> None:
    """The file is written: editors show it as before."""
    image = bpy.data.images.get(NAME)
    if image is not None and _editors(for_frames=True):
        image.use_extra_user = True


HANDLERS = (("save_pre", leave_out), ("save_post", take_in))


def register() -> None:
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
