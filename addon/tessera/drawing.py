# SPDX-License-Identifier: GPL-3.0-or-later
"""When the panels are drawn anew: whenever they have something new to say, and never so often that the window suffers.

What drawing costs is seen by how late the next tick comes: a millisecond with a graphics card, a tenth of a second
without one on a busy computer.
"""

import time
from collections.abc import Callable

import bpy

from . import main_thread

# Drawn no more often, and no less often when there is something new.
EVERY_MIN_S = 0.2
EVERY_MAX_S = 2.0

# Of the time of Blender's window, drawing may take this part.
SHARE = 0.01


class _Panels:
    """What was asked for, and when it may be done."""

    def __init__(self) -> None:
        self._asked = False
        self._before: list[Callable[[], None]] = []
        self._next = 0.0
        # When the tick after a drawing should come.
        self._due: float | None = None

    def ask(self, before: Callable[[], None] | None = None) -> None:
        """Something that the panels show has changed. `before` is done once, just before they are drawn."""
        self._asked = True
        if before is not None and before not in self._before:
            self._before.append(before)

    def tick(self, _until: float) -> None:
        """Draws, if that was asked for and its time has come."""
        now = time.monotonic()
        if self._due is not None:
            cost = max(now - self._due, 0.0)
            self._next = now + min(max(cost / SHARE, EVERY_MIN_S), EVERY_MAX_S)
            self._due = None
        if self._asked and now >= self._next:
            self._asked = False
            self._due = now + main_thread.TICK_S
            draw()

    def prepare(self) -> None:
        """Does what is to be done before."""
        before, self._before = self._before, []
        for each in before:
            each()


_panels = _Panels()
ask = _panels.ask


def draw() -> None:
    """Draws what shows the farm, at once. Of a 3D view its sidebar only: a heavy scene takes long to draw."""
    _panels.prepare()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PROPERTIES":
                area.tag_redraw()
            elif area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def register() -> None:
    if not bpy.app.background:
        main_thread.every_tick(_panels.tick)


def unregister() -> None:
    """`main_thread.stop` has forgotten the tick."""
