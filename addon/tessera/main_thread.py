# SPDX-License-Identifier: GPL-3.0-or-later
"""The one timer of the add-on, and a way for other threads to have something done on Blender's main thread.

Blender's data may be changed on its main thread only, and a render engine runs on another one while the window stays
alive. Whatever comes from outside (lines of child processes, requests of the engine) waits in queues that the timer
empties.
"""

import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import bpy

# Twenty times a second is smooth for a progress bar, and nothing for the processor.
TICK_S = 0.05

# What one tick may take. The window is redrawn in between, whatever a farm has to tell.
TICK_BUDGET_S = 0.008

# Longer than it takes to save a scene of several gigabytes. Only a window that hangs takes longer.
ANSWER_S = 600

_requests: "queue.SimpleQueue[_Request]" = queue.SimpleQueue()
_tasks: list[Callable[[float], None]] = []


class _Request:
    """Something to be done, and what became of it."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.do()
        except BaseException as error:  # It belongs to who asked.
            self.error = error
        self.done.set()


class WindowHangsError(Exception):
    """The main thread did not come to it."""


def is_here() -> bool:
    """Whether this is Blender's main thread."""
    return threading.current_thread() is threading.main_thread()


def call(do: Callable[[], Any], given_up: Callable[[], bool] = lambda: False) -> Any:
    """Does something on the main thread and returns what it returns. None if `given_up` says so first."""
    if is_here():
        return do()
    request = _Request(do)
    _requests.put(request)
    end = time.monotonic() + ANSWER_S
    while not request.done.wait(0.1):
        if given_up():
            return None
        if time.monotonic() > end:
            raise WindowHangsError("Blender's window does not answer")
    if request.error is not None:
        raise request.error
    return request.result


def every_tick(task: Callable[[float], None]) -> None:
    """Runs a task on every tick, given the moment by which it shall be through."""
    _tasks.append(task)


def tick() -> float:
    """Does what waits."""
    while True:
        try:
            _requests.get_nowait().run()
        except queue.Empty:
            break
    for task in _tasks:
        try:
            task(time.monotonic() + TICK_BUDGET_S)
        except Exception:
            # A mistake of ours in one task shall not stop the others, nor this timer for good.
            traceback.print_exc()
    return TICK_S


def start() -> None:
    """Begins to tick. The timer outlives the loading of files."""
    if not bpy.app.background and not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK_S, persistent=True)


def stop() -> None:
    """Ticks no more and forgets what was to be done."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    _tasks.clear()
