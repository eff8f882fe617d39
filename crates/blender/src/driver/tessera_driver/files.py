"""From the places that name files to the files themselves: sequences, tiles, views and caches are many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import bpy

from . import caches, frames, paths, sequences, within
from .frames import File, Frames
from .paths import Reference

KINDS = {"strip": "sequence", "clip": "sequence", "ocean": "mesh_cache"}
"""What references are called where people and programs are told of their files, if not by their own kind."""


def external_files(wanted: Frames | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Every external file once, with all its users; and what the user should know."""
    listed, notes = Listed(), list[str]()
    users = sequences.image_users()
    references = list(paths.references())
    for reference in references:
        kind = KINDS.get(reference.kind, reference.kind)
        for file in expand(reference, wanted, users, notes):
            listed.add(reference.stored, file, kind, reference.label, reference.optional)
    for stored, file, kind, label in _beside_blends(references, wanted):
        listed.add(stored, file, kind, label)
    known = {reference.absolute() for reference in references}
    # Blender lists every image of a strip, shown or not.
    known |= {
        path for it in references if it.kind == "strip" for path in sequences.all_of_strip(it.detail, it.absolute())
    }
    _add_unlisted(listed, known, notes)
    main = os.path.normpath(bpy.data.filepath)
    return [entry for path, entry in sorted(listed.entries.items()) if path != main], notes


class Listed:
    """The files found so far, each once."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self._frames: dict[str, frozenset[int]] = {}
        """Of the files that only some frames need, which."""

    def add(self, stored: str, file: File, kind: str, label: str, optional: bool = False) -> None:
        path, optional = os.path.normpath(file.path), optional or file.optional
        entry = self.entries.get(path)
        if entry is None:
            entry = {
                "stored": stored,
                "path": path,
                "kind": kind,
                "used_by": [label],
                "optional": optional,
                "exists": os.path.isfile(path),
            }
            self.entries[path] = entry
            self._frames[path] = frozenset()
        entry["optional"] = entry["optional"] and optional
        if label not in entry["used_by"]:
            entry["used_by"].append(label)
        if file.frames is None:
            # Once for all frames, whoever else needs it for some.
            self._frames.pop(path, None)
            entry["frames"] = None
        elif path in self._frames:
            self._frames[path] |= file.frames
            entry["frames"] = frames.as_text(self._frames[path])


def _add_unlisted(listed: Listed, known: set[str], notes: list[str]) -> None:
    """What Blender itself would list and the above does not know of, missing files too."""
    unneeded = {paths.absolute(path, brush) for brush in bpy.data.brushes if (path := _icon(brush))}
    named = bpy.utils.blend_paths(absolute=False, packed=False)
    for found, stored in zip(bpy.utils.blend_paths(absolute=True, packed=False), named, strict=True):
        path = os.path.normpath(found)
        # The first file of a sequence is known, and maybe not needed. Folders are of caches that are not baked.
        if path in listed.entries or path in known or path in unneeded:
            continue
        if found.endswith(("/", os.sep)) or os.path.isdir(path):
            continue
        # A strip keeps the place of its sound, too, and not always the place where the sound is now.
        silent = os.path.splitext(path)[1].lower() in bpy.path.extensions_audio
        listed.add(stored, File(path, silent), "other", "the file")
        if not (silent or stored.startswith("//") or hasattr(bpy.data, "file_path_foreach")):
            notes.append(f"{path} is named by an absolute path that this Blender cannot change: let it begin with //")


def _icon(brush: Any) -> str:
    """Until 4.3 brushes have pictures."""
    return getattr(brush, "icon_filepath", "")


def expand(
    reference: Reference, wanted: Frames | None, users: sequences.ImageUsers, notes: list[str]
) -> Iterator[File]:
    """The files that a reference stands for. Those that should be there come, too, if they are not."""
    path = reference.absolute()
    detail = reference.detail
    if reference.kind == "library":
        yield File(paths.library_file(reference.owner))
    elif reference.kind == "udim":
        yield from (File(_tile(path, tile.number)) for tile in detail.tiles)
    elif isinstance(detail, bpy.types.Image):
        yield from sequences.of_image(detail, path, wanted, users)
    elif reference.kind == "clip":
        yield from sequences.of_clip(detail, path, wanted)
    elif reference.kind == "strip":
        yield from sequences.of_strip(reference.owner, detail, path, wanted)
    elif reference.kind == "movie" and getattr(detail, "use_multiview", False):
        yield from map(File, sequences.views_of_strip(detail, path))
    elif reference.kind == "volume":
        yield from sequences.of_volume(detail, path, wanted)
    elif reference.kind == "scene_cache":
        for file in sequences.of_scene_cache(detail, path, wanted) if detail is not None else [File(path)]:
            for inner in within.scene(file.path, notes):
                yield file._replace(path=inner.path)
    elif reference.kind == "osl":
        yield from within.shader(path, notes)
    elif reference.kind == "ocean":
        yield from caches.ocean(detail, path, wanted)
    elif reference.kind == "nodes_bake":
        yield from caches.nodes_bake(path, wanted)
    elif reference.kind in ("point_cache", "fluid_cache"):
        yield from map(File, caches.files_below(path))
    else:
        yield File(path)


def _tile(path: str, number: int) -> str:
    index = number - 1001
    path = path.replace("<UDIM>", str(number))
    return path.replace("<UVTILE>", f"u{index % 10 + 1}_v{index // 10 + 1}")


def _beside_blends(references: list[Reference], wanted: Frames | None) -> Iterator[tuple[str, File, str, str]]:
    """Files that Blender finds by the name of the .blend: point caches and bakes in `blendcache_NAME` beside it. The
    bakes that something refers to by their folder are found by that."""
    known = tuple(os.path.join(it.absolute(), "") for it in references if it.kind == "nodes_bake")
    blends = [(bpy.data.filepath, "the file")]
    blends += [(paths.library_file(library), paths.describe_library(library)) for library in bpy.data.libraries]
    for blend, label in blends:
        folder, name = os.path.split(blend)
        cache = os.path.join(folder, "blendcache_" + os.path.splitext(name)[0])
        found = [file for file in caches.files_below(cache) if not file.startswith(known)]
        points = [file for file in found if file.endswith(".bphys")]
        for file in caches.points(points, wanted):
            yield f"//{os.path.relpath(file.path, folder)}", file, "point_cache", label
        for path in sorted(set(found) - set(points)):
            yield f"//{os.path.relpath(path, folder)}", File(path), "nodes_bake", label
