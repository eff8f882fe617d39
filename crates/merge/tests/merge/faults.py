"""Writes a folder of frames with OpenEXR's own library, and copies of it with one fault each.

Run as `python faults.py OUTDIR`. The folder `good` holds `0001.exr` (one part) and `sub/0002.exr` (one part per pass);
every other folder differs from it in exactly what its name says.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR

WIDTH, HEIGHT = 16, 9

Channels = dict[str, np.ndarray]
Passes = dict[str, Channels]
Said = dict[str, object]
Fault = Callable[[Passes, Said], None]


def good() -> tuple[Passes, Said]:
    random = np.random.default_rng(7)

    def channel(dtype: type) -> np.ndarray:
        return random.random((HEIGHT, WIDTH)).astype(dtype)

    depth = channel(np.float32)
    depth[2, 3], depth[4, 5] = np.float32("nan"), np.float32(0)
    passes = {
        "ViewLayer.Combined": {name: channel(np.float16) for name in "RGBA"},
        "ViewLayer.Depth": {"Z": depth},
        "ViewLayer.Object Index": {"X": (channel(np.float32) * 9).astype(np.uint32)},
    }
    said = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "dataWindow": ((0, 0), (WIDTH - 1, HEIGHT - 1)),
        "displayWindow": ((0, 0), (WIDTH - 1, HEIGHT - 1)),
        "Frame": "001",
        "Date": "2024/02/29 12:00:00",
        "RenderTime": "00:01.00",
        "cycles.ViewLayer.render_time": "00:00.90",
        "cycles.ViewLayer.samples": "4",
        "cryptomatte/542cafa/manifest": '{"Cube":"a8fce865"}',
    }
    return passes, said


def write(path: Path, fault: Fault, multi: bool) -> None:
    passes, said = good()
    fault(passes, said)
    multi = bool(said.pop("as multi-part", multi))
    said["type"] = OpenEXR.scanlineimage
    layered = {name: {f"{name}.{key}": plane for key, plane in channels.items()} for name, channels in passes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if multi:
        layout = {key: said[key] for key in ("type", "compression", "dataWindow", "displayWindow")}
        first = next(iter(layered))
        parts = [
            OpenEXR.Part(dict(said if name == first else layout), planes, name) for name, planes in layered.items()
        ]
    else:
        parts = [OpenEXR.Part(said, {key: plane for planes in layered.values() for key, plane in planes.items()})]
    OpenEXR.File(parts).write(str(path))


def changed_bits(plane: np.ndarray, y: int, x: int, change: Callable[[int], int]) -> None:
    bits = plane.view({2: np.uint16, 4: np.uint32}[plane.itemsize])
    bits[y, x] = change(int(bits[y, x]))


def one_ulp(passes: Passes, said: Said) -> None:
    changed_bits(passes["ViewLayer.Depth"]["Z"], 7, 11, lambda bits: bits + 1)


def one_half_ulp(passes: Passes, said: Said) -> None:
    changed_bits(passes["ViewLayer.Combined"]["G"], 0, 15, lambda bits: bits - 1)


def nan_payload(passes: Passes, said: Said) -> None:
    changed_bits(passes["ViewLayer.Depth"]["Z"], 2, 3, lambda bits: bits ^ 5)


def negative_zero(passes: Passes, said: Said) -> None:
    changed_bits(passes["ViewLayer.Depth"]["Z"], 4, 5, lambda bits: bits ^ 0x80000000)


def one_index(passes: Passes, said: Said) -> None:
    changed_bits(passes["ViewLayer.Object Index"]["X"], 8, 0, lambda bits: bits + 3)


def missing_pass(passes: Passes, said: Said) -> None:
    del passes["ViewLayer.Object Index"]


def missing_channel(passes: Passes, said: Said) -> None:
    del passes["ViewLayer.Combined"]["A"]


def channel_too_many(passes: Passes, said: Said) -> None:
    passes["ViewLayer.Depth"]["W"] = np.zeros((HEIGHT, WIDTH), np.float32)


def shifted_data_window(passes: Passes, said: Said) -> None:
    said["dataWindow"] = ((1, 0), (WIDTH, HEIGHT - 1))


def other_size(passes: Passes, said: Said) -> None:
    for channels in passes.values():
        channels.update({name: np.ascontiguousarray(plane[:-1]) for name, plane in channels.items()})
    said["dataWindow"] = ((0, 0), (WIDTH - 1, HEIGHT - 2))
    said["displayWindow"] = said["dataWindow"]


def other_type(passes: Passes, said: Said) -> None:
    passes["ViewLayer.Depth"]["Z"] = passes["ViewLayer.Depth"]["Z"].astype(np.float16)


def other_manifest(passes: Passes, said: Said) -> None:
    said["cryptomatte/542cafa/manifest"] = '{"Cone":"a8fce865"}'


def no_fault(passes: Passes, said: Said) -> None:
    pass


def other_container(passes: Passes, said: Said) -> None:
    said["as multi-part"] = True
    said["compression"] = OpenEXR.PIZ_COMPRESSION


def other_rendering(passes: Passes, said: Said) -> None:
    said.update({"Date": "2025/01/01 00:00:00", "RenderTime": "09:00.00", "File": "/tmp/a.blend"})
    said["cycles.ViewLayer.render_time"] = "08:00.90"


def main() -> None:
    out = Path(sys.argv[1])
    faults = [
        one_ulp,
        one_half_ulp,
        nan_payload,
        negative_zero,
        one_index,
        missing_pass,
        missing_channel,
        channel_too_many,
        shifted_data_window,
        other_size,
        other_type,
        other_manifest,
        other_container,
        other_rendering,
    ]
    for fault in [no_fault, *faults]:
        folder = out / ("good" if fault is no_fault else fault.__name__)
        write(folder / "0001.exr", fault, multi=False)
        write(folder / "sub" / "0002.exr", no_fault if fault is not other_rendering else fault, multi=True)
    write(out / "missing_file" / "0001.exr", no_fault, multi=False)
    write(out / "truncated" / "0001.exr", no_fault, multi=False)
    write(out / "truncated" / "sub" / "0002.exr", no_fault, multi=True)
    whole = (out / "good" / "0001.exr").read_bytes()
    (out / "truncated" / "0001.exr").write_bytes(whole[: len(whole) // 2])
    (out / "empty").mkdir()
    (out / "also_empty").mkdir()


main()
