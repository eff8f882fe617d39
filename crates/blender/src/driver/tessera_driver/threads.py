"""How many threads Blender may use. An executable is told so by its own option; a module has none."""

from __future__ import annotations

import os
import sys
from typing import Any

_GIVEN = os.environ.get("TESSERA_DRIVER_THREADS")


def load_blender() -> None:
    """Imports bpy with as many processors to be seen as it may have threads.

    oneTBB counts processors when it is loaded and keeps as many threads. Told only later to use one, as Cycles tells
    it for a scene with one thread, it leaves its second one spinning: bpy 5.0.1, idle, used a whole core (measured:
    1.97 s of CPU time in 3 s on a busy machine; 0.00 s this way). Once it has counted, every processor may be used.
    """
    if not _GIVEN or "bpy" in sys.modules or not hasattr(os, "sched_setaffinity"):
        return
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(everywhere)[: int(_GIVEN)]))
    try:
        import bpy  # noqa: F401
    finally:
        for thread in os.listdir("/proc/self/task"):
            try:
                os.sched_setaffinity(int(thread), everywhere)
            except ProcessLookupError:
                continue  # It has ended meanwhile.


def limit(scenes: Any) -> None:
    """For what asks the scene and not the system."""
    if _GIVEN:
        for scene in scenes:
            scene.render.threads_mode = "FIXED"
            scene.render.threads = int(_GIVEN)
