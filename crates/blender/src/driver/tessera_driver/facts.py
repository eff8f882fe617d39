"""What this Blender is."""

from __future__ import annotations

import platform
from typing import Any

import bpy

DEVICE_KINDS = {"CPU": "cpu", "CUDA": "cuda", "OPTIX": "optix", "HIP": "hip", "ONEAPI": "oneapi", "METAL": "metal"}
"""Cycles' names of device kinds, and ours."""

GPU_KINDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")
"""Kinds of GPU, the fastest first where one device answers to two."""


def hello() -> dict[str, Any]:
    return {
        "version": ".".join(map(str, bpy.app.version)),
        "hash": _text(bpy.app.build_hash),
        "date": f"{_text(bpy.app.build_date)} {_text(bpy.app.build_time)}",
        "platform": platform.system(),
        "kind": "module" if getattr(bpy.app, "module", False) or not bpy.app.binary_path else "executable",
        "engines": engines(),
        "devices": devices(),
    }


def engines() -> list[str]:
    """Identifiers of the render engines that can be used now."""
    # Nothing lists Blender's own. From 4.2 to 4.5 there was a new EEVEE beside the old name.
    next_eevee = (4, 2, 0) <= bpy.app.version < (5, 0, 0)
    found = {"BLENDER_EEVEE_NEXT" if next_eevee else "BLENDER_EEVEE", "BLENDER_WORKBENCH"}
    pending = list(bpy.types.RenderEngine.__subclasses__())
    while pending:
        engine = pending.pop()
        pending.extend(engine.__subclasses__())
        # A base of engines has no identifier.
        if getattr(engine, "is_registered", False) and getattr(engine, "bl_idname", None):
            found.add(engine.bl_idname)
    return sorted(found)


def is_known_engine(name: str) -> bool:
    """Whether scenes made for it render as they should. Blender translates the names of its own older engines."""
    return name.startswith("BLENDER_") or name in engines()


def devices() -> list[dict[str, str]]:
    """Devices Cycles can use, the CPU included."""
    preferences = cycles_preferences()
    if preferences is None:
        return []
    found = {}
    for kind in DEVICE_KINDS:
        try:
            for device in preferences.get_devices_for_type(kind):
                found[(kind, device.id)] = {"kind": DEVICE_KINDS[device.type], "name": device.name, "id": device.id}
        except (ValueError, TypeError, KeyError):
            continue  # A kind that this build was made without.
    return [device for (kind, _), device in found.items() if DEVICE_KINDS[kind] == device["kind"]]


def cycles_preferences() -> Any | None:
    addon = bpy.context.preferences.addons.get("cycles")
    return addon.preferences if addon else None


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
