"""Renders one frame exactly as `blender -b FILE -f FRAME` does, with its files in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import bpy

from . import assembling, display, facts, output, physics, slicing, splitting
from .link import Failure, Refusal

Undo = output.Undo

MAIN = "frame"
"""Folder of the frame's own files."""

NODE = "node-"
"""Folders of the file-output nodes, by index."""


class Renderer:
    """Keeps a job's settings applied from frame to frame: setting and unsetting them each time would make Blender
    look at the whole scene again."""

    def __init__(self) -> None:
        self._applied: tuple[Any, ...] | None = None
        """Scene and overrides that are in force."""
        self._purpose: tuple[Any, ...] | None = None
        """What is rendered of the scene, with the settings that are so only for that."""
        self.stored_engines: dict[str, str] = {}
        self.scripts_allowed = False
        self._undo: Undo = []
        self._purpose_undo: Undo = []
        self._notes: list[str] = []
        self._format_notes: list[str] = []
        self._slices: slicing.Slices | None = None
        self._displays = display.Displays()
        self._persistent: dict[str, Any] = {}
        self._device: dict[str, Any] = {}
        self._outputs: list[output.FileOutput] = []
        self._names: list[dict[str, Any]] = []
        self._stamps: dict[str, float] = {}
        self._frame_range: tuple[Any, int, int] | None = None
        handlers = bpy.app.handlers
        handlers.render_init.append(self._on_init)
        handlers.render_pre.append(self._stamp("pre"))
        # `render_post` comes after the file is written; the last word of engine or compositor comes before.
        handlers.render_stats.append(self._stamp("stats"))
        handlers.render_write.append(self._stamp("write"))

    def forget(self) -> None:
        """The file is about to be replaced."""
        self._applied = self._purpose = self._slices = None
        self.stored_engines = {}
        self._undo.clear()
        self._purpose_undo.clear()
        self._outputs.clear()

    def reset(self) -> None:
        """The file's own settings again."""
        self._set_aside()
        self._applied = None
        output.revert(self._undo)

    def _set_aside(self) -> None:
        """What was set for one purpose."""
        self._purpose = self._slices = None
        output.revert(self._purpose_undo)

    def render(self, request: dict[str, Any]) -> dict[str, Any]:
        """A whole frame."""
        begin = time.monotonic()
        scene = self._scene_of(request)
        self._settle_frames(scene, request)
        return self._frame(scene, request, begin)

    def slice(self, request: dict[str, Any]) -> dict[str, Any]:
        """A part of a frame, as one file with everything that the engine made."""
        begin = time.monotonic()
        scene = self._scene_of(request)
        slices = self._settle_slices(scene)
        samples = slices.choose(request["samples"])
        rendered = slices.place(request["window"])
        undo: Undo = []
        with self._failing(undo):
            written = _redirect_slice(scene, request["out"], request["frame"], undo)
            self._run(scene, request["frame"], undo)
            end = time.monotonic()
            if not os.path.isfile(written) or os.path.getsize(written) == 0:
                raise Refusal("write", f"Blender rendered the slice and did not write {written}; is the disk full?")
            os.replace(written, request["out"])
        return {
            "path": request["out"],
            "kept": request["window"],
            "rendered": rendered,
            "samples": samples,
            "samples_total": slices.samples,
            "frame_size": splitting.frame_size(scene),
            "display": self._displays.of(scene),
            **self._account(scene, begin, end),
        }

    def assemble(self, request: dict[str, Any]) -> dict[str, Any]:
        """A whole frame, of which everything that the engine makes is there already."""
        begin = time.monotonic()
        scene = self._scene_of(request)
        self._settle_frames(scene, request)
        slicing.refuse_whole(scene)
        return self._frame(scene, request, begin, assembling.Assembly(scene, request))

    def _frame(
        self, scene: Any, request: dict[str, Any], begin: float, assembly: assembling.Assembly | None = None
    ) -> dict[str, Any]:
        undo: Undo = []
        with self._failing(undo):
            self._redirect(scene, request, undo)
            with assembly or contextlib.nullcontext():
                self._run(scene, request["frame"], undo)
            end = time.monotonic()
            files = _collect(request["frame"], request["out_dir"], self._names)
        return {"files": files, "display": self._displays.of_frames(scene), **self._account(scene, begin, end)}

    @contextlib.contextmanager
    def _failing(self, undo: Undo) -> Iterator[None]:
        """A render: what goes wrong in it is no mere refusal, and its own settings end with it."""
        self._stamps = {}
        try:
            yield
        except Refusal as refusal:
            raise Failure(refusal.code, refusal.text) from refusal
        finally:
            output.revert(undo)

    def _account(self, scene: Any, begin: float, end: float) -> dict[str, Any]:
        """Where the time of a render went, and with what it was rendered."""
        pre = self._stamps.get("pre", begin)
        write = self._stamps.get("write", end)
        # Nothing is said where nothing but strips is rendered.
        rendered = self._stamps.get("rendered", write)
        return {
            "timings": {
                "begin_seconds": begin,
                "end_seconds": end,
                "prepare_seconds": pre - begin,
                "render_seconds": rendered - pre,
                "write_seconds": write - rendered,
            },
            "persistent": self._persistent,
            "device": self._device,
            "threads": scene.render.threads,
            "peak_memory_bytes": _peak_memory_bytes(),
            "notes": self._notes + self._format_notes,
        }

    def _scene_of(self, request: dict[str, Any]) -> Any:
        """The request's scene, with its overrides in force."""
        if not bpy.data.filepath:
            raise Refusal("nothing_open", "no file is open")
        scene = _scene(request["scene"])
        self._apply(scene, {**request["overrides"], "exr": None})
        return scene

    def _apply(self, scene: Any, overrides: dict[str, Any]) -> None:
        """Puts settings in force, unless they are."""
        wanted = (scene, overrides)
        if self._applied == wanted:
            return
        self.reset()
        try:
            self._notes = []
            undo = self._undo
            _set_engine(scene, overrides, self.stored_engines.get(scene.name), undo)
            if overrides["samples"] is not None:
                _set_samples(scene, overrides["samples"], undo)
            if overrides["resolution_percentage"] is not None:
                output.set_property(scene.render, "resolution_percentage", overrides["resolution_percentage"], undo)
            _set_camera(scene, overrides["camera"], undo)
            self._set_device(scene, overrides["device"], undo)
            self._set_persistent(scene, overrides["no_persistent_data"], undo)
            # The caller decides which frames are rendered; here every one that is asked for is.
            output.set_property(scene.render, "use_overwrite", True, undo)
            output.set_property(scene.render, "use_placeholder", False, undo)
        except BaseException:
            self.reset()
            raise
        self._applied = wanted

    def _settle_frames(self, scene: Any, request: dict[str, Any]) -> None:
        """Settings of whole frames, unless they are in force."""
        wanted = ("frame", request["name"], request["overrides"]["exr"])
        if self._purpose == wanted:
            return
        self._set_aside()
        try:
            _set_name(scene, request["name"], self._purpose_undo)
            self._set_format(scene, request["overrides"]["exr"], self._purpose_undo)
            self._outputs = output.file_outputs()
            self._names = output.names(scene)
        except BaseException:
            self._set_aside()
            raise
        self._purpose = wanted

    def _settle_slices(self, scene: Any) -> slicing.Slices:
        """Settings of slices, unless they are in force."""
        if self._slices is None:
            self._set_aside()
            try:
                self._format_notes = []
                self._slices = slicing.Slices(scene, self._purpose_undo)
            except BaseException:
                self._set_aside()
                raise
            self._purpose = ("slice",)
        return self._slices

    def _set_format(self, scene: Any, exr: bool, undo: Undo) -> None:
        self._format_notes = []
        if exr:
            output.use_exr(scene, undo)
        elif scene.render.is_movie_format:
            was = scene.render.image_settings.file_format
            output.use_png(scene, undo)
            self._format_notes.append(f"the file asks for a movie ({was}); frames are rendered as PNG")

    def _set_device(self, scene: Any, wanted: str | None, undo: Undo) -> None:
        cpu = [device for device in facts.devices() if device["kind"] == "cpu"]
        self._device = {"kind": "cpu", "devices": cpu}
        if scene.render.engine != "CYCLES":
            return
        wants_gpu = scene.cycles.device == "GPU" if wanted is None else wanted != "cpu"
        if not wants_gpu:
            output.set_property(scene.cycles, "device", "CPU", undo)
            return
        kinds = [wanted.upper()] if wanted not in (None, "gpu") else list(facts.GPU_KINDS)
        devices = _use_gpu(kinds)
        if devices:
            output.set_property(scene.cycles, "device", "GPU", undo)
            self._device = {"kind": devices[0]["kind"], "devices": devices}
        elif wanted is None:
            output.set_property(scene.cycles, "device", "CPU", undo)
            self._notes.append("the file asks for a GPU and none is here; rendered on the CPU")
        else:
            raise Refusal("device", f"no device of the kind {wanted!r} is here that this Blender can render on")

    def _set_persistent(self, scene: Any, never: bool, undo: Undo) -> None:
        reasons = ["the job asks for it"] if never else []
        notes = physics.no_persistent_data(scene, physics.objects_of(scene))
        reasons += [f"{note['datablock']}: {note['text']}" for note in notes]
        output.set_property(scene.render, "use_persistent_data", not reasons, undo)
        for other in bpy.data.scenes:
            # What a scene within this one keeps was never proven exact, and outlives its file: 3.4.1 crashes on it.
            if other != scene and other.library is None and other.render.use_persistent_data:
                output.set_property(other.render, "use_persistent_data", False, undo)
        self._persistent = {"on": not reasons, "reasons": reasons}

    def _redirect(self, scene: Any, request: dict[str, Any], undo: Undo) -> None:
        """Everything that the frame writes goes below the folder of the request."""
        out_dir = request["out_dir"]
        os.makedirs(os.path.join(out_dir, MAIN), exist_ok=True)
        # The last component stays: Blender makes the name of it.
        name = os.path.basename(_slashes(scene.render.filepath))
        path = os.path.join(output.escape(os.path.join(out_dir, MAIN)), name)
        output.set_property(scene.render, "filepath", path, undo)
        for index, node in enumerate(self._outputs):
            node.redirect(os.path.join(out_dir, f"{NODE}{index}"), undo)

    def _run(self, scene: Any, frame: int, undo: Undo) -> None:
        """The operator that `-f` and `-a` stand for, over one frame."""
        arguments = _frame_arguments(scene, frame, undo)
        if arguments is None:
            # The operator reads the scene's range once, before `render_init`; there it is put back, because drivers and
            # stamps may show it.
            self._frame_range = (scene, scene.frame_start, scene.frame_end)
            undo.append(self._restore_frame_range)
            # Each is kept from passing the other.
            scene.frame_start = frame
            scene.frame_end = frame
            scene.frame_start = frame
            arguments = {"animation": True}
        try:
            result = bpy.ops.render.render(scene=scene.name, **arguments)
        except RuntimeError as error:
            raise _failure(scene, str(error).strip().removeprefix("Error:").strip()) from error
        if "FINISHED" not in result:
            raise Refusal("render", f"Blender ended the render of frame {frame} early; its log says why")

    @bpy.app.handlers.persistent
    def _on_init(self, *_arguments: Any) -> None:
        self._restore_frame_range()

    def _restore_frame_range(self) -> None:
        if self._frame_range is not None:
            scene, start, end = self._frame_range
            self._frame_range = None
            scene.frame_start, scene.frame_end = start, end
            scene.frame_start = start

    def _stamp(self, name: str) -> Callable[..., None]:
        @bpy.app.handlers.persistent
        def stamp(*_arguments: Any) -> None:
            if name == "stats" and name in self._stamps:
                # The very last word is said of the finished file.
                self._stamps["rendered"] = self._stamps[name]
            # Of a scene within the scene there may be several: the outermost begins first and ends last.
            if name != "pre" or name not in self._stamps:
                self._stamps[name] = time.monotonic()

        return stamp


def _frame_arguments(scene: Any, frame: int, undo: Undo) -> dict[str, Any] | None:
    """Tells the operator which frame to render; None where only the scene's range can."""
    if "frame_start" in bpy.ops.render.render.get_rna_type().properties:
        return {"animation": True, "frame_start": frame, "frame_end": frame}
    if frame >= scene.bl_rna.properties["frame_start"].hard_min:
        return None
    # A range cannot begin below zero, but a single picture can be of such a frame.
    current = scene.frame_current
    undo.append(lambda: scene.frame_set(current))
    scene.frame_set(frame)
    folder, name = os.path.split(scene.render.filepath)
    output.set_property(scene.render, "filepath", os.path.join(folder, output.numbered(name, frame)), undo)
    return {"write_still": True}


def _scene(name: str) -> Any:
    for scene in bpy.data.scenes:
        if scene.name == name and scene.library is None:
            return scene
    names = ", ".join(scene.name for scene in bpy.data.scenes if scene.library is None)
    raise Refusal("scene", f"the file has no scene {name!r}; it has: {names}")


def _redirect_slice(scene: Any, out: str, frame: int, undo: Undo) -> str:
    """A slice is one file, beside its name until it is whole. Returns where it will be."""
    output.set_property(scene.render, "filepath", output.escape(f"{out}.part"), undo)
    return scene.render.frame_path(frame=frame)


def _slashes(path: str) -> str:
    return path if os.name == "nt" else path.replace("\\", "/")


def _set_engine(scene: Any, overrides: dict[str, Any], stored: str | None, undo: Undo) -> None:
    engine = overrides["engine"]
    if engine is None:
        if stored is not None and not facts.is_known_engine(stored):
            raise Refusal(
                "engine",
                f"the scene {scene.name!r} is made for the render engine {stored}, which this Blender does not have; "
                "enable its add-on for the job, or choose another engine",
            )
        return
    try:
        output.set_property(scene.render, "engine", engine, undo)
    except TypeError as error:
        known = ", ".join(facts.engines())
        raise Refusal("engine", f"this Blender has no render engine {engine!r}; it has: {known}") from error


def _set_samples(scene: Any, samples: int, undo: Undo) -> None:
    engine = scene.render.engine
    if engine == "CYCLES":
        output.set_property(scene.cycles, "samples", samples, undo)
        # Layers with a number of their own would not follow.
        output.set_property(scene.cycles, "use_layer_samples", "IGNORE", undo)
    elif engine.startswith("BLENDER_EEVEE"):
        output.set_property(scene.eevee, "taa_render_samples", samples, undo)
    else:
        raise Refusal("request", f"the number of samples cannot be set for the render engine {engine}")


def _set_camera(scene: Any, name: str | None, undo: Undo) -> None:
    if name is None:
        return
    camera = scene.objects.get(name)
    if camera is None or camera.type != "CAMERA":
        raise Refusal("camera", f"the scene {scene.name!r} has no camera {name!r}")
    output.set_property(scene, "camera", camera, undo)
    # Markers would switch to theirs.
    for marker in scene.timeline_markers:
        output.set_property(marker, "camera", None, undo)


def _set_name(scene: Any, name: str | None, undo: Undo) -> None:
    if name is not None:
        folder, _name = os.path.split(_slashes(scene.render.filepath))
        output.set_property(scene.render, "filepath", os.path.join(folder, name), undo)


def _failure(scene: Any, text: str) -> Refusal:
    """What Blender says of a render that failed, told apart."""
    lower = text.lower()
    if "camera" in lower:
        return Refusal("camera", f"the scene {scene.name!r} cannot be rendered: {text}")
    if "cannot save" in lower or "write" in lower:
        return Refusal("write", text)
    if "openimagedenoise" in lower:
        return Refusal(
            "render", f"{text}: this Blender cannot denoise; turn denoising off, or render with another build"
        )
    return Refusal("render", text)


def _use_gpu(kinds: list[str]) -> list[dict[str, str]]:
    """Turns on all devices of the first kind that is here, and nothing else."""
    preferences = facts.cycles_preferences()
    for kind in kinds if preferences is not None else ():
        try:
            devices = [device for device in preferences.get_devices_for_type(kind) if device.type == kind]
            if not devices:
                continue
            preferences.compute_device_type = kind
        except (TypeError, ValueError, KeyError):
            continue  # A kind that this build was made without.
        for device in preferences.devices:
            device.use = device.type == kind
        return [{"kind": facts.DEVICE_KINDS[kind], "name": device.name, "id": device.id} for device in devices]
    return []


def _collect(frame: int, out_dir: str, names: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files that are there now, with what each is."""
    views = {output.at(entry["name"], frame): entry["view"] for entry in names}
    found = []
    for folder, _folders, files in os.walk(out_dir):
        for file in files:
            path = os.path.join(folder, file)
            place, _slash, name = os.path.relpath(path, out_dir).replace(os.sep, "/").partition("/")
            entry: dict[str, Any] = {"role": "main", "name": name, "path": path}
            if place.startswith(NODE):
                entry |= {"role": "node", "index": int(place.removeprefix(NODE))}
            elif views.get(name) is not None:
                entry |= {"role": "view", "view": views[name]}
            if os.path.getsize(path) == 0:
                raise Refusal("write", f"Blender wrote nothing into {name}; is the disk full?")
            found.append(entry)
    for name in views:
        if not os.path.isfile(os.path.join(out_dir, MAIN, name)):
            raise Refusal("write", f"Blender rendered frame {frame} and did not write {name}; its log says why")
    order = {"main": 0, "view": 1, "node": 2}
    return sorted(found, key=lambda entry: (order[entry["role"]], entry.get("index", 0), entry["name"]))


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
