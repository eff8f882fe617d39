"""A client of a Tessera farm that knows nothing but its OpenAPI document: Python, standard library only.

    export TESSERA_TOKEN=…            # tessera token create --user anna
    second_client.py --manager 10.0.0.5:7373 --ca ca.pem render shot.blend --frames 1..24 --out frames
    second_client.py --manager 10.0.0.5:7373 --ca ca.pem submit shot.blend --frames 1..24
    … watch 7 | fetch 7 --out frames | edit 7 --priority 200 | cancel 7

`ca.pem` lies in the folder of the manager's data. Files that a .blend needs are named behind it: on the farm they lie
to each other as they do here. See docs/api.md for the same with curl.
"""

import argparse
import gzip
import http.client
import json
import os
import pathlib
import re
import ssl
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

# How the manager's certificate calls it, whatever its address.
NAME = "manager.tessera.internal"

# Longer than the manager is ever silent: it sends a sign of life every ten seconds.
SILENCE_S = 60

OVER = ("done", "failed", "cancelled")


class Refused(Exception):
    """The manager said no: a problem document."""


class Farm:
    """The manager's API."""

    def __init__(self, manager: str, ca: str, token: str) -> None:
        host, _, port = manager.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.token = token
        self.context = ssl.create_default_context(cafile=ca)

    def ask(
        self, method: str, path: str, body: bytes | BinaryIO | None = None, media_type: str = "application/json"
    ) -> http.client.HTTPResponse:
        """One request. Raises what the manager says if it is a refusal."""
        connection = Connection(self.address, self.context)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": media_type}
        connection.request(method, "/api/v1" + path, body, headers)
        answer = connection.getresponse()
        if answer.status >= 400:
            problem = json.load(answer)
            raise Refused(f"{problem['title']} ({problem.get('detail') or problem['type']})")
        return answer

    def json(self, method: str, path: str, body: object = None) -> Any:
        """A JSON document in and out."""
        text = None if body is None else json.dumps(body).encode()
        return json.load(self.ask(method, path, text))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Every entry of a list."""
        start = ""
        while True:
            page = self.json("GET", path + start)
            yield from page["items"]
            if page.get("next") is None:
                return
            start = f"?from={page['next']}"

    def events(self, job: int) -> Iterator[dict[str, Any]]:
        """What happens to a job, from this call on. Ends where the connection does."""
        lines = self.ask("GET", f"/events?job={job}")
        return (json.loads(line[len(b"data:") :]) for line in lines if line.startswith(b"data:"))


class Connection(http.client.HTTPSConnection):
    """To an address, of which the certificate of the farm's manager is asked."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(*address, timeout=SILENCE_S, context=context)
        self.tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self.tls.wrap_socket(self.sock, server_hostname=NAME)


def series_of(blend: pathlib.Path) -> str:
    """The series of the Blender that saved a file, as its first bytes say: `BLENDER-v405…` or `BLENDER17-01v0500…`."""
    with open(blend, "rb") as file:
        head = file.read(20)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(blend) as file:
            head = file.read(20)
    found = re.match(rb"BLENDER(?:[-_][vV](\d{3})|\d\d-\d\dv(\d{4}))", head)
    if not found:
        sys.exit(f"{blend}: its compression hides which Blender saved it: say it with --series 5.0")
    number = int(found[1] or found[2])
    return f"{number // 100}.{number % 100}"


def submit(farm: Farm, blend: pathlib.Path, more: list[pathlib.Path], frames: str, series: str | None) -> int:
    """Sends a .blend with what it needs, and makes a job of it."""
    files = [path.resolve() for path in [blend, *more]]
    root = pathlib.Path(os.path.commonpath([path.parent for path in files]))
    tree = []
    for path in files:
        with open(path, "rb") as file:
            stored = json.load(farm.ask("PUT", "/files", file, "application/octet-stream"))
        tree.append({"path": path.relative_to(root).as_posix(), "blob": stored["blob"]})
    manifest = farm.json("POST", "/trees", {"files": tree})["blob"]
    job = {
        "settings": {"name": blend.stem},
        "manifest": manifest,
        "main_file": tree[0]["path"],
        "file_version": series or series_of(blend),
        "steps": [{"kind": {"render": {}}, "frames": frames}],
    }
    return farm.json("POST", "/jobs", job)["job"]


def watch(farm: Farm, number: int) -> str:
    """Tells what happens to a job until it is over, and how it ended."""
    while True:
        events = farm.events(number)
        # What happened before the first event is in the job itself.
        job = farm.json("GET", f"/jobs/{number}")
        while True:
            print(f"{job['done']} of {job['frames']} frames, {job['phase']}", flush=True)
            if job["phase"] in OVER:
                return job["phase"]
            job = next((change for event in events if (change := changed(event))), None)
            if job is None or job == "resync":
                break


def changed(event: dict[str, Any]) -> Any:
    """How the job stands now, if the event says it; or that events were missed."""
    match event["type"]:
        case "job":
            return event["job"]
        case "resync":
            return "resync"
        case "frame_failed":
            print(f"frame {event['error']['frame']}: {event['error']['message']}", file=sys.stderr)
    return None


def fetch(farm: Farm, number: int, out: pathlib.Path) -> None:
    """Brings the files of all finished frames, and says so once the job is over."""
    frames = 0
    for result in farm.pages(f"/jobs/{number}/results"):
        for file in result["files"]:
            place = out / file["name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(f".{place.name}.part")
            with farm.ask("GET", f"/files/{file['blob']}") as answer, open(part, "wb") as target:
                while piece := answer.read(1 << 20):
                    target.write(piece)
            size = int(file["blob"].split(":")[1])
            if part.stat().st_size != size:
                sys.exit(f"{file['name']} did not arrive whole: run it again")
            part.replace(place)
        frames += 1
    job = farm.json("GET", f"/jobs/{number}")
    if job["phase"] in OVER and frames:
        farm.json("POST", f"/jobs/{number}/fetched", {"frames": frames})


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A second client of a Tessera farm.")
    parser.add_argument("--manager", required=True, help="its address, HOST:PORT")
    parser.add_argument("--ca", required=True, help="the farm's authority: ca.pem of the manager's data folder")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("render", "submit"):
        command = commands.add_parser(name)
        command.add_argument("blend", type=pathlib.Path)
        command.add_argument("more", type=pathlib.Path, nargs="*", help="files that it needs")
        command.add_argument("--frames", required=True, help="1..24, 1,5,9 or 1..100x5")
        command.add_argument("--series", help="the Blender that saved the file, if its compression hides it: 5.0")
        if name == "render":
            command.add_argument("--out", type=pathlib.Path, required=True)
    for name in ("watch", "cancel", "fetch", "edit"):
        command = commands.add_parser(name)
        command.add_argument("job", type=int)
        if name == "fetch":
            command.add_argument("--out", type=pathlib.Path, required=True)
        if name == "edit":
            command.add_argument("--priority", type=int)
            command.add_argument("--name")
    return parser.parse_args()


def main() -> int:
    """Runs a command; 1 if the job did not end well."""
    args = arguments()
    farm = Farm(args.manager, args.ca, os.environ["TESSERA_TOKEN"])
    phase = "done"
    match args.command:
        case "submit" | "render":
            number = submit(farm, args.blend, args.more, args.frames, args.series)
            print(f"job {number}", flush=True)
            if args.command == "render":
                phase = watch(farm, number)
                fetch(farm, number, args.out)
        case "watch":
            phase = watch(farm, args.job)
        case "fetch":
            fetch(farm, args.job, args.out)
        case "edit":
            edit = {"priority": args.priority, "name": args.name}
            job = farm.json("PATCH", f"/jobs/{args.job}", edit)
            print(f"job {args.job}: {job['settings']['name']}, priority {job['settings']['priority']}")
        case "cancel":
            job = farm.json("POST", f"/jobs/{args.job}/actions", {"action": "cancel"})
            print(f"job {args.job}: {job['phase']}")
    return 0 if phase == "done" else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, OSError, http.client.HTTPException) as error:
        sys.exit(str(error))
