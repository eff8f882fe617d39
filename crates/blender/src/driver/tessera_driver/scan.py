"""What the open file needs and what it will make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Protocol

import bpy

from . import facts, files, frames, opening, output, paths, physics, splitting
from .link import Refusal


class State(Protocol):
    """What the scan needs of the renderer: that the file's settings are as it stores them, its engines, and whether its
    scripts may run."""

    stored_engines: dict[str, str]
    scripts_allowed: bool

    def reset(self) -> None: ...


def scan(request: dict[str, Any], renderer: State) -> dict[str, Any]:
    if not bpy.data.filepath:
        raise Refusal("nothing_open", "no file is open")
    renderer.reset()
    opening.check_libraries()
    scenes = list(bpy.data.scenes)
    notes = []
    if os.environ.get("OCIO"):
        notes.append(f"colours follow the OpenColorIO configuration of this machine, OCIO={os.environ['OCIO']}")
    notes += _missing()
    wanted = frames.wanted(request["frames"], scenes, renderer.scripts_allowed)
    external, more = files.external_files(wanted)
    notes += more
    return {
        "saved_by": "{}.{}".format(*bpy.data.version[:2]),
        "files": external,
        "scenes": [_scene(scene, request["output"], renderer) for scene in scenes if scene.library is None],
        "active_scene": bpy.context.scene.name,
        "scripts": list(_scripts()),
        "addons": list(_addons(scenes, renderer)),
        "file_outputs": [node.describe(index) for index, node in enumerate(output.file_outputs())],
        "notes": notes,
    }


def _missing() -> list[str]:
    """Datablocks that a library was to bring and does not have. Before 5.0 Blender does not tell."""
    missing = []
    for library in bpy.data.libraries:
        if os.path.isfile(paths.library_file(library)):
            users = [owner for owner in library.users_id if getattr(owner, "is_missing", False)]
            missing += [f"{paths.describe(owner)} is missing from the library" for owner in users]
    return missing


def _scene(scene: Any, path: str | None, renderer: State) -> dict[str, Any]:
    render = scene.render
    objects = physics.objects_of(scene)
    engine = _engine(scene, renderer)
    return {
        "name": scene.name,
        "frames": {"start": scene.frame_start, "end": scene.frame_end, "step": scene.frame_step},
        "current_frame": scene.frame_current,
        "engine": engine,
        "resolution": splitting.frame_size(scene),
        "full_resolution": [render.resolution_x, render.resolution_y],
        "written_resolution": splitting.written_size(scene),
        "resolution_percentage": render.resolution_percentage,
        "camera": scene.camera.name if scene.camera else None,
        "view_layers": [layer.name for layer in scene.view_layers if layer.use],
        "views": [{"name": view.name, "suffix": view.file_suffix} for view in output.views(scene)],
        "sampling": _sampling(scene),
        "split": splitting.describe(scene, engine),
        "denoise": render.engine == "CYCLES" and scene.cycles.use_denoising,
        "compositor": render.use_compositing and physics.compositor_tree(scene) is not None,
        "sequencer": render.use_sequencer and any(not strip.mute for strip in paths.all_strips(scene)),
        "output": output.describe(scene, path),
        "order_dependent": physics.order_dependent(scene, objects),
        "no_persistent_data": physics.no_persistent_data(scene, objects),
    }


def _engine(scene: Any, renderer: State) -> str:
    """The engine that the file asks for, present or not."""
    stored = renderer.stored_engines.get(scene.name)
    return scene.render.engine if stored is None or facts.is_known_engine(stored) else stored


def _sampling(scene: Any) -> dict[str, Any]:
    sampling = {
        "samples": 1,
        "adaptive": False,
        "adaptive_threshold": 0.0,
        "adaptive_min_samples": 0,
        "time_limit_seconds": 0.0,
    }
    engine = scene.render.engine
    if engine == "CYCLES":
        cycles = scene.cycles
        sampling["samples"] = cycles.samples
        sampling["adaptive"] = cycles.use_adaptive_sampling
        sampling["adaptive_threshold"] = cycles.adaptive_threshold
        sampling["adaptive_min_samples"] = cycles.adaptive_min_samples
        sampling["time_limit_seconds"] = cycles.time_limit
    elif engine.startswith("BLENDER_EEVEE"):
        sampling["samples"] = scene.eevee.taa_render_samples
    return sampling


def _scripts() -> Iterator[dict[str, str]]:
    """Drivers that need Python, and text blocks that run when the file is opened."""
    for owner, holder, inner in paths.animated():
        for curve in owner.animation_data.drivers if owner.animation_data else ():
            driver = curve.driver
            # Blender evaluates simple expressions itself, whether scripts are allowed or not.
            if driver.type == "SCRIPTED" and driver.expression and not driver.is_simple_expression and not curve.mute:
                label = paths.describe(holder, inner)
                yield {"datablock": label, "text": f"driver of {curve.data_path}: {driver.expression}"}
    for text in bpy.data.texts:
        if text.use_module:
            yield {"datablock": paths.describe(text), "text": "registers itself when the file is opened"}


def _addons(scenes: list[Any], renderer: State) -> Iterator[dict[str, Any]]:
    """Engines and nodes that do not come with Blender."""
    for scene in scenes:
        engine = _engine(scene, renderer)
        if engine != "CYCLES" and not engine.startswith("BLENDER_"):
            present = facts.is_known_engine(engine)
            yield {"name": engine, "used_by": paths.describe(scene), "present": present}
    for tree, label in paths.node_trees():
        for node in tree.nodes:
            if node.bl_idname == "NodeUndefined":
                yield {"name": node.name, "used_by": label, "present": False}
