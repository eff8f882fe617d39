"""What the driver itself must know of EXR files: their texts, and the plainest form that pixels can have in one."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import Any, BinaryIO

MAGIC = 20000630
LONG_NAMES = 0x400
MULTI_PART = 0x1000
FLOAT = 2

Header = dict[str, tuple[str, bytes]]
"""By name, an attribute's type and value."""

Channels = dict[str, "array[float]"]
"""By name, the samples of every pixel, row by row."""


def texts(path: str) -> dict[str, str]:
    """The texts that a file carries beside its pixels."""
    with open(path, "rb") as file:
        return {
            name: value.decode(errors="surrogateescape")
            for header in _headers(file)
            for name, (kind, value) in header.items()
            if kind == "string"
        }


def outline(path: str) -> tuple[tuple[int, int], set[str]]:
    """Columns and rows of a file in one part, and the names of its channels."""
    with open(path, "rb") as file:
        header = _header(file)
        return _size(header), {name for name, _kind in _channels(header)}


def forget_views(path: str) -> None:
    """Makes a file in one part say no more that its channels are of several views. Their names say it still."""
    with open(path, "r+b") as file:
        _header(file)
        end = file.tell()
        file.seek(0)
        at = file.read(end).find(b"multiView\0stringvector\0")
        if at >= 0:
            # A name of no meaning.
            file.seek(at)
            file.write(b"onceViews")


def write(path: str, width: int, height: int, channels: Channels, attributes: dict[str, str]) -> None:
    """One part of 32-bit floats, not compressed. Samples lie in the file row by row as they are given."""
    names = sorted(channels)
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header: Header = {
        "channels": ("chlist", b"".join(_channel(name) for name in names) + b"\0"),
        "compression": ("compression", b"\0"),
        "dataWindow": ("box2i", window),
        "displayWindow": ("box2i", window),
        "lineOrder": ("lineOrder", b"\0"),
        "pixelAspectRatio": ("float", struct.pack("<f", 1)),
        "screenWindowCenter": ("v2f", struct.pack("<2f", 0, 0)),
        "screenWindowWidth": ("float", struct.pack("<f", 1)),
    }
    header |= {name: ("string", value.encode()) for name, value in attributes.items()}
    head = struct.pack("<ii", MAGIC, 2 | LONG_NAMES)
    for name, (kind, value) in header.items():
        head += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
    head += b"\0"
    size = 4 * width * len(names)
    first = len(head) + 8 * height
    with open(path, "wb") as file:
        file.write(head)
        file.write(struct.pack(f"<{height}Q", *(first + y * (size + 8) for y in range(height))))
        for y in range(height):
            file.write(struct.pack("<2i", y, size))
            for name in names:
                file.write(channels[name][y * width : (y + 1) * width])


def read(path: str) -> Channels:
    """A file of the form that `write` makes."""
    with open(path, "rb") as file:
        header = _header(file)
        names = [name for name, kind in _channels(header) if kind == FLOAT]
        width, height = _size(header)
        if header["compression"][1] != b"\0" or len(names) != len(list(_channels(header))):
            raise ValueError(f"{path} is compressed, or holds other than 32-bit floats")
        channels: Channels = {name: array("f") for name in names}
        for offset in struct.unpack(f"<{height}Q", file.read(8 * height)):
            file.seek(offset + 8)
            for name in names:
                channels[name].fromfile(file, width)
        return channels


def _header(file: BinaryIO) -> Header:
    headers = list(_headers(file))
    if len(headers) != 1:
        raise ValueError(f"{file.name} has {len(headers)} parts and not one")
    return headers[0]


def _headers(file: BinaryIO) -> Iterator[Header]:
    magic, version = struct.unpack("<ii", file.read(8))
    if magic != MAGIC:
        raise ValueError(f"{file.name} is no EXR file")
    while True:
        header: Header = {}
        while name := _name(file):
            kind = _name(file)
            (size,) = struct.unpack("<i", file.read(4))
            header[name] = (kind, file.read(size))
        if header:
            yield header
        if not header or not version & MULTI_PART:
            return


def _name(file: BinaryIO) -> str:
    found = b""
    while (byte := file.read(1)) != b"\0":
        if not byte:
            raise ValueError(f"{file.name} ends within its header")
        found += byte
    return found.decode(errors="surrogateescape")


def _size(header: Header) -> tuple[int, int]:
    left, top, right, bottom = struct.unpack("<4i", header["dataWindow"][1])
    return right - left + 1, bottom - top + 1


def _channel(name: str) -> bytes:
    # Type, whether it is perceived linearly, and that every pixel has a sample.
    return name.encode() + b"\0" + struct.pack("<iB3xii", FLOAT, 0, 1, 1)


def _channels(header: Header) -> Iterator[tuple[str, int]]:
    described: Any = header["channels"][1]
    at = 0
    while described[at]:
        end = described.index(0, at)
        (kind,) = struct.unpack_from("<i", described, end + 1)
        yield described[at:end].decode(errors="surrogateescape"), kind
        at = end + 1 + 16
