"""Parts of a frame, made and merged with OpenEXR and numpy.

Run as `parts.py make FOLDER COUNT WIDTH HEIGHT`: COUNT ranges of samples of a frame, `0.exr` on, 39 channels in 32-bit
ZIP as Blender 3.4 names them, noisy as a few samples are. `parts.py merge FOLDER COUNT OUT` makes the frame as one who
knows the rules would write it: one file after the other, averages as running sums, what only the first sample has from
the first.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import OpenEXR

PASSES = [
    ("Combined", "RGBA"),
    ("Depth", "Z"),
    ("Mist", "Z"),
    ("Position", "XYZ"),
    ("Normal", "XYZ"),
    *((name, "RGB") for name in ("DiffDir", "DiffInd", "DiffCol", "GlossDir", "GlossInd", "GlossCol")),
    *((name, "RGB") for name in ("Emit", "Env", "AO")),
]
FIRST = {"Depth", "Position"}
LIGHT = {"DiffDir": "DiffCol", "DiffInd": "DiffCol", "GlossDir": "GlossCol", "GlossInd": "GlossCol"}
HEADER = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}


def names() -> list[tuple[str, str]]:
    return [(made, channel) for made, channels in PASSES for channel in channels]


def make(folder: Path, count: int, width: int, height: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    base = 0.5 + 0.3 * np.sin(columns / 90) * np.cos(rows / 70)
    for part in range(count):
        noise = np.random.default_rng(part)
        channels = {}
        for index, (made, channel) in enumerate(names()):
            spread = 0.02 if made in FIRST else 0.2
            values = base * (1 + index / 39) * (1 + spread * noise.standard_normal((height, width), dtype=np.float32))
            channels[f"ViewLayer.{made}.{channel}"] = np.abs(values, dtype=np.float32)
        OpenEXR.File(HEADER, channels).write(str(folder / f"{part}.exr"))


def merge(folder: Path, count: int, out: Path) -> None:
    sums: dict[str, np.ndarray] = {}
    for part in range(count):
        with OpenEXR.File(str(folder / f"{part}.exr"), separate_channels=True) as file:
            channels = file.channels()
            pixels = {name: channels[name].pixels for name in channels}
        for made, channel in names():
            name = f"ViewLayer.{made}.{channel}"
            if made in FIRST:
                sums.setdefault(name, pixels[name])
                continue
            value = pixels[name].astype(np.float64)
            if made in LIGHT:
                value *= pixels[f"ViewLayer.{LIGHT[made]}.{channel}"]
            if name in sums:
                sums[name] += value
            else:
                sums[name] = value
    merged = {}
    for made, channel in names():
        name = f"ViewLayer.{made}.{channel}"
        value = sums[name]
        if made in LIGHT:
            colour = sums[f"ViewLayer.{LIGHT[made]}.{channel}"]
            value = np.divide(value, colour, out=np.zeros_like(value), where=colour != 0)
        elif made not in FIRST:
            value = value / count
        merged[name] = value.astype(np.float32)
    OpenEXR.File(HEADER, merged).write(str(out))


def main() -> None:
    command, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if command == "make":
        make(folder, count, int(sys.argv[4]), int(sys.argv[5]))
    else:
        merge(folder, count, Path(sys.argv[4]))


main()
