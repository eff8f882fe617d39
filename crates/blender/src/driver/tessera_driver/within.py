"""Files that files name, and Blender does not tell of: layers of a USD scene, what an OSL shader includes."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import bpy

from .frames import File

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)
USD = (".usd", ".usda", ".usdc")
"""Scenes that may refer to others; a .usdz brings its own."""
FILES_MAX = 10_000
"""Files followed from one. More than any scene's layers, and an end for what names itself anew each time."""


def shader(path: str, notes: list[str]) -> Iterator[File]:
    """An OSL script, what it includes, and what it was compiled to: Cycles takes that if it is the newer one."""
    yield File(path)
    if path.endswith(".oso"):
        return
    compiled = os.path.splitext(path)[0] + ".oso"
    if os.path.isfile(compiled):
        yield File(compiled, True)
    seen, pending = {path}, [path]
    while pending and len(seen) < FILES_MAX:
        inner = pending.pop()
        for name in INCLUDE.findall(_text(inner)):
            included = os.path.normpath(os.path.join(os.path.dirname(inner), name))
            # What is not there is one of Cycles' own.
            if included not in seen and os.path.isfile(included):
                _note_absolute(inner, name, notes)
                seen.add(included)
                pending.append(included)
                yield File(included)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        # It is read again to be sent, and named if that fails.
        return ""


def scene(path: str, notes: list[str]) -> Iterator[File]:
    """A scene of Alembic or USD, and of USD the layers that make it. Blender reads shapes only, and no textures."""
    yield File(path)
    if not path.lower().endswith(USD) or not os.path.isfile(path):
        return
    usd = _usd()
    if usd is None:
        if bpy.app.build_options.usd:
            notes.append(f"{path} may be made of other files, which this Blender cannot tell: they are not sent")
        return
    layers, _assets, unresolved = usd.ComputeAllDependencies(path)
    for layer in layers[:FILES_MAX]:
        if layer.realPath and not layer.anonymous:
            for name in sorted({name for kind in usd.ExtractExternalReferences(layer.realPath) for name in kind}):
                if name.lower().endswith(USD):
                    _note_absolute(layer.realPath, name, notes)
            yield File(layer.realPath)
    for missing in unresolved:
        if missing.lower().endswith(USD):
            yield File(os.path.normpath(os.path.join(os.path.dirname(path), missing)))


def _note_absolute(path: str, name: str, notes: list[str]) -> None:
    """What is within a file is sent as it is, so what it names has to lie as the file says wherever that lies."""
    note = f"{path} names {name} by an absolute path, where no worker finds it: name it by a relative one"
    if os.path.isabs(name) and note not in notes:
        notes.append(note)


def _usd() -> Any | None:
    """Pixar's own library as this Blender brings it; a Python that runs bpy does not look where it lies."""
    places = glob.glob(os.path.join(bpy.utils.resource_path("LOCAL"), "python/lib/python*/site-packages"))
    before = list(sys.path)
    sys.path += places
    try:
        with contextlib.suppress(ImportError):
            from pxr import UsdUtils

            return UsdUtils
    finally:
        sys.path[:] = before
    return None
