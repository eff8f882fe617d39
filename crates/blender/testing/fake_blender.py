#!/usr/bin/env python3
"""A Blender of a few kilobytes for fast tests: speaks the driver's protocol, renders small real PNG files, and parts
of frames as real EXR files.

Called like Blender (its arguments are ignored), it answers as version 3.4.1, or as FAKE_BLENDER_VERSION. What it opens
in place of a .blend is a JSON object, alone or after the 12 bytes of a .blend's header; every key may be absent:

    saved_by          "3.4"       series that saved the file; newer than this Blender's: refused
    scene             "Scene"     name of its one scene
    start, end, step  1, 3, 1     its frames
    name              "frame_####.png"
    views             []          names of views, each with a file of its own and the suffix _NAME
    nodes             0           number of file-output nodes, each writing one file a frame
    whole             false       frames cannot be rendered in parts
    files             []          external files as `scan` reports them; partial objects are completed
    order_dependent   []          texts; likewise scripts
    open_seconds      0           time that opening takes
    seconds           0           time that a frame takes, without CPU
    burn_seconds      0           time that a frame takes, with CPU and without output
    stdout, stderr    ""          printed in each frame; {frame} is replaced
    noise_bytes       0           so many bytes of noise on each stream in each frame
    refuse            {}          frame to text: its render ends in this error
    crash             {}          frame to number of the signal by which the process dies
    exit              {}          frame to exit status with which it ends
    notes             []          what the user should know of each frame
    spoil             []          files beside it that each frame overwrites, as scripts can
    hang              []          frames in which it stops for good, without CPU
    memory            {}          frame to bytes of memory that it takes before it hangs
    once              null        path of a file: faults (refuse, crash, exit, hang, memory) happen only if this file
                                  can be created, hence once, also across processes

A file that is no JSON object is refused as not a .blend. The colour of a frame's pixels is made of its number, so that
files of different frames differ and those of one frame are equal.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from typing import Any

SIDE = 8
SAMPLES = 4
VERSION = os.environ.get("FAKE_BLENDER_VERSION", "3.4.1")
CPU = {"kind": "cpu", "name": "Fake CPU", "id": "CPU"}
Message = dict[str, Any]


class Refusal(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.body = {"code": code, "text": text}


class Failure(Refusal):
    """Of a render that was begun."""


class FakeBlender:
    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.sending = threading.Lock()
        self.requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.running: tuple[Message, float] | None = None
        self.path = ""
        self.file: Message | None = None
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        try:
            while True:
                (length,) = struct.unpack(">I", self.receive(4))
                request = json.loads(self.receive(length))
                if request["op"] == "ping":
                    self.send(request, "pong", {"running": self.activity()})
                else:
                    self.requests.put(request)
        finally:
            os._exit(3)

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                os._exit(3)
            data += part
        return data

    def send(self, request: Message, event: str, body: Message) -> None:
        data = json.dumps({"id": request["id"], "event": event, **body}).encode()
        with self.sending:
            self.socket.sendall(struct.pack(">I", len(data)) + data)

    def activity(self) -> Message | None:
        if self.running is None:
            return None
        request, since = self.running
        return {"op": request["op"], "frame": request.get("frame"), "seconds": time.monotonic() - since}

    def serve(self) -> None:
        operations = {
            "hello": self.hello,
            "open": self.open,
            "scan": self.scan,
            "render": self.render,
            "slice": self.slice,
            "assemble": self.assemble,
        }
        while True:
            request = self.requests.get()
            self.running = (request, time.monotonic())
            self.send(request, "started", {})
            if request["op"] == "quit":
                self.send(request, "bye", {})
                return
            try:
                event, body = operations[request["op"]](request)
            except Refusal as refusal:
                event, body = "failed" if isinstance(refusal, Failure) else "refused", refusal.body
            sys.stdout.flush()
            sys.stderr.flush()
            self.running = None
            self.send(request, event, body)

    def hello(self, _request: Message) -> tuple[str, Message]:
        return "hello", {
            "version": VERSION,
            "hash": "fake",
            "date": "2000-01-01 00:00:00",
            "platform": "Linux",
            "kind": "executable",
            "engines": ["CYCLES"],
            "devices": [CPU],
        }

    def open(self, request: Message) -> tuple[str, Message]:
        begin = time.monotonic()
        self.path, self.file = request["path"], None
        try:
            with open(self.path, "rb") as file:
                data = file.read()
            content = json.loads(data[12:] if data.startswith(b"BLENDER-v") else data)
        except OSError as error:
            raise Refusal("unreadable", f"cannot read {self.path}: {error.strerror}") from error
        except ValueError as error:
            raise Refusal("not_blend", f"{self.path} is not a .blend file, or it is damaged: {error}") from error
        if not isinstance(content, dict):
            raise Refusal("not_blend", f"{self.path} is not a .blend file")
        saved_by = content.get("saved_by", "3.4")
        if series(saved_by) > series(VERSION)[:2]:
            raise Refusal("too_new", f"{self.path} was saved by Blender {saved_by}; this is {VERSION}")
        time.sleep(content.get("open_seconds", 0))
        self.file = content
        scene = content.get("scene", "Scene")
        return "opened", {
            "load_seconds": time.monotonic() - begin,
            "saved_by": saved_by,
            "scenes": [scene],
            "active_scene": scene,
            "repointed": 0,
            "missing_libraries": [],
        }

    def opened(self) -> Message:
        if self.file is None:
            raise Refusal("nothing_open", "no file is open")
        return self.file

    def scan(self, request: Message) -> tuple[str, Message]:
        file = self.opened()
        scene = file.get("scene", "Scene")
        frames = {"start": file.get("start", 1), "end": file.get("end", 3), "step": file.get("step", 1)}
        return "scanned", {
            "saved_by": file.get("saved_by", "3.4"),
            "files": [self.external(entry) for entry in file.get("files", [])],
            "scenes": [self.scene(scene, frames, request["output"])],
            "active_scene": scene,
            "scripts": [{"datablock": "object 'Cube'", "text": text} for text in file.get("scripts", [])],
            "addons": [],
            "file_outputs": [
                {
                    "index": index,
                    "scene": scene,
                    "node": f"File Output {index}",
                    "stored": f"//nodes{index}",
                    "directory": os.path.join(os.path.dirname(self.path), f"nodes{index}"),
                    "slots": ["Image"],
                    "format": "PNG",
                }
                for index in range(file.get("nodes", 0))
            ],
            "notes": [],
        }

    def external(self, entry: Message) -> Message:
        path = entry["path"]
        whole = {"stored": path, "kind": "image", "used_by": ["image 'Fake'"], "optional": False}
        return {**whole, "exists": os.path.isfile(path), **entry}

    def scene(self, name: str, frames: Message, output: str | None) -> Message:
        file = self.opened()
        views = file.get("views", [])
        path = output or os.path.join("//out", file.get("name", "frame_####.png"))
        folder = os.path.dirname(path)
        if folder.startswith("//"):
            folder = os.path.join(os.path.dirname(self.path), folder[2:])
        pattern = self.pattern(os.path.basename(path))
        names = [{"view": view, "name": with_view(pattern, view)} for view in views or [None]]
        return {
            "name": name,
            "frames": frames,
            "current_frame": frames["start"],
            "engine": "CYCLES",
            "resolution": [SIDE, SIDE],
            "full_resolution": [SIDE, SIDE],
            "written_resolution": [SIDE, SIDE],
            "resolution_percentage": 100,
            "camera": "Camera",
            "view_layers": ["ViewLayer"],
            "views": [{"name": view, "suffix": f"_{view}"} for view in views],
            "sampling": {"samples": SAMPLES, "adaptive": False, "adaptive_threshold": 0.0, "time_limit_seconds": 0.0},
            "split": {
                "tiles": not file.get("whole", False),
                "samples": not file.get("whole", False),
                "reasons": ["it is to be rendered whole"] if file.get("whole", False) else [],
                "overscan": 0,
                "averaged": [],
            },
            "denoise": False,
            "compositor": file.get("nodes", 0) > 0,
            "sequencer": False,
            "output": {
                "path": path,
                "directory": folder,
                "format": "PNG",
                "is_movie": False,
                "use_extension": True,
                "overwrite": file.get("overwrite", True),
                "placeholder": file.get("placeholder", False),
                "names": names,
                "exr_names": [
                    {"view": None, "name": {**pattern, "suffix": os.path.splitext(pattern["suffix"])[0] + ".exr"}}
                ],
            },
            "order_dependent": [
                {"datablock": "object 'Cube'", "text": text} for text in file.get("order_dependent", [])
            ],
            "no_persistent_data": [],
        }

    def pattern(self, name: str) -> Message:
        if "#" not in name:
            name += "####"
        end = name.rindex("#") + 1
        begin = end
        while begin and name[begin - 1] == "#":
            begin -= 1
        suffix = name[end:] or ".png"
        return {"prefix": name[:begin], "digits": end - begin, "suffix": suffix}

    def render(self, request: Message) -> tuple[str, Message]:
        begin = time.monotonic()
        self.work(request)
        return self.frame(request, begin)

    def slice(self, request: Message) -> tuple[str, Message]:
        begin = time.monotonic()
        if self.opened().get("whole", False):
            raise Refusal("request", "it is to be rendered whole")
        self.work(request)
        rendered = time.monotonic()
        with open(request["out"], "wb") as out:
            out.write(exr(request["frame"], request["window"]))
        return "sliced", {
            "path": request["out"],
            "kept": request["window"],
            "rendered": request["window"],
            "samples": request["samples"] or {"offset": 0, "length": SAMPLES},
            "samples_total": SAMPLES,
            "frame_size": [SIDE, SIDE],
            "display": None,
            **self.account(begin, rendered),
        }

    def assemble(self, request: Message) -> tuple[str, Message]:
        """The files of the frame, whatever the merged one holds, if it is whole."""
        begin = time.monotonic()
        with open(request["merged"], "rb") as merged:
            if not merged.read(4) == EXR_MAGIC:
                raise Failure("unreadable", f"{request['merged']} is no EXR file")
        return self.frame(request, begin)

    def work(self, request: Message) -> None:
        """All that a render does before it writes."""
        file = self.opened()
        frame, key = request["frame"], str(request["frame"])
        if request["scene"] != file.get("scene", "Scene"):
            raise Refusal("scene", f"the file has no scene {request['scene']!r}")
        print(file.get("stdout", "Fra:{frame}").replace("{frame}", key))
        print(file.get("stderr", "").replace("{frame}", key), end="", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            stream.write("x" * file.get("noise_bytes", 0))
            stream.flush()
        for name in file.get("spoil", []):
            with open(os.path.join(os.path.dirname(self.path), name), "w") as spoilt:
                spoilt.write("spoilt")
        self.misbehave(file, frame, key)
        time.sleep(file.get("seconds", 0))
        burn_until = time.thread_time() + file.get("burn_seconds", 0)
        while time.thread_time() < burn_until:
            pass

    def frame(self, request: Message, begin: float) -> tuple[str, Message]:
        """Writes the files of a frame."""
        file = self.opened()
        frame = request["frame"]
        rendered = time.monotonic()
        is_exr = request["overrides"]["exr"]
        pattern = self.pattern(request["name"] or os.path.basename(file.get("name", "frame_####.png")))
        if is_exr:
            pattern["suffix"] = os.path.splitext(pattern["suffix"])[0] + ".exr"
        files = []
        views = [] if is_exr else file.get("views", [])
        for view in views or [None]:
            name = at(with_view(pattern, view), frame)
            role = {"role": "main"} if view is None else {"role": "view", "view": view}
            files.append(self.write(request["out_dir"], "frame", name, frame, role))
        for index in range(file.get("nodes", 0)):
            role = {"role": "node", "index": index}
            files.append(self.write(request["out_dir"], f"node-{index}", f"Image{frame:04d}.png", frame, role))
        return "rendered", {"files": files, **self.account(begin, rendered)}

    def account(self, begin: float, rendered: float) -> Message:
        end = time.monotonic()
        return {
            "timings": {
                "begin_seconds": begin,
                "end_seconds": end,
                "prepare_seconds": 0.0,
                "render_seconds": rendered - begin,
                "write_seconds": end - rendered,
            },
            "persistent": {"on": True, "reasons": []},
            "device": {"kind": "cpu", "devices": [CPU]},
            "threads": 1,
            "peak_memory_bytes": 1 << 20,
            "notes": self.opened().get("notes", []),
        }

    def misbehave(self, file: Message, frame: int, key: str) -> None:
        faults = [file.get(fault, {}) for fault in ("refuse", "crash", "exit", "memory")]
        if not any(key in fault for fault in faults) and frame not in file.get("hang", []):
            return
        if file.get("once") and not created(file["once"]):
            return
        if key in file.get("refuse", {}):
            raise Failure("render", file["refuse"][key])
        if key in file.get("crash", {}):
            number = file["crash"][key]
            signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
            os.kill(os.getpid(), number)
        if key in file.get("exit", {}):
            os._exit(file["exit"][key])
        if key in file.get("memory", {}):
            # Written, so that it is resident.
            self.hoard = b"m" * file["memory"][key]
        threading.Event().wait()

    def write(self, out_dir: str, place: str, name: str, frame: int, role: Message) -> Message:
        folder = os.path.join(out_dir, place)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(png(frame))
        return {**role, "name": name, "path": path}


def created(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def series(text: str) -> list[int]:
    return [int(number) for number in text.split(".")]


def with_view(pattern: Message, view: str | None) -> Message:
    return pattern if view is None else {**pattern, "suffix": f"_{view}{pattern['suffix']}"}


def at(pattern: Message, frame: int) -> str:
    sign = "-" if frame < 0 else ""
    return f"{pattern['prefix']}{sign}{abs(frame):0{pattern['digits']}d}{pattern['suffix']}"


def png(frame: int) -> bytes:
    """An image of so many pixels each way, the same for the same frame."""
    rows = b"".join(
        b"\0" + b"".join(bytes(((frame * 37) % 256, (frame >> 8) % 256, 16 * x + y)) for x in range(SIDE))
        for y in range(SIDE)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


EXR_MAGIC = struct.pack("<I", 20000630)


def exr(frame: int, window: Message) -> bytes:
    """A window of an image whose pixels are made of their place in the frame and its number: 32-bit floats, plain."""
    width, height = window["width"], window["height"]
    letters = "ABGR"

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    channels = b"".join(
        f"ViewLayer.Combined.{letter}".encode() + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for letter in letters
    )
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = (
        EXR_MAGIC
        + struct.pack("<I", 2)
        + attribute("channels", "chlist", channels + b"\0")
        + attribute("compression", "compression", b"\0")
        + attribute("dataWindow", "box2i", box)
        + attribute("displayWindow", "box2i", box)
        + attribute("lineOrder", "lineOrder", b"\0")
        + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
        + attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0))
        + attribute("screenWindowWidth", "float", struct.pack("<f", 1))
        + b"\0"
    )
    size = 4 * len(letters) * width
    first = len(head) + 8 * height
    data = head + struct.pack(f"<{height}Q", *(first + y * (size + 8) for y in range(height)))
    for y in range(height):
        row = [
            frame + channel + 0.01 * (window["x"] + x) + 0.1 * (window["y"] + y)
            for channel in range(4)
            for x in range(width)
        ]
        data += struct.pack("<2i", y, size) + struct.pack(f"<{len(row)}f", *row)
    return data


if __name__ == "__main__":
    FakeBlender(int(os.environ["TESSERA_DRIVER_FD"])).serve()
