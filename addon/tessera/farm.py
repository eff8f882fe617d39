# SPDX-License-Identifier: GPL-3.0-or-later
"""The farm as Blender knows it: its workers and jobs, kept fresh by `tessera watch`, and what one line says of it.

The watching begins when the panel is first looked at, not before: an add-on that is only installed costs nothing. Where
no farm answers it is tried again, less and less often.
"""

import time
from enum import Enum, auto
from pathlib import Path
from typing import Any

import bpy

from . import drawing, main_thread, preferences, program, state_folder
from .program import Child, Line

# Seconds until a farm that did not answer is tried again; the last counts for all further times.
RETRIES_S = (2, 5, 10, 30)

# A watcher waits for a manager that went away and does not say so: an own question shows it.
PULSE_S = 10

# Nobody has looked for so long: the lists may be old.
UNSEEN_S = 60


class Link(Enum):
    """How this user stands to a farm."""

    UNKNOWN = auto()
    NO_PROGRAM = auto()
    NO_FARM = auto()
    CONNECTED = auto()
    AWAY = auto()


class Farm:
    """What is known of the farm. One for the whole Blender."""

    def __init__(self) -> None:
        self.link = Link.UNKNOWN
        self.message = ""
        self.name = ""
        self.workers: dict[int, dict[str, Any]] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.changed = False
        self._watch: Child | None = None
        self._pulse: Child | None = None
        self._name_asked: Child | None = None
        self._heard = False
        self._failures = 0
        self._next_try = 0.0
        self._next_pulse = 0.0
        self._seen = 0.0

    # What is shown

    def look(self) -> None:
        """Somebody looks: the farm is watched from now on."""
        self._seen = time.monotonic()

    def online(self) -> list[dict[str, Any]]:
        """Workers whose link is open."""
        return [worker for worker in self.workers.values() if worker["linked"]]

    def busy(self) -> int:
        """How many of them render."""
        return sum(any(held["rendering"] for held in worker["holds"]) for worker in self.online())

    def status_line(self) -> str:
        """The farm in one line."""
        if self.link is Link.CONNECTED:
            count = len(self.online())
            workers = f"{count} worker" if count == 1 else f"{count} workers"
            return f"{self.name or 'Farm'}, {workers}, {self.busy()} busy"
        if self.link is Link.AWAY:
            return f"{self.name or 'The farm'} does not answer"
        if self.link is Link.NO_FARM:
            return "Renders on this computer alone"
        if self.link is Link.NO_PROGRAM:
            return "Tessera is not installed"
        return "Looking for your farm…"

    # What is heard

    def named(self, name: str) -> None:
        """The farm's name is known."""
        if name and name != self.name:
            self.name = name
            self.changed = True
            state_folder.write("farm", {"name": name})

    def restart(self) -> None:
        """Looks anew: another farm was connected, or the program is another one."""
        self._drop_watch()
        self.link, self.message = Link.UNKNOWN, ""
        self.workers.clear()
        self.jobs.clear()
        self._failures, self._next_try = 0, 0.0
        self.changed = True

    def _drop_watch(self) -> None:
        for child in (self._watch, self._pulse, self._name_asked):
            if child is not None:
                child.kill()
        self._watch = self._pulse = self._name_asked = None
        self._heard = False

    def run(self, until: float) -> None:
        """A tick: takes what was said, and sees that somebody listens."""
        now = time.monotonic()
        if self._watch is None and now - self._seen < UNSEEN_S and now >= self._next_try:
            self._begin()
        elif self._watch is not None and now - self._seen > UNSEEN_S:
            self._drop_watch()
        for child in (self._watch, self._pulse, self._name_asked):
            while child is not None and not child.lines.empty() and time.monotonic() < until:
                self._take(child, child.lines.get())
        if self.link in (Link.CONNECTED, Link.AWAY) and self._watch and not self._pulse and now >= self._next_pulse:
            self._next_pulse = now + PULSE_S
            self._pulse = self._start("workers")
        if self.changed:
            self.changed = False
            drawing.ask(self._refill_lists)

    def _refill_lists(self) -> None:
        """What the lists in the panels are made of."""
        lists = bpy.context.window_manager.tessera
        _fill(lists.workers, sorted(self.workers.values(), key=lambda worker: worker["name"].casefold()))
        _fill(lists.jobs, sorted(self.jobs.values(), key=lambda job: -job["id"]))

    def _start(self, *arguments: str) -> Child | None:
        try:
            return preferences.start(*arguments)
        except program.ProgramMissingError as error:
            self._fail(Link.NO_PROGRAM, str(error))
            return None

    def _begin(self) -> None:
        self._heard = False
        if not self.name:
            self.name = str(state_folder.read("farm").get("name", ""))
        self._watch = self._start("watch")

    def _fail(self, link: Link, message: str) -> None:
        self._watch = None
        self.link, self.message = link, message
        self._next_try = time.monotonic() + RETRIES_S[min(self._failures, len(RETRIES_S) - 1)]
        self._failures += 1
        self.changed = True

    def _take(self, child: Child, line: Line) -> None:
        kind = line.get("type")
        if child is self._watch:
            self._take_watched(kind, line)
        elif child is self._pulse:
            self._take_pulse(kind, line)
        elif kind == "check" and line.get("name") == "farm":
            self.named(quoted(line.get("found", "")))
        elif kind == "ended":
            self._name_asked = None

    def _take_watched(self, kind: Any, line: Line) -> None:
        if kind == "event":
            self._event(line["event"])
        elif kind == "error":
            self.message = line["message"]
        elif kind == "ended":
            status = line["status"]
            no_farm = status == program.REFUSED and "no farm is connected" in self.message
            if no_farm:
                self.workers.clear()
                self.jobs.clear()
            self._fail(Link.NO_FARM if no_farm else Link.AWAY, self.message)

    def _take_pulse(self, kind: Any, line: Line) -> None:
        if kind == "worker":
            self._worker(line["worker"])
            self._is_there()
        elif kind == "error" and line["status"] == program.REFUSED:
            self.link, self.message = Link.AWAY, line["message"]
            self.changed = True
        elif kind == "ended":
            if line["status"] == program.DONE:
                self._is_there()
            self._pulse = None

    def _is_there(self) -> None:
        if self.link is not Link.CONNECTED:
            self.link, self.message = Link.CONNECTED, ""
            self.changed = True
        self._failures = 0
        if not self.name and self._name_asked is None:
            # Asked once: it takes seconds, and the answer is kept.
            self._name_asked = self._start("doctor")

    def _event(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        self._is_there()
        if kind == "resync":
            self.workers.clear()
            self.jobs.clear()
        elif kind == "job":
            self.jobs[event["job"]["id"]] = event["job"]
        elif kind == "job_removed":
            self.jobs.pop(event["job"], None)
        elif kind == "worker":
            self._worker(event["worker"])
        elif kind == "worker_removed":
            self.workers.pop(event["worker"], None)
        elif kind == "frame_started":
            self._mark(event)
        self.changed = True

    def _worker(self, worker: dict[str, Any]) -> None:
        self.workers[worker["id"]] = worker
        self.changed = True

    def _mark(self, event: dict[str, Any]) -> None:
        worker = self.workers.get(event["worker"])
        for held in worker["holds"] if worker else []:
            if held["job"] == event["job"]:
                held["rendering"], held["frame"] = True, event["frame"]


def quoted(text: str) -> str:
    """The first name in quotation marks."""
    parts = text.split("'")
    return parts[1] if len(parts) > 2 else ""


def worker_state(worker: dict[str, Any]) -> str:
    """How a worker stands, in a few words."""
    if not worker["linked"]:
        return "away"
    rendering = [held for held in worker["holds"] if held["rendering"]]
    mode = "" if worker["mode"] == "active" else worker["mode"]
    if rendering:
        text = f"job {rendering[0]['job']}, frame {rendering[0]['frame']}"
        return f"{text} ({mode})" if mode else text
    facts = worker.get("facts") or {}
    if not mode and facts.get("rest"):
        return "resting"
    return mode or "idle"


def job_share(job: dict[str, Any]) -> float:
    """How much of a job is done, from 0 to 1, parts of divided frames counted."""
    if job["done"] < job["frames"] and job.get("places"):
        return max(job["done"] / job["frames"], job["places_done"] / job["places"] * 0.99)
    return job["done"] / max(job["frames"], 1)


def place_of(files: list[str]) -> str:
    """The folder of a frame's first file."""
    return str(Path(files[0]).parent) if files else ""


def _fill(rows: Any, entries: list[dict[str, Any]]) -> None:
    while len(rows) > len(entries):
        rows.remove(len(rows) - 1)
    while len(rows) < len(entries):
        rows.add()
    for row, entry in zip(rows, entries, strict=True):
        if row.number != entry["id"]:
            row.number = entry["id"]
        name = entry["name"] if "name" in entry else entry["settings"]["name"]
        if row.name != name:
            row.name = name


farm = Farm()


class ListedWorker(bpy.types.PropertyGroup):
    """A row of the list of workers. All else is looked up by its number."""

    number: bpy.props.IntProperty()


class ListedJob(bpy.types.PropertyGroup):
    """A row of the list of jobs."""

    number: bpy.props.IntProperty()


class FarmLists(bpy.types.PropertyGroup):
    """Rows of the lists, which the window manager holds: they are never saved with a file."""

    workers: bpy.props.CollectionProperty(type=ListedWorker)
    jobs: bpy.props.CollectionProperty(type=ListedJob)
    worker_index: bpy.props.IntProperty()
    job_index: bpy.props.IntProperty()
    code: bpy.props.StringProperty(
        name="Code",
        description="The code, or the whole link, that the farm's admin gave you: of a user to connect, of a worker to "
        "start one here",
        options={"SKIP_SAVE"},
    )

    def worker(self) -> dict[str, Any] | None:
        """The chosen worker."""
        if 0 <= self.worker_index < len(self.workers):
            return farm.workers.get(self.workers[self.worker_index].number)
        return None

    def job(self) -> dict[str, Any] | None:
        """The chosen job."""
        if 0 <= self.job_index < len(self.jobs):
            return farm.jobs.get(self.jobs[self.job_index].number)
        return None


CLASSES = (ListedWorker, ListedJob, FarmLists)


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.WindowManager.tessera = bpy.props.PointerProperty(type=FarmLists)
    main_thread.every_tick(farm.run)


def unregister() -> None:
    farm.restart()
    del bpy.types.WindowManager.tessera
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
