"""Writes EXR files with OpenEXR's own library, and what that library reads back from them.

Run as `python openexr.py write OUTDIR` to write files, or `python openexr.py describe FILE...` for files that are
there. Every `NAME.exr` that can be read comes with `NAME.json`, the list of its channels, and `NAME.bin`, their samples
as OpenEXR reads them, one channel after the other, little-endian.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import OpenEXR

Planes = Mapping[str, np.ndarray]
Kind = Callable[[type, int], np.ndarray]

LOSSLESS = ["NO", "RLE", "ZIPS", "ZIP", "PIZ"]
LOSSY = ["PXR24", "B44", "B44A", "DWAA", "DWAB"]
WIDTH, HEIGHT = 67, 45
LEFT, TOP = -5, 3


def smooth(dtype: type, seed: int) -> np.ndarray:
    """A gradient with a little noise: what the lossy codecs are made for."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    values = np.sin(x / 9 + seed) + y / HEIGHT + random.normal(0, 0.02, (HEIGHT, WIDTH)) + 1.2
    return (values * 1000 if dtype is np.uint32 else values).astype(dtype)


def bits(dtype: type, seed: int) -> np.ndarray:
    """Every bit at random: all kinds of NaN, infinities, denormals and negative zeros are there, some in long runs."""
    unsigned = {np.float16: np.uint16, np.float32: np.uint32, np.uint32: np.uint32}[dtype]
    random = np.random.default_rng(seed)
    values = random.integers(0, np.iinfo(unsigned).max, (HEIGHT, WIDTH), dtype=unsigned, endpoint=True)
    values[:, 40:60] = values[0, 0]
    if dtype is np.float16:
        values[1, :6] = [0x7C00, 0xFC00, 0x7C01, 0xFE55, 0x8000, 0x0001]
    if dtype is np.float32:
        values[1, :6] = [0x7F800000, 0xFF800000, 0x7F800001, 0xFFC12345, 0x80000000, 0x00000001]
    return values.view(dtype)


def planes(kind: Kind, names: Mapping[str, type], seed: int = 1) -> Planes:
    return {name: kind(dtype, seed + index) for index, (name, dtype) in enumerate(names.items())}


def header(compression: str, tiled: bool, left: int = LEFT, top: int = TOP) -> dict:
    said = {
        "compression": getattr(OpenEXR, f"{compression}_COMPRESSION"),
        "type": OpenEXR.tiledimage if tiled else OpenEXR.scanlineimage,
        "dataWindow": ((left, top), (left + WIDTH - 1, top + HEIGHT - 1)),
        "displayWindow": ((0, 0), (99, 59)),
        "Scene": "Szene ü",
        "cryptomatte/542cafa/name": "ViewLayer.CryptoObject",
        "cryptomatte/542cafa/hash": "MurmurHash3_32",
        "cryptomatte/542cafa/conversion": "uint32_to_float32",
        "cryptomatte/542cafa/manifest": '{"Cube":"a8fce865"}',
    }
    if tiled:
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize = 32, 16
        said["tiles"] = tiles
    return said


def write(path: Path, parts: list[OpenEXR.Part]) -> None:
    OpenEXR.File(parts).write(str(path))
    describe(path)


def describe(path: Path) -> None:
    described, samples = [], []
    with OpenEXR.File(str(path), separate_channels=True) as file:
        for part in file.parts:
            low, _ = part.header["dataWindow"]
            for channel in part.channels.values():
                height, width = channel.pixels.shape
                window = [int(low[0]), int(low[1]), width, height]
                described.append([part.name(), channel.name, str(channel.pixels.dtype), window])
                samples.append(channel.pixels.tobytes())
    path.with_suffix(".json").write_text(json.dumps(described))
    path.with_suffix(".bin").write_bytes(b"".join(samples))


def single(compression: str, kind: Kind, tiled: bool) -> list[OpenEXR.Part]:
    names = {
        "ViewLayer.Combined.R": np.float16,
        "ViewLayer.Combined.G": np.float16,
        "ViewLayer.Combined.B": np.float16,
        "ViewLayer.Combined.A": np.float16,
        "ViewLayer.Depth.Z": np.float32,
        "ViewLayer.Normal.X": np.float32,
        "ViewLayer.Object Index.X": np.uint32,
    }
    return [OpenEXR.Part(header(compression, tiled), planes(kind, names))]


def multi(compression: str, kind: Kind, tiled: bool) -> list[OpenEXR.Part]:
    """One part per pass, as Blender 5 does; the last has bare channel names and a window of its own."""
    combined = {f"ViewLayer.Combined.{channel}": np.float16 for channel in "RGBA"}
    parts = [
        ("ViewLayer.Combined", combined, (LEFT, TOP)),
        ("ViewLayer.Depth", {"ViewLayer.Depth.Z": np.float32}, (LEFT, TOP)),
        ("ViewLayer.Object Index", {"X": np.uint32, "Y": np.float32}, (11, -7)),
    ]
    return [
        OpenEXR.Part(header(compression, tiled, *corner), planes(kind, names, 10 * index), name)
        for index, (name, names, corner) in enumerate(parts)
    ]


def write_all(out: Path) -> None:
    for compression in LOSSLESS + LOSSY:
        kinds = {"smooth": smooth, "bits": bits} if compression in LOSSLESS else {"smooth": smooth}
        for label, kind in kinds.items():
            for layout, tiled in (("lines", False), ("tiled", True)):
                name = f"{compression}-{layout}-{label}"
                write(out / f"{name}-single.exr", single(compression, kind, tiled))
                write(out / f"{name}-multi.exr", multi(compression, kind, tiled))
    for codec in ["HTJ2K32", "HTJ2K256"]:
        OpenEXR.File(single(codec, smooth, False)).write(str(out / f"unreadable-{codec}.exr"))
    deep = np.empty((4, 5), dtype=object)
    for index in np.ndindex(deep.shape):
        deep[index] = np.arange(1 + sum(index) % 3, dtype=np.float32)
    said = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.deepscanline}
    OpenEXR.File(said, {"Z": deep}).write(str(out / "unreadable-deep.exr"))


def main() -> None:
    if sys.argv[1] == "write":
        write_all(Path(sys.argv[2]))
    else:
        for name in sys.argv[2:]:
            describe(Path(name))


main()
