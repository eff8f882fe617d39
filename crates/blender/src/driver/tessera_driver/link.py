"""The socket: length-prefixed JSON in and out, and the thread that reads it."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]
"""A request or an event."""


class Refusal(Exception):
    """Blender cannot or will not do it, and lives on."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Failure(Refusal):
    """A render was begun and ended in an error. What is left of it must not be rendered with: with persistent data the
    next frame is said to be finished, and is empty."""


class Link:
    """Requests in, events out."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._sending = threading.Lock()
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._running: tuple[Message, float] | None = None
        self._libc = _libc()
        _line_buffer(self._libc)
        threading.Thread(target=self._read, name="tessera-reader", daemon=True).start()

    def requests(self) -> Iterator[Message]:
        while True:
            request = self._queue.get()
            self._running = (request, time.monotonic())
            self._send(request, "started", {})
            yield request

    def finish(self, request: Message, event: str, body: Message) -> None:
        """Sends the event that ends a request, after everything that was printed during it."""
        self._flush()
        self._running = None
        self._send(request, event, body)

    def _read(self) -> None:
        """Runs on its own thread. The other side's end is this process's end, even in the middle of a render."""
        try:
            while True:
                (length,) = struct.unpack(">I", self._receive(4))
                request = json.loads(self._receive(length))
                if request["op"] == "ping":
                    self._send(request, "pong", {"running": self._activity()})
                else:
                    self._queue.put(request)
        except BaseException as error:
            if not isinstance(error, (EOFError, OSError)):
                log_traceback()
        finally:
            os._exit(3)

    def _receive(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._socket.recv(min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _send(self, request: Message, event: str, body: Message) -> None:
        data = json.dumps({"id": request["id"], "event": event, **body}).encode()
        with self._sending:
            self._socket.sendall(struct.pack(">I", len(data)) + data)

    def _activity(self) -> Message | None:
        running = self._running
        if running is None:
            return None
        request, since = running
        return {"op": request["op"], "frame": request.get("frame"), "seconds": time.monotonic() - since}

    def _flush(self) -> None:
        """Python's streams, then C's: Blender prints through both."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass  # A script of the file closed or replaced it.
        if self._libc is not None:
            self._libc.fflush(None)


def log_traceback() -> None:
    traceback.print_exc(file=sys.__stderr__)


def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    except OSError:
        return None


def _line_buffer(libc: ctypes.CDLL | None) -> None:
    """Lets a log be read while the frame renders: to a pipe, C and Python would write blocks of kilobytes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Paths of any bytes can be printed.
            stream.reconfigure(line_buffering=True, errors="surrogateescape")
    if libc is not None and sys.platform.startswith("linux"):
        line_buffered = 1  # _IOLBF of glibc and musl
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, line_buffered, ctypes.c_size_t(0))
