"""Loads a .blend with factory settings, and finds its files where they are on this machine."""

from __future__ import annotations

import os
import time
from typing import Any, Protocol

import addon_utils
import bpy

from . import paths, threads
from .link import Refusal


class Renderer(Protocol):
    """What the opener needs of the renderer."""

    stored_engines: dict[str, str]
    """By scene, the engine that the file asks for; after loading Blender no longer knows of one that is not there."""
    scripts_allowed: bool

    def forget(self) -> None: ...


def open_file(request: dict[str, Any], renderer: Renderer) -> dict[str, Any]:
    path = request["path"]
    renderer.forget()
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        close_file()
        raise Refusal("unreadable", f"cannot read {path}: {error.strerror}") from error
    _enable_addons(request["addons"])
    begin = time.monotonic()
    try:
        # With the file's own windows a script or an add-on could differ from `blender -b FILE`; a copy shall have them.
        windows = request.get("windows", False)
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=windows, use_scripts=request["autoexec"])
    except RuntimeError as error:
        close_file()
        raise _unloadable(path, str(error)) from error
    if os.path.realpath(bpy.data.filepath) != os.path.realpath(path):
        close_file()
        raise Refusal("not_blend", f"Blender did not load {path}; its log says why")
    # A newer file is read as far as it can be understood, with a warning nobody would see.
    if bpy.data.version[:2] > bpy.app.version[:2]:
        newer = "{}.{}".format(*bpy.data.version[:2])
        close_file()
        raise Refusal("too_new", f"{path} was saved by Blender {newer}; this is {bpy.app.version_string}")
    rules = [(rule["from"], rule["to"]) for rule in request["remap"]]
    if request["read_only"]:
        paths.find_libraries(rules)
    repointed = paths.repoint(rules)
    renderer.stored_engines = dict(request["engines"])
    renderer.scripts_allowed = request["autoexec"]
    threads.limit(bpy.data.scenes)
    return {
        "load_seconds": time.monotonic() - begin,
        "saved_by": "{}.{}".format(*bpy.data.version[:2]),
        "scenes": [scene.name for scene in bpy.data.scenes],
        "active_scene": bpy.context.scene.name,
        "repointed": repointed,
        "missing_libraries": sorted(
            {path for path in map(paths.library_file, bpy.data.libraries) if not os.path.isfile(path)}
        ),
    }


def check_libraries() -> None:
    """Blender goes on without what it cannot read of a library, and says nothing of it to scripts."""
    for library in bpy.data.libraries:
        path = paths.library_file(library)
        packed = getattr(library, "packed_file", None) is not None
        if not packed and os.path.isfile(path) and not _is_blend(path):
            raise Refusal(
                "not_blend", f"{path}, {paths.describe_library(library)}, is not a .blend file, or it is damaged"
            )


def _is_blend(path: str) -> bool:
    with open(path, "rb") as file:
        return is_compressed(path) or file.read(7) == b"BLENDER"


def is_compressed(path: str) -> bool:
    """Whether a .blend is saved compressed: by zstd, or by gzip before 3.0."""
    with open(path, "rb") as file:
        return file.read(4).startswith((b"\x28\xb5\x2f\xfd", b"\x1f\x8b"))


def close_file() -> None:
    """Leaves nothing that could be rendered by mistake."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


def _unloadable(path: str, text: str) -> Refusal:
    reason = text.strip().removeprefix("Error:").strip()
    if "newer" in reason.lower() and "version" in reason.lower():
        return Refusal("too_new", f"{path} was saved by a newer Blender than {bpy.app.version_string}: {reason}")
    return Refusal("not_blend", f"{path} is not a .blend file, or it is damaged: {reason}")


def _enable_addons(modules: list[str]) -> None:
    for module in modules:
        if addon_utils.enable(module, default_set=True) is None:
            raise Refusal("addon", f"the add-on {module} is not installed with this Blender, or failed to start")
