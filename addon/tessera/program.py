# SPDX-License-Identifier: GPL-3.0-or-later
"""The program `tessera`: where it lies, and running it beside Blender.

Everything that takes time or speaks to the network is done by the program in a process of its own. A thread reads the
lines it prints, so that neither Blender nor the program ever waits for the other.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "tessera.exe" if sys.platform == "win32" else "tessera"

# Says where the program lies, before all else: for tests, and for whoever rolls the add-on out.
VARIABLE = "TESSERA_PROGRAM"

# Exit status of the program, as it documents them.
DONE, FAILED, USAGE, REFUSED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 130

# How much of what it writes to standard error is kept: it says there what went wrong before it could say it in a line.
STDERR_KEPT_BYTES = 4000

Line = dict[str, Any]


class ProgramMissingError(Exception):
    """There is no program to run."""


def find(preferred: str = "") -> Path:
    """The program: as the variable or the preferences say, as bundled with the add-on, or as installed."""
    asked = os.environ.get(VARIABLE, "") or preferred
    if asked:
        path = Path(asked).expanduser()
        path = path / NAME if path.is_dir() else path
        if path.is_file():
            return path
        raise ProgramMissingError(f"There is no program at {path}: correct it in the add-on's preferences")
    on_path = shutil.which(NAME)
    for path in (
        Path(__file__).parent / "bin" / NAME,
        *([Path(on_path)] if on_path else []),
        Path.home() / ".cargo" / "bin" / NAME,
        Path.home() / ".local" / "bin" / NAME,
    ):
        if path.is_file():
            return path
    raise ProgramMissingError(
        "The program 'tessera' is not on this computer: install it, or say in the add-on's preferences where it is"
    )


def quiet(flags: int = 0) -> dict[str, Any]:
    """What a process is started with so that no window opens for it. `flags`: more of Windows' own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | flags}
    return {}


# Reading and packing a scene takes every core for a while: Blender's window comes first.
STAND_BACK = [nice, "-n", "10"] if (nice := shutil.which("nice")) else []
BELOW_NORMAL = 0x4000  # BELOW_NORMAL_PRIORITY_CLASS


class Child:
    """The program at work. Lines are taken from it as they come; the last one has the type `ended`."""

    def __init__(self, program: Path, arguments: Sequence[str]) -> None:
        self.lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self.status: int | None = None
        # What it handed to a farm is wanted even if Blender quits.
        self.outlives_blender = False
        self._errors = b""
        command = [*STAND_BACK, str(program), *arguments, "--json"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **quiet(BELOW_NORMAL)
            )
        except OSError as error:
            raise ProgramMissingError(f"{program} cannot be run: {error.strerror}") from error
        threads = [threading.Thread(target=read, daemon=True) for read in (self._read_errors, self._read_lines)]
        self._error_reader = threads[0]
        for thread in threads:
            thread.start()
        _children.add(self)

    def _read_errors(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while chunk := stream.read1(4096):  # type: ignore[attr-defined]
            self._errors = (self._errors + chunk)[-STDERR_KEPT_BYTES:]

    def _read_lines(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        said = False
        for text in stream:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                said = said or line.get("type") == "error"
                self.lines.put(line)
        status = self._process.wait()
        self._error_reader.join(1)
        if status not in (DONE, INTERRUPTED) and not said:
            self.lines.put({"type": "error", "status": status, "message": self._last_words(status)})
        self.status = status
        _children.discard(self)
        self.lines.put({"type": "ended", "status": status})

    def _last_words(self, status: int) -> str:
        words = self._errors.decode(errors="replace").strip().splitlines()
        if words:
            return words[-1].removeprefix("tessera: ")
        return f"the program 'tessera' ended unexpectedly (status {status})"

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Asks it to end in order: a render stops, here and on the farm."""
        if sys.platform == "win32":
            # There is no way to ask without a console in common; whoever calls this cancels the job by its number.
            self._process.terminate()
        else:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends it at once. What it handed to the farm goes on there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


_children: set[Child] = set()


def end_all() -> None:
    """Ends every child: Blender quits, or the add-on is switched off. Renders nobody will come back to are stopped."""
    for child in list(_children):
        if child.outlives_blender:
            child.kill()
        else:
            child.interrupt()
    _children.clear()
