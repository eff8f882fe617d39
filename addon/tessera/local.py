# SPDX-License-Identifier: GPL-3.0-or-later
"""A manager and a worker on this computer, started and stopped from the panel.

They are programs of their own and outlive Blender, so what they render for others does not end with it. Their process
numbers are remembered; a number counts only while a program of that name has it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import preferences, program, state_folder

KINDS = ("manager", "worker")

# How long a program's answer to "is it still there" counts: the panel is drawn often.
KNOWN_S = 2.0

_known: dict[str, tuple[float, int]] = {}


class CannotStartError(Exception):
    """It does not run, and why."""


def process(kind: str) -> int:
    """The number of its process; 0 if it does not run."""
    now = time.monotonic()
    when, number = _known.get(kind, (-KNOWN_S, 0))
    if now - when < KNOWN_S:
        return number
    number = state_folder.read("processes").get(kind, 0)
    number = number if isinstance(number, int) and number and _is_ours(number) else 0
    _known[kind] = now, number
    return number


def _is_ours(number: int) -> bool:
    """Whether a process of this number is the program. Numbers are given anew once a process has ended."""
    if sys.platform == "linux":
        try:
            # A child that has ended stays in the list until it is asked for.
            os.waitpid(number, os.WNOHANG)
        except ChildProcessError:
            pass
        try:
            return Path(os.fsdecode(Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[0])).name == program.NAME
        except (OSError, ValueError):
            return False
    if sys.platform == "win32":
        command = ["tasklist", "/FI", f"PID eq {number}", "/NH"]
    else:
        command = ["ps", "-p", str(number), "-o", "comm="]
    asked = subprocess.run(command, capture_output=True, check=False, **program.quiet())
    return program.NAME.encode() in asked.stdout


def log(kind: str) -> Path:
    """Where it writes what it says."""
    return state_folder.folder() / f"{kind}.log"


def start(kind: str, arguments: list[str]) -> int:
    """Starts it, if it does not run. Returns its process."""
    if running := process(kind):
        return running
    command = [str(preferences.find_program()), kind, *arguments]
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        with open(log(kind), "wb") as said:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, close_fds=True, **apart
            )
    except OSError as error:
        raise CannotStartError(f"The {kind} cannot be started: {error.strerror}") from error
    _note(kind, child.pid)
    return child.pid


def stop(kind: str) -> bool:
    """Asks it to end. Whether it ran."""
    number = process(kind)
    if number:
        os.kill(number, signal.SIGTERM)
        _note(kind, 0)
    return bool(number)


def why_ended(kind: str) -> str:
    """The last thing it said, for one that was started and does not run."""
    try:
        lines = log(kind).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("tessera: ") if lines else ""


def was_started(kind: str) -> bool:
    """Whether it was started and not stopped."""
    return bool(state_folder.read("processes").get(kind, 0))


def _note(kind: str, number: int) -> None:
    record = state_folder.read("processes")
    record[kind] = number
    state_folder.write("processes", record)
    _known[kind] = time.monotonic(), number
