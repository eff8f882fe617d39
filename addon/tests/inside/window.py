"""What the scripts in Blender's own window share: steps that wait, keys and clicks, and an end."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import bpy

ARGUMENTS = sys.argv[sys.argv.index("--") + 1 :]

# Far beyond anything that works.
WAIT_S = 150

LOOK_S = 0.1


def window() -> bpy.types.Window:
    return bpy.context.window_manager.windows[0]


def area(kind: str) -> bpy.types.Area:
    return next(each for each in window().screen.areas if each.type == kind)


def call(operator: Any, *how: str, **values: Any) -> Any:
    """Calls an operator as from the 3D view."""
    view = (
        area("VIEW_3D") if any(each.type == "VIEW_3D" for each in window().screen.areas) else window().screen.areas[0]
    )
    region = next(each for each in view.regions if each.type == "WINDOW")
    with bpy.context.temp_override(window=window(), area=view, region=region):
        try:
            return operator(*how, **values)
        except RuntimeError as error:
            print("REFUSED", str(error).strip())
            return {"CANCELLED"}


def press(*keys: str) -> None:
    """Presses keys over the middle of the window. Blender goes on meanwhile, as it does for a person."""
    words = ["xdotool", "mousemove", "500", "400"]
    for key in keys:
        words += ["sleep", "0.2", "key", key]
    subprocess.Popen(words)


def run(steps: Callable[[], Iterator[Any]]) -> None:
    """Runs steps: a number is a time to wait, a function is waited for until it is true. Then Blender quits."""
    bpy.context.preferences.view.render_display_type = "AREA"
    bpy.context.preferences.use_preferences_save = False
    generator = steps()
    waiting: list[Any] = [None, 0.0]

    def step() -> float:
        try:
            if waiting[0] is not None:
                waiting[1] += LOOK_S
                if not waiting[0]():
                    assert waiting[1] < WAIT_S, "it did not come true"
                    return LOOK_S
                waiting[:] = [None, 0.0]
            wish = next(generator)
            if callable(wish):
                waiting[0] = wish
                return LOOK_S
            return wish
        except StopIteration:
            print("THROUGH", flush=True)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        bpy.ops.wm.quit_blender()
        return LOOK_S

    bpy.app.timers.register(step, first_interval=1)
