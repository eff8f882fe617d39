# SPDX-License-Identifier: GPL-3.0-or-later
"""What a multilayer EXR file holds: its size, its passes and what the engine noted, read from the header alone.

Blender puts only those passes of a file into a render result that were declared before, and does not say which the file
has. So the header is read here; the pixels are Blender's to read. Files of one part (until 4.x) and of many (5.0) are
known.
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = 20000630
MULTIPART = 0x1000

# No attribute of Blender's files comes near it; a broken file shall not ask for all memory.
ATTRIBUTE_MAX_BYTES = 64 << 20

# The header of a file with thousands of channels is smaller.
HEADER_LOOKED_AT_BYTES = 1 << 20

# How Blender orders the channels of a pass, which a file has in the order of the alphabet.
ORDERS = ("RGBA", "RGB", "XYZW", "XYZ", "UVA", "rgba", "rgb")


# What an engine notes of its render; the rest is Blender's own to write.
ENGINE_TEXTS = ("cryptomatte/", "cycles.")


class Pass(NamedTuple):
    """A pass as Blender declares it."""

    layer: str
    name: str
    channels: str


class Outline(NamedTuple):
    """What a file holds."""

    width: int
    height: int
    passes: list[Pass]
    texts: dict[str, str]


class NotReadableError(Exception):
    """Not an EXR file, or not all of one."""


def outline(path: Path, layers: list[str], views: list[str]) -> Outline:
    """Size and passes of the file. Names have dots in them, which part what they are made of: so layers are given."""
    try:
        with open(path, "rb") as file:
            return _read(file, layers, views)
    except (OSError, struct.error, ValueError) as error:
        raise NotReadableError(f"{path} cannot be read: {error}") from error


def forget_views(path: Path) -> None:
    """Makes the views of a file plain passes, `Combined.left`: as such every Blender finds them, 5.0 not otherwise.

    The attribute that lists them gets a name of the same length, so that all else stays where it is.
    """
    with open(path, "r+b") as file:
        start = file.read(HEADER_LOOKED_AT_BYTES)
        at = start.find(b"\0multiView\0stringvector\0")
        if at >= 0:
            file.seek(at + 1)
            file.write(b"views ago")


def _read(file: BinaryIO, layers: list[str], views: list[str]) -> Outline:
    magic, version = struct.unpack("<II", file.read(8))
    if magic != MAGIC:
        raise ValueError("it is no EXR file")
    width = height = 0
    channels: dict[tuple[str, str], set[str]] = {}
    texts: dict[str, str] = {}
    for header in _headers(file, bool(version & MULTIPART)):
        left, top, right, bottom = struct.unpack("<4i", header["dataWindow"])
        width, height = right - left + 1, bottom - top + 1
        part = header.get("name", b"").decode()
        texts.update((name, header[name].decode()) for name in header if name.startswith(ENGINE_TEXTS))
        for name in _channel_names(header["channels"]):
            key, channel = _place(name, part, layers, views)
            if key is not None:
                channels.setdefault(key, set()).add(channel)
    return Outline(width, height, [Pass(*key, in_order(found)) for key, found in channels.items()], texts)


def _headers(file: BinaryIO, multipart: bool) -> list[dict[str, bytes]]:
    headers: list[dict[str, bytes]] = []
    while True:
        header = {}
        while name := _text(file):
            _text(file)
            (size,) = struct.unpack("<i", file.read(4))
            if not 0 <= size <= ATTRIBUTE_MAX_BYTES:
                raise ValueError("its header is broken")
            header[name] = file.read(size)
        if not header:
            return headers
        headers.append(header)
        if not multipart:
            return headers


def _text(file: BinaryIO) -> str:
    text = b""
    while (byte := file.read(1)) != b"\0":
        if not byte or len(text) > 1024:
            raise ValueError("its header ends too early")
        text += byte
    return text.decode()


def _channel_names(data: bytes) -> list[str]:
    names = []
    at = 0
    while data[at]:
        end = data.index(0, at)
        names.append(data[at:end].decode())
        # Type, linearity and sampling follow.
        at = end + 1 + 16
    return names


def _place(name: str, part: str, layers: list[str], views: list[str]) -> tuple[tuple[str, str] | None, str]:
    """Layer and pass of a channel, and the channel's own letter."""
    # Parts of 5.0 carry layer and pass in their own name, their channels the letter alone.
    whole = name if "." in name else f"{part}.{name}"
    for layer in sorted(layers, key=len, reverse=True):
        if whole.startswith(layer + "."):
            rest, _, letter = whole[len(layer) + 1 :].rpartition(".")
            before, _, view = rest.rpartition(".")
            if before and view in views:
                rest = before
            return ((layer, rest) if rest else None), letter
    return None, ""


def in_order(letters: set[str]) -> str:
    """The channels of a pass as Blender has them."""
    for order in ORDERS:
        if set(order) == letters:
            return order
    return "".join(sorted(letters))
