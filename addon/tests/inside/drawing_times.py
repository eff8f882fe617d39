"""Plays the ticks of a window in which drawing takes a given time, and counts how often the panels are drawn."""

import json
import types

from tessera import drawing, main_thread

now = [0.0]
drawing.time = types.SimpleNamespace(monotonic=lambda: now[0])


def drawn(seconds: float, cost: float, ask: bool) -> int:
    """How often in this time, if everything is drawn in `cost`."""
    count = 0
    end = now[0] + seconds

    def draw() -> None:
        nonlocal count
        count += 1
        drawing._panels.prepare()

    drawing.draw = draw
    while now[0] < end:
        if ask:
            drawing.ask()
        before = count
        drawing._panels.tick(now[0])
        now[0] += main_thread.TICK_S + (cost if count > before else 0)
    return count


found: dict[str, object] = {}
for name, cost in (("cheap", 0.001), ("middling", 0.01), ("dear", 0.15)):
    drawing._panels = drawing._Panels()
    drawing.ask = drawing._panels.ask
    found[name] = drawn(10, cost, ask=True)
drawn(3, 0, ask=False)
prepared: list[int] = []


def before() -> None:
    prepared.append(1)


drawing.ask(before)
drawing.ask(before)
found["asked"] = [drawn(3, 0.001, ask=False), len(prepared)]
found["quiet"] = drawn(10, 0.001, ask=False)
print("DRAWN", json.dumps(found))
