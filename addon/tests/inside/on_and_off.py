"""Enables and disables the add-on again and again, and looks at what is left."""

import threading

import addon_utils
import bpy


def left() -> set[str]:
    """All that an add-on can leave behind."""
    handlers = [
        f"{name} {each}" for name in dir(bpy.app.handlers) for each in _list(name) if "tessera" in each.__module__
    ]
    classes = [name for name in dir(bpy.types) if "tessera" in name.lower()]
    types = [f"{kind}.tessera" for kind in ("Scene", "WindowManager") if hasattr(getattr(bpy.types, kind), "tessera")]
    panels = [
        panel.__name__
        for panel in bpy.types.Panel.__subclasses__()
        if "TESSERA" in getattr(panel, "COMPAT_ENGINES", ())
    ]
    engines = [
        each.__name__
        for each in bpy.types.RenderEngine.__subclasses__()
        if each.is_registered and "essera" in each.__name__
    ]
    return {*handlers, *classes, *types, *panels, *engines}


def _list(name: str) -> list:
    found = getattr(bpy.app.handlers, name)
    return found if isinstance(found, list) else []


threads = threading.active_count()
for _ in range(50):
    addon_utils.disable("tessera")
    assert not left(), left()
    addon_utils.enable("tessera")
    assert left()
addon_utils.disable("tessera")
assert not left(), left()
assert threading.active_count() <= threads
assert not hasattr(bpy.ops.tessera, "render_still") or "render_still" not in dir(bpy.ops.tessera)
print("NOTHING LEFT")
