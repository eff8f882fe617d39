"""What the tests stand on: a real farm, real Blenders with the add-on, and plain Blender to compare with.

Everything lies in a folder of the test's own; nothing of the surrounding user is read or written.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ADDON = HERE.parent / "tessera"
REPOSITORY = HERE.parent.parent
SCENES = (REPOSITORY / "crates/cli/tests/scenes/small.py", REPOSITORY / "crates/blender/tests/scenes/features.py")

# Far beyond anything that works, so that what does not work ends.
WAIT_S = 240

Line = dict[str, Any]


class Tools:
    """Programs that the tests run: set by `run.py`."""

    tessera = Path()
    xtask = Path()
    blender = Path()
    bpy_4_2 = Path()
    bpy_5_0 = Path()


def python_of(version: str) -> Path:
    """The Python that can import bpy of this version: "4.2" or "5.0"."""
    return {"4.2": Tools.bpy_4_2, "5.0": Tools.bpy_5_0}[version]


class Home:
    """A user of a machine: all that is kept lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TESSERA_", "BLENDER_"))}
        blenders = [path for path in (Tools.blender, Tools.bpy_4_2, Tools.bpy_5_0) if path != Path()]
        self.environment = {
            **kept,
            "HOME": str(folder),
            "TESSERA_HOME": str(folder / "tessera"),
            "TESSERA_PROGRAM": str(Tools.tessera),
            "TESSERA_BLENDER": ":".join(map(str, blenders)),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "BLENDER_USER_CONFIG": str(folder / "blender/config"),
            "BLENDER_USER_SCRIPTS": str(folder / "blender/scripts"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def install_addon(self) -> None:
        """As a user installs and enables it."""
        addons = self.folder / "blender/scripts/addons"
        addons.mkdir(parents=True, exist_ok=True)
        (self.folder / "blender/config").mkdir(parents=True, exist_ok=True)
        if not (addons / "tessera").exists():
            shutil.copytree(ADDON, addons / "tessera", ignore=shutil.ignore_patterns("__pycache__"))
        said = self.blender("-b", "--python", HERE / "inside/enable.py")
        assert "ENABLED" in said, said

    def tessera(self, *arguments: object) -> list[Line]:
        """Runs the program to its end and gives its lines."""
        command = [str(Tools.tessera), *map(str, arguments), "--json"]
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=WAIT_S)
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def blender(self, *arguments: object, status: int | None = 0, cwd: Path | None = None, **more: str) -> str:
        """Runs Blender 3.4.1 and gives all it said. Never a traceback."""
        command = [str(Tools.blender), *map(str, arguments)]
        return self.run(command, status, cwd, **more)

    def module(self, version: str, script: Path, *arguments: object, status: int | None = 0, **more: str) -> str:
        """Runs a script in bpy of this version."""
        return self.run([str(python_of(version)), str(script), *map(str, arguments)], status, None, **more)

    def window(self, name: str, blend: Path, *arguments: object) -> str:
        """Runs a script of `inside` in Blender's own window, under Xvfb, and gives all it said."""
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24"]
        blender = [str(Tools.blender), "-p", "0", "0", "1280", "800", "--python-exit-code", "1", str(blend)]
        script = ["--python", str(HERE / "inside" / f"{name}.py"), "--", *map(str, arguments)]
        said = self.run([*screen, *blender, *script], None, None)
        assert "THROUGH" in said, said
        return said

    def run(self, command: list[str], status: int | None, cwd: Path | None, **more: str) -> str:
        """Runs a command and gives all it said."""
        process = subprocess.Popen(
            command,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            # With all that it started: a window, and what the window is drawn on.
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            raise AssertionError(f"it did not end\n{said}") from None
        assert "Traceback" not in said, said
        if status is not None:
            assert process.returncode == status, f"status {process.returncode}\n{said}"
        return said


class Process:
    """The program as a manager or a worker. Its lines can be waited for."""

    def __init__(self, home: Home, *arguments: object) -> None:
        command = [str(Tools.tessera), *map(str, arguments), "--json"]
        self._process = subprocess.Popen(
            command, env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self._lines.put(json.loads(text))

    def wait_for(self, fits: Callable[[Line], bool]) -> Line:
        """The next line that fits."""
        while True:
            line = self._lines.get(timeout=WAIT_S)
            if fits(line):
                return line

    def end(self, how: int = signal.SIGTERM) -> None:
        """Ends it and waits for its end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Farm:
    """A manager and workers, each a process of its own. Who started it is its user in the tests."""

    def __init__(self, folder: Path, workers: tuple[str, ...] = ("anna", "ben")) -> None:
        self.user = Home(folder / "user")
        self.workers: dict[str, Process] = {}
        self.manager, up = self._start("127.0.0.1:0")
        self.address = up["urls"][0].removeprefix("https://")
        self.code = up["pairing"]["links"][0]
        for name in workers:
            self.hire(name)

    def _start(self, address: str) -> tuple[Process, Line]:
        manager = Process(self.user, "manager", "--listen", address, "--no-discovery", "--name", "Studio farm")
        return manager, manager.wait_for(lambda line: line["type"] == "manager")

    def hire(self, name: str, *more: object) -> None:
        """Adds a worker, one thread of it."""
        home = Home(self.user.folder.parent / name)
        process = Process(home, "worker", "--join", self.code, "--name", name, "--threads", 1, *more)
        process.wait_for(lambda line: line["type"] == "worker_state" and line["linked"])
        self.workers[name] = process

    def kill_manager(self) -> None:
        """As a power cut does."""
        self.manager.end(signal.SIGKILL)

    def restart_manager(self) -> None:
        """On the port it had."""
        self.manager, _ = self._start(self.address)

    def jobs(self) -> list[Line]:
        """All jobs, newest first."""
        return [line["job"] for line in self.user.tessera("jobs") if line["type"] == "job"]

    def job(self, number: int) -> Line:
        """One job."""
        return next(job for job in self.jobs() if job["id"] == number)

    def end(self) -> None:
        """Ends all of it."""
        for worker in self.workers.values():
            worker.end()
        self.manager.end()


class FarmTest(unittest.TestCase):
    """Tests that share a farm, whose user has the add-on. Each has a folder of its own."""

    farm: Farm
    WORKERS: tuple[str, ...] = ("anna", "ben")

    @classmethod
    def setUpClass(cls) -> None:
        cls.all = Path(tempfile.mkdtemp(prefix="tessera-addon-"))
        cls.addClassCleanup(shutil.rmtree, cls.all, ignore_errors=True)
        cls.farm = Farm(cls.all / "farm", cls.WORKERS)
        cls.addClassCleanup(lambda: cls.farm.end())
        cls.farm.user.install_addon()

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.all))

    def scene(self, kind: str, version: str = "3.4") -> Path:
        """A scene of this kind as that Blender makes it, in a folder of the test's own."""
        made = made_scenes(version)
        project = self.folder / kind
        if (made / "features" / f"{kind}.blend").exists():
            project.mkdir()
            shutil.copy(made / "features" / f"{kind}.blend", project)
        else:
            shutil.copytree(made / "small" / kind, project)
        return project / f"{kind}.blend"

    def script(self, name: str, blend: Path | None, *arguments: object, status: int | None = 0, **more: str) -> str:
        """Runs a script of `inside` in Blender with the add-on, in the background."""
        opened = [blend] if blend else []
        script = HERE / "inside" / f"{name}.py"
        return self.farm.user.blender("-b", *opened, "--python", script, "--", *arguments, status=status, **more)

    def assert_identical(self, one: Path, other: Path, files: int) -> None:
        """Both folders have the same files, with no pixel of any pass that differs."""
        command = [str(Tools.xtask), "compare", str(one), str(other)]
        compared = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(compared.returncode, 0, compared.stdout + compared.stderr)
        self.assertGreaterEqual(len(files_in(one)), files, compared.stdout)


def files_in(folder: Path) -> set[str]:
    """Names of all files in a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def render_locally(blend: Path, output: Path, first: int, last: int, version: str = "3.4") -> None:
    """What plain Blender of that version makes of a file."""
    home = Home(Path(tempfile.mkdtemp(prefix="tessera-plain-")))
    try:
        if version != "3.4":
            home.module(version, HERE / "inside/module.py", blend, output, first, last, "CYCLES")
        else:
            home.blender("-b", "--factory-startup", blend, "-o", output, "-s", first, "-e", last, "-a")
    finally:
        shutil.rmtree(home.folder, ignore_errors=True)


_made: dict[str, Path] = {}


def made_scenes(version: str) -> Path:
    """The scenes that the program's own tests use, as each Blender makes them. Made once."""
    if version not in _made:
        folder = Path(tempfile.mkdtemp(prefix="tessera-scenes-"))
        home = Home(folder / "home")
        for script in SCENES:
            out = folder / script.stem
            if version != "3.4":
                home.module(version, script, out)
            else:
                home.blender("-b", "--factory-startup", "--python", script, "--", out)
        _made[version] = folder
    return _made[version]


def remove_scenes() -> None:
    """Leaves nothing behind."""
    for folder in _made.values():
        shutil.rmtree(folder, ignore_errors=True)
    _made.clear()


def until(what: Callable[[], Any]) -> Any:
    """Waits until something is so, and gives it."""
    end = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.1)
    return found
