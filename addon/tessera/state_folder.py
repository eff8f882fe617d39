# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on remembers on this computer: jobs it waits for, programs it started, what the farm is called.

It lies outside of Blender's own folders: all Blenders of this user see the same farm, and none takes it into a .blend.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

# More than a user waits for; the oldest are forgotten, not lost: the farm has them.
JOBS_MAX = 100


def folder() -> Path:
    """The folder, made if need be."""
    home = os.environ.get("TESSERA_HOME", "")
    if home:
        # As for the program: one folder for all that is kept.
        base = Path(home)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = base / "tessera-blender"
    path.mkdir(parents=True, exist_ok=True)
    return path


def read(name: str) -> dict[str, Any]:
    """A record; empty if there is none, or none that can be read."""
    try:
        record = json.loads((folder() / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write(name: str, record: dict[str, Any]) -> None:
    """Keeps a record. It appears whole or not at all; a disk that is full costs the memory, not the work."""
    try:
        path = folder() / f"{name}.json"
        unfinished = path.with_suffix(f".{os.getpid()}.new")
        unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        print(f"Tessera: {error}")


def remember_job(job: int, name: str, folder: str) -> None:
    """A job whose frames are wanted."""
    jobs = read("jobs")
    jobs[str(job)] = {"name": name, "folder": folder}
    newest = sorted(jobs, key=int)[-JOBS_MAX:]
    write("jobs", {key: jobs[key] for key in newest})


def forget_job(job: int) -> None:
    """A job that nobody waits for any more."""
    jobs = read("jobs")
    if jobs.pop(str(job), None) is not None:
        write("jobs", jobs)


def remembered_jobs() -> dict[int, dict[str, str]]:
    """Jobs whose frames are wanted."""
    return {int(key): value for key, value in read("jobs").items() if key.isdigit() and isinstance(value, dict)}
