"""Esc while an animation renders: its menu, by keys. The first line of it stops, the second leaves it to the farm.

The animation is long, so that a slow machine is not through with it before its keys arrive.
"""

import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import window  # noqa: E402
from tessera import farm, works  # noqa: E402


def steps():  # noqa: ANN201
    bpy.context.scene.frame_end = 400
    yield 1
    for keys in ("Return",), ("Down", "Return"):
        window.call(bpy.ops.tessera.render_animation, "INVOKE_DEFAULT")
        work = works.works[-1]
        yield lambda work=work: work.done >= 1
        window.press("Escape")
        yield 1
        window.press(*keys)
        yield lambda work=work: not work.running
        print("ENDED", work.job, work.outcome.name, work.message)
    yield 1
    print("FARM", farm.farm.status_line())


window.run(steps)
