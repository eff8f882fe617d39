"""How late a timer of Blender's window comes while a scene is sent: JSON with percentiles, and what saving took."""

import json
import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window  # noqa: E402
from tessera import scene_file, works  # noqa: E402

EVERY_S = 0.01
late: list[float] = []
last = [0.0]


def tick() -> float:
    now = time.perf_counter()
    if last[0]:
        late.append(now - last[0] - EVERY_S)
    last[0] = now
    return EVERY_S


def percentiles(found: list[float]) -> dict:
    found = sorted(found)
    return {
        "p99_ms": round(found[int(len(found) * 0.99)] * 1e3),
        "worst_ms": round(found[-1] * 1e3),
        "ticks": len(found),
    }


def steps():  # noqa: ANN201
    saving = []
    take = scene_file.take

    def timed(*words):  # noqa: ANN002, ANN202
        began = time.perf_counter()
        try:
            return take(*words)
        finally:
            saving.append(time.perf_counter() - began)

    scene_file.take = timed
    # Without a graphics card it takes a second to draw such a mesh: what is measured is not Blender's view.
    window.area("VIEW_3D").type = "TEXT_EDITOR"
    window.area("PROPERTIES").spaces.active.context = "RENDER"
    yield 3
    bpy.app.timers.register(tick)
    yield 4
    idle = percentiles(late)
    window.call(bpy.ops.tessera.send_job)
    # What comes after the saving.
    late.clear()
    last[0] = 0.0
    yield lambda: not works.works[-1].running
    bpy.app.timers.unregister(tick)
    print("SENT", works.works[-1].message)
    print("LATENESS", json.dumps({"idle": idle, "sending": percentiles(late), "saving_ms": round(saving[0] * 1e3)}))


window.run(steps)
