# SPDX-License-Identifier: GPL-3.0-or-later
"""What is under way for this Blender: commands that send, render and fetch, and what is said of them.

Each is one run of the program. A render waits for its frames; once its job is in, that goes on on the farm whatever
becomes of Blender, and its number is remembered so that the next Blender can wait for it.
"""

import itertools
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import bpy

from . import drawing, main_thread, preferences, program, scene_file, settings, state_folder
from .farm import farm
from .program import Child, Line

# Ended ones that are still shown.
ENDED_SHOWN_MAX = 3

_numbers = itertools.count(1)

# In the background nobody ticks: this long until it is looked again.
LOOK_S = 0.02


class Outcome(Enum):
    """How it ended."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LEFT = "left to the farm"


class Work:
    """One command, from its start to what became of it."""

    # Whether the command asks which farm it shall speak to.
    takes_farm = True

    def __init__(
        self, title: str, arguments: list[str], file: scene_file.SceneFile | None = None, job: int = 0
    ) -> None:
        self.number = next(_numbers)
        self.title = title
        self.job = job
        self.outcome: Outcome | None = None
        self.message = "Starting"
        self.place = ""
        self.warnings: list[str] = []
        self.frames = 0
        self.done = 0
        self.failed = 0
        self.share = 0.0
        self.seconds_left: float | None = None
        self.private = False
        self.newest: Path | None = None
        self.on_frame: Callable[[Work], None] | None = None
        self.began = time.monotonic()
        # Whether what it waits for is a job that others handed in: ending the command does not cancel that by itself.
        self._fetches = job != 0
        self._cancelled = False
        self._over = False
        self._file = file
        self._named = (str(file.path), bpy.path.basename(bpy.data.filepath) or "the scene") if file else ("", "")
        try:
            self.child: Child = preferences.start(*arguments, farm=self.takes_farm)
        except program.ProgramMissingError:
            self._drop_file()
            raise
        self.child.outlives_blender = self._fetches
        works.append(self)

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.outcome is None

    def take(self, line: Line) -> None:
        """Notes what the program said."""
        kind = line["type"]
        note = getattr(self, f"_on_{kind}", None)
        if note is not None:
            note(line)

    def _on_packing(self, _line: Line) -> None:
        self.message = "Reading the scene"

    def _on_farm(self, line: Line) -> None:
        self.private = line["private"]
        if not self.private:
            farm.named(line["name"])

    def _on_sending(self, line: Line) -> None:
        total = line["total_bytes"]
        done = line["done_bytes"] if "done_bytes" in line else line["sent_bytes"]
        if total:
            self.share = min(done / total, 1)
        self.message = f"Sending {megabytes(done)} of {megabytes(max(total, done))}"

    def _on_submitted(self, line: Line) -> None:
        self.job = 0 if self.private else line["job"]
        self.frames, self.done = line["frames"], line["present"]
        self.share = 0.0
        self.message = "Waiting for a worker"
        self._drop_file()
        if self.job:
            self.child.outlives_blender = True
            if not self._is_only_sent():
                state_folder.remember_job(self.job, self.title, "")

    def _is_only_sent(self) -> bool:
        return isinstance(self, Sending)

    def _on_started(self, line: Line) -> None:
        worker = farm.workers.get(line["worker"])
        where = f" on {worker['name']}" if worker else ""
        self.message = f"Frame {line['frame']}{where}"

    def _on_frame(self, line: Line) -> None:
        if line["files"]:
            self.newest = Path(line["files"][0])
            self.place = str(self.newest.parent)
        if self.on_frame is not None:
            self.on_frame(self)

    def _on_frame_failed(self, line: Line) -> None:
        again = "given up" if line["given_up"] else "tried again"
        self._warn(f"Frame {line['frame']} failed and is {again}: {line['message']}")

    def _on_progress(self, line: Line) -> None:
        self.done, self.frames, self.failed = line["done"], line["frames"], line["failed"]
        self.seconds_left = line.get("seconds_left")
        share = self.done / max(self.frames, 1)
        if line.get("parts"):
            share = max(share, line["parts_done"] / line["parts"] * 0.99)
        self.share = share

    def _on_finished(self, line: Line) -> None:
        self.done, self.failed = line["done"], line["failed"]
        self._over = line["state"] in ("done", "failed", "cancelled")

    def _on_outage(self, line: Line) -> None:
        self.message = f"The farm does not answer, waiting for it: {line['message']}"

    def _on_back(self, _line: Line) -> None:
        self.message = "The farm is back"

    def _on_warning(self, line: Line) -> None:
        self._warn(line["message"])

    def _warn(self, text: str) -> None:
        text = self._said(text)
        if text not in self.warnings:
            self.warnings.append(text)

    def _on_error(self, line: Line) -> None:
        self.message = self._said(line["message"])

    def _on_ended(self, line: Line) -> None:
        self._drop_file()
        status = line["status"]
        if self.outcome is not None:
            return
        if self._cancelled:
            self._end(Outcome.CANCELLED, f"Cancelled; {counted(self.done)} of {self.frames} are in the folder")
        elif status == program.DONE:
            self._end(Outcome.DONE, self._done_text())
        elif status == program.INCOMPLETE:
            self._end(
                Outcome.DONE, f"{counted(self.done)} are in {self.place or 'the folder'}; the others are not ready yet"
            )
        else:
            self._end(Outcome.FAILED, self.message)

    def _done_text(self) -> str:
        took = time.monotonic() - self.began
        return f"{counted(self.done)} in {seconds(took)}"

    def _end(self, outcome: Outcome, message: str) -> None:
        self.outcome, self.message = outcome, message
        # A farm that went away, or a job that goes on, can be waited for again.
        if self.job and (self._over or outcome is Outcome.CANCELLED):
            state_folder.forget_job(self.job)
        ended = [work for work in works if not work.running]
        for work in ended[:-ENDED_SHOWN_MAX]:
            works.remove(work)

    def _said(self, text: str) -> str:
        """Messages name the copy that was sent; the user knows their own file."""
        path, name = self._named
        return text.replace(path, name) if path else text

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.remove()
            self._file = None

    def cancel(self) -> None:
        """Ends it, and its job on the farm."""
        if not self.running:
            return
        self._cancelled = True
        self.message = "Ending"
        if self.job and (self._fetches or sys.platform == "win32"):
            Asking(f"Cancel job {self.job}", ["job", "cancel", str(self.job)])
            self.child.kill()
        else:
            self.child.interrupt()

    def can_be_left(self) -> bool:
        """Whether the farm goes on without this Blender."""
        return self.running and self.job != 0

    def leave(self) -> None:
        """Waits no more; the farm goes on."""
        if self.can_be_left():
            self._end(Outcome.LEFT, f"Job {self.job} goes on on the farm")
            self.child.kill()

    def headline(self) -> str:
        """What is shown of it in one line."""
        if not self.running or not self.frames:
            return self.message
        left = f", {seconds(self.seconds_left)} left" if self.seconds_left else ""
        return f"{self.done} of {counted(self.frames)}{left}"

    def wait(self) -> None:
        """Blocks until it ends: in the background, where a script wants to go on with the frames."""
        while self.running:
            drain(time.monotonic() + 1)
            time.sleep(LOOK_S)


class Sending(Work):
    """A job that is sent and not waited for."""

    def _done_text(self) -> str:
        return f"Job {self.job} is on the farm: {counted(self.frames)}"


class Asking(Work):
    """A command about jobs or workers. Its end is not worth a word, its failure is."""

    def _on_error(self, line: Line) -> None:
        super()._on_error(line)
        last_words.say(f"{self.title}: {self.message}")

    def _end(self, outcome: Outcome, message: str) -> None:
        super()._end(outcome, message)
        if self in works:
            works.remove(self)


class Connecting(Asking):
    """Becomes a client of a farm."""

    takes_farm = False

    def _on_connected(self, line: Line) -> None:
        farm.restart()
        farm.named(line["farm"])
        farm.look()


class LookingAround(Asking):
    """Lists the farms on this network, and those this user is connected to."""

    takes_farm = False

    def __init__(self) -> None:
        around.farms, around.looking = [], True
        super().__init__("Farms", ["farms"])

    def _on_known_farm(self, line: Line) -> None:
        around.farms.append(line)

    def _on_ended(self, line: Line) -> None:
        around.looking, around.looked = False, True
        super()._on_ended(line)


class Around:
    """Farms that were found."""

    def __init__(self) -> None:
        self.farms: list[dict[str, Any]] = []
        self.looking = False
        self.looked = False


class Inviting(Asking):
    """Makes a code that lets somebody in, and puts it into the clipboard."""

    def _on_pairing(self, line: Line) -> None:
        pairing = line["pairing"]
        self.code = (pairing["links"] or [pairing["code"]])[0]
        bpy.context.window_manager.clipboard = self.code
        last_words.say(f"In your clipboard: {self.code}", good=True)


class Needed:
    """What a scene needs, as listed by `tessera pack`."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.total_bytes = 0
        self.known = False
        self.reading = False

    def missing(self) -> list[dict[str, Any]]:
        """Files that are not there."""
        return [file for file in self.files if file["missing"]]


class Listing(Asking):
    """Asks what a scene needs."""

    takes_farm = False

    def __init__(self, file: scene_file.SceneFile, frames: str) -> None:
        needed.files, needed.known, needed.reading = [], False, True
        sent = str(file.path)
        super().__init__("Files", ["pack", sent, *(["--frames", frames] if frames else [])], file)
        self._own = sent

    def _on_needed(self, line: Line) -> None:
        if line["path"] != self._own:
            needed.files.append(line)

    def _on_closure(self, line: Line) -> None:
        needed.total_bytes, needed.known = line["bytes"], True

    def _on_error(self, line: Line) -> None:
        # What is missing is in the list already.
        if not needed.missing():
            super()._on_error(line)

    def _on_ended(self, line: Line) -> None:
        needed.reading = False
        super()._on_ended(line)


class LastWords:
    """The last thing that no work shows, until the user has read it."""

    def __init__(self) -> None:
        self.text = ""
        self.good = False

    def say(self, text: str, good: bool = False) -> None:
        self.text, self.good = text, good


works: list[Work] = []


def find(number: int) -> Work | None:
    """The work of this number. Places in the list change while a user looks at it; numbers do not."""
    return next((work for work in works if work.number == number), None)


around = Around()
needed = Needed()
last_words = LastWords()


def running() -> list[Work]:
    """What is under way and worth showing."""
    return [work for work in works if work.running and not isinstance(work, Asking)]


def shown() -> list[Work]:
    """What the panel shows: what is under way, and how the last ones ended."""
    return [work for work in works if not isinstance(work, Asking)]


def drain(until: float) -> None:
    """Takes what the programs said."""
    said = False
    for work in list(works):
        while not work.child.lines.empty():
            work.take(work.child.lines.get())
            said = True
            if time.monotonic() > until:
                break
    if said:
        drawing.ask()


def scene_arguments(scene: bpy.types.Scene, file: scene_file.SceneFile, frames: str, folder: str = "") -> list[str]:
    """What the program is told of a scene: which one, which frames, where they go, and the job's settings."""
    job = scene.tessera
    found = [str(file.path), "--scene", scene.name]
    frames = frames or job.frames.strip() or f"{scene.frame_start}..{scene.frame_end}x{scene.frame_step}"
    found.append(f"--frames={frames}")
    found += ["--name", job.name.strip() or own_name(scene)]
    own = scene_file.own_file()
    if folder:
        found += ["--output", folder]
    elif own is None or file.path.parent != own.parent:
        # Relative paths of a file that lies elsewhere lead elsewhere.
        found += ["--output", pattern(scene)]
    if file.engine:
        found += ["--engine", file.engine]
    return found + settings.arguments(job)


def own_name(scene: bpy.types.Scene) -> str:
    """What a job is called that has no name: as the file, and as the scene where there are several."""
    own = scene_file.own_file()
    name = own.stem if own else "untitled"
    return name if len(bpy.data.scenes) == 1 else f"{name}, {scene.name}"


def pattern(scene: bpy.types.Scene) -> str:
    """Where Blender would write the scene's frames, with the place of the number."""
    path = bpy.path.abspath(scene.render.filepath)
    if not Path(path).is_absolute():
        path = str(Path.home() / path.lstrip("/\\"))
    if path.endswith(("/", "\\")) or "#" in path:
        return path
    return f"{path}####"


def megabytes(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count < 1e8 else f"{count / 1e9:.2f} GB"


def seconds(count: float) -> str:
    """A time for people."""
    whole = round(count)
    if whole < 60:
        return f"{whole} s" if count >= 1 else "a moment"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(frames: int) -> str:
    """A number of frames for people."""
    return "1 frame" if frames == 1 else f"{frames} frames"


def register() -> None:
    main_thread.every_tick(drain)


def unregister() -> None:
    program.end_all()
    works.clear()
