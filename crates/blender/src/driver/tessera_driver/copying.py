"""Copies of .blend files that find their files wherever the folder is put, or have them inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import bpy

from . import files, opening, paths, sequences
from .paths import Reference

FOLDERS = ("library", "point_cache", "fluid_cache", "nodes_bake")
"""Kinds of references whose files are never also those of a texture."""


def copy_file(request: dict[str, Any], renderer: opening.Renderer) -> dict[str, Any]:
    """Opens a .blend, makes it name its files below `root` by paths relative to itself, packs its textures if asked to,
    and saves it as `destination`, unless there is nothing to change. Nothing is open afterwards."""
    source = request["source"]
    opened = {
        "path": source,
        "addons": [],
        "remap": request["remap"],
        "engines": [],
        "autoexec": False,
        "read_only": bool(request["remap"]),
        "windows": True,
    }
    mapped = opening.open_file(opened, renderer)["repointed"]
    try:
        packed = _pack() if request["textures"] else set()
        repointed = _make_relative(request["root"]) if request["root"] is not None else 0
        saved = bool(packed or repointed or mapped)
        if saved:
            _save(request["destination"], opening.is_compressed(source))
        external = _all_files() if request["textures"] else set()
    finally:
        opening.close_file()
    return {"saved": saved, "repointed": repointed, "packed": sorted(packed), "external": sorted(external)}


def _own() -> Iterator[Reference]:
    """The places that this file itself names files at, and no library that it links."""
    for reference in paths.references():
        if reference.kind != "library" and getattr(reference.owner, "library", None) is None:
            yield reference


def _files(reference: Reference) -> Iterator[str]:
    if reference.kind not in FOLDERS:
        for file in files.expand(reference, None, sequences.image_users(), []):
            yield file.path


def _all_files() -> set[str]:
    return {os.path.normpath(file) for reference in _own() for file in _files(reference)}


def _pack() -> set[str]:
    """Packs what Blender can pack: images, tiles, fonts, sounds, single volumes. Returns the files now inside."""
    before = _all_files()
    empty = [(image, image.filepath) for image in bpy.data.images if _is_empty(image)]
    for image, _path in empty:
        # Blender would pack nothing, and end when it is to show that. This takes its path from it.
        image.source = "GENERATED"
    try:
        bpy.ops.file.pack_all()
    except RuntimeError as error:
        # What is missing stays where it is; the rest is packed.
        print(f"not everything could be packed: {error}")
    finally:
        for image, path in empty:
            image.source, image.filepath = "FILE", path
    return before - _all_files()


def _is_empty(image: Any) -> bool:
    """Whether an image's file is there and nothing is in it."""
    path = paths.absolute(image.filepath, image) if image.source == "FILE" and image.packed_file is None else ""
    return os.path.isfile(path) and os.path.getsize(path) == 0


def _make_relative(root: str) -> int:
    """Makes paths relative that lead below a folder and would not do so in another place."""
    folder = os.path.dirname(bpy.data.filepath)
    changed = 0
    for library in bpy.data.libraries:
        if getattr(library, "packed_file", None) is None:
            new = _relative(library.filepath, paths.library_file(library), folder, root)
            if new is not None:
                library.filepath = new
                changed += 1
    for reference in list(_own()):
        if reference.assign is None:
            continue
        new = _relative(reference.stored, reference.absolute(), folder, root)
        if new is not None:
            reference.assign(new)
            changed += 1
    return changed


def _relative(stored: str, path: str, folder: str, root: str) -> str | None:
    """The path to be stored; None: it may stay as it is."""
    if not os.path.isabs(path) or os.path.commonpath([root, path]) != os.path.normpath(root):
        return None
    new = os.path.relpath(path, folder)
    if stored.startswith("//") and os.path.normpath(stored[2:]) == os.path.normpath(new):
        return None
    return "//" + new.replace(os.sep, "/")


def _save(destination: str, compress: bool) -> None:
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=destination, copy=True, relative_remap=False, compress=compress)
