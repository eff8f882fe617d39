"""Started inside Blender: answers requests from the socket until it closes.

`blender --background --factory-startup --python main.py`, or `python main.py` where bpy can be imported. The main
thread executes, because Blender allows nothing else; a second one reads, so that a ping is answered while a render
blocks.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tessera_driver import threads  # noqa: E402

threads.load_blender()

from tessera_driver import copying, facts, link, opening, rendering, scan  # noqa: E402

RENDERS = ("render", "slice", "assemble")
"""Requests that leave a Blender unfit for more if they end in an error."""


def main() -> None:
    connection = link.Link(int(os.environ["TESSERA_DRIVER_FD"]))
    renderer = rendering.Renderer()
    operations = {
        "hello": lambda _request: ("hello", facts.hello()),
        "open": lambda request: ("opened", opening.open_file(request, renderer)),
        "scan": lambda request: ("scanned", scan.scan(request, renderer)),
        "render": lambda request: ("rendered", renderer.render(request)),
        "slice": lambda request: ("sliced", renderer.slice(request)),
        "assemble": lambda request: ("rendered", renderer.assemble(request)),
        "copy": lambda request: ("copied", copying.copy_file(request, renderer)),
    }
    for request in connection.requests():
        if request["op"] == "quit":
            connection.finish(request, "bye", {})
            return
        operation = operations.get(request["op"])
        try:
            if operation is None:
                raise link.Refusal("request", f"this driver does not know the request {request['op']!r}")
            event, body = operation(request)
        except link.Refusal as refusal:
            event = "failed" if isinstance(refusal, link.Failure) else "refused"
            body = {"code": refusal.code, "text": refusal.text}
        except Exception as error:
            # Whatever Blender's Python throws is an answer; only a dead process is none.
            link.log_traceback()
            event = "failed" if request["op"] in RENDERS else "refused"
            body = {"code": "other", "text": f"{type(error).__name__}: {error}"}
        connection.finish(request, event, body)


main()
# Blender's own way out frees a scene that may take seconds, and the wheel may crash in it.
os._exit(0)
