# SPDX-License-Identifier: GPL-3.0-or-later
"""The render engine "Tessera": F12 and Ctrl-F12 on the farm, with all layers and passes in Blender's own Render Result.

Workers render with the scene's real engine and give multilayer EXR with every pass, before compositor and sequencer;
these run here as after a local render. An animation is one job: its frames render all over the farm while Blender takes
them in order.
"""

import queue
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import exr, main_thread, preferences, program, scene_file, settings
from .farm import farm
from .program import Line
from .settings import ENGINE
from .works import counted, megabytes

# How often it is looked whether the user wants the end.
LOOK_S = 0.1

# How long the program may take to cancel its job before Blender stops waiting for it.
ENDING_S = 5


class FrameMissingError(Exception):
    """The farm gave no such frame, and why."""


class Frames:
    """Frames of a scene, as the farm makes them. Lives for one render job of Blender: a frame, or an animation."""

    def __init__(self, scene_name: str, frames: list[int], views: list[str]) -> None:
        self.scene_name = scene_name
        self.frames = frames
        self.views = views
        self.folder = Path(tempfile.mkdtemp(prefix="tessera-frames-"))
        self._files: dict[int, Path] = {}
        self._failed: dict[int, str] = {}
        self._shown: set[int] = set()
        self._declared: set[tuple[int, str, str]] = set()
        # What there is of a frame that grows, until it is shown.
        self._so_far: Path | None = None
        # How much of the frames that are divided among workers is done.
        self._parts = 0.0
        self._error = ""
        self._ended = False
        self._job = 0
        self._text = "Tessera: starting"
        self._named = ("", "")
        self._child: program.Child | None = None
        self._file: scene_file.SceneFile | None = None

    def begin(self, given_up: Callable[[], bool]) -> None:
        """Writes the copy, on the main thread, and hands it to the program."""
        self._file = main_thread.call(self._copy, given_up)
        if self._file is None:
            return
        self._named = (str(self._file.path), bpy.path.basename(bpy.data.filepath) or "the scene")
        scene = bpy.data.scenes[self.scene_name]
        frames = frame_list(self.frames)
        name = scene.tessera.name.strip() or f"{Path(bpy.data.filepath).stem or 'untitled'} (F12)"
        command = ["render", str(self._file.path), "--scene", self.scene_name, f"--frames={frames}", "--name", name]
        command += ["--output", str(self.folder / "frame_####"), "--exr"]
        command += [word for word in settings.arguments(scene.tessera) if word != "--exr"]
        if len(self.frames) == 1 and not bpy.app.background:
            command += ["--so-far", str(self.folder / "so-far")]
        self._child = preferences.start(*command)

    def _copy(self) -> scene_file.SceneFile:
        return scene_file.take("MEMORY", bpy.data.scenes[self.scene_name], passes_only=True)

    def has(self, frame: int) -> bool:
        """Whether the frame is one of these."""
        return frame in self.frames

    def wait_for(
        self,
        frame: int,
        given_up: Callable[[], bool],
        tell: Callable[[str, float], None],
        grows: Callable[[Path], None],
    ) -> Path | None:
        """The frame's file, as soon as it is there; none if the user does not want it any more."""
        while frame not in self._files:
            if given_up():
                return None
            if frame in self._failed:
                raise FrameMissingError(self._failed[frame])
            if self._ended or self._child is None:
                raise FrameMissingError(self._error or f"the farm did not render frame {frame}")
            try:
                self._take(self._child.lines.get(timeout=LOOK_S))
            except queue.Empty:
                pass
            tell(self._text, max(len(self._files) / len(self.frames), self._parts * 0.99))
            if self._so_far is not None and frame not in self._files:
                grows(self._so_far)
                self._so_far = None
        return self._files[frame]

    def _take(self, line: Line) -> None:
        kind = line["type"]
        if kind == "packing":
            self._text = "Tessera: reading the scene"
        elif kind == "sending":
            done = line["done_bytes"] if "done_bytes" in line else line["sent_bytes"]
            self._text = f"Tessera: sending {megabytes(done)} of {megabytes(max(done, line['total_bytes']))}"
        elif kind == "submitted":
            self._text = "Tessera: waiting for a worker"
            self._job = line["job"]
            self._remove_copy()
        elif kind == "started":
            worker = farm.workers.get(line["worker"])
            self._text = f"Tessera: frame {line['frame']}" + (f" on {worker['name']}" if worker else "")
        elif kind == "frame":
            self._files[line["frame"]] = Path(line["files"][0])
        elif kind == "so_far":
            self._so_far = Path(line["file"])
        elif kind == "progress":
            parts = ""
            if line.get("parts"):
                self._parts = line["parts_done"] / line["parts"]
                parts = f", {line['parts_done']} of {line['parts']} parts"
            self._text = f"Tessera: {line['done']} of {counted(line['frames'])}{parts}"
        elif kind == "frame_failed" and line["given_up"]:
            self._failed[line["frame"]] = f"frame {line['frame']} failed: {self._said(line['message'])}"
        elif kind == "outage":
            self._text = "Tessera: the farm does not answer, waiting for it"
        elif kind == "warning":
            print(f"Tessera: {self._said(line['message'])}")
        elif kind == "error":
            self._error = self._said(line["message"])
        elif kind == "ended":
            self._ended = True

    def _said(self, text: str) -> str:
        path, name = self._named
        return text.replace(path, name) if path else text

    def is_shown(self, frame: int) -> bool:
        """Whether the frame is in Blender."""
        return frame in self._shown

    def declares(self, frame: int, each: exr.Pass) -> bool:
        """Whether Blender is still to be told of a pass of the frame."""
        name = (frame, each.layer, each.name)
        new = name not in self._declared
        self._declared.add(name)
        return new

    def is_in_blender(self, frame: int) -> None:
        """The frame is in Blender: its file is of no more use."""
        self._shown.add(frame)
        self._files[frame].unlink(missing_ok=True)

    def _remove_copy(self) -> None:
        if self._file is not None:
            self._file.remove()
            self._file = None

    def end(self) -> None:
        """Stops what still renders, and removes what was temporary."""
        child = self._child
        if child is not None and child.running:
            if self._job and sys.platform == "win32":
                # There it cannot be asked to cancel its job.
                preferences.start("job", "cancel", str(self._job))
            child.interrupt()
            end = time.monotonic() + ENDING_S
            while child.running and time.monotonic() < end:
                time.sleep(0.02)
            child.kill()
        self._remove_copy()
        shutil.rmtree(self.folder, ignore_errors=True)


# What is being rendered: of several scenes, where the compositor of one asks for others.
_frames: dict[str, Frames] = {}


class TesseraRender(bpy.types.RenderEngine):
    """Renders on the farm what Blender asks for."""

    bl_idname = ENGINE
    bl_label = "Tessera"
    bl_use_postprocess = True
    bl_use_shading_nodes_custom = False
    bl_use_eevee_viewport = True
    # Workers have drawn the lines already.
    bl_use_custom_freestyle = True

    _told = ""

    def update_render_passes(self, scene: Any = None, renderlayer: Any = None) -> None:
        """Tells Blender which passes there will be, so that its compositor has sockets for them."""
        for name, channels, kind in passes_of(scene, renderlayer):
            self.register_pass(scene, renderlayer, name, len(channels), channels, kind)

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Called for each view layer of a frame."""
        scene = depsgraph.scene
        try:
            path = self._frame_file(scene)
            if path is not None:
                self._show(path, scene)
        except (
            FrameMissingError,
            exr.NotReadableError,
            main_thread.WindowHangsError,
            program.ProgramMissingError,
            scene_file.CannotSendError,
        ) as error:
            self._fail(f"Tessera: {error}")
        except Exception as error:
            # Whatever it is: a frame that did not come must not be written as a black one.
            traceback.print_exc()
            self._fail(f"Tessera: the frame cannot be shown: {error}")

    def _fail(self, message: str) -> None:
        """Blender stops an animation for an error, and writes nothing of the frame."""
        self.report({"ERROR"}, message)
        if hasattr(self, "error_set"):
            self.error_set(message)

    def _frame_file(self, scene: bpy.types.Scene) -> Path | None:
        frame, name = scene.frame_current, scene.name
        source = _frames.get(name)
        if source is None or not source.has(frame):
            forget(name)
            views = [view.name for view in scene.render.views if view.use] if scene.render.use_multiview else []
            source = Frames(name, self._wanted(scene), views)
            _frames[name] = source
            self.update_stats("", "Tessera: writing a copy of the scene")
            source.begin(self.test_break)
        path = source.wait_for(frame, self.test_break, self._tell, lambda file: self._show_so_far(file, scene))
        if path is None:
            forget(name)
        return path

    def _tell(self, text: str, share: float) -> None:
        # In the background each word is a line of output.
        if text != self._told:
            self._told = text
            self.update_stats("", text)
        self.update_progress(share)

    def _wanted(self, scene: bpy.types.Scene) -> list[int]:
        """This frame; with it, where an animation begins, all that Blender will ask for."""
        first = scene.frame_current
        if not self.is_animation or scene.frame_step < 1 or _single_frames_asked():
            return [first]
        following = [*range(first, scene.frame_end + 1, scene.frame_step)] or [first]
        if scene.render.use_overwrite or scene.render.is_movie_format:
            return following
        # Blender goes past frames that are there, without a word to its engine.
        there = (frame for frame in following[1:] if Path(scene.render.frame_path(frame=frame)).exists())
        skipped = set(there)
        return [frame for frame in following if frame not in skipped]

    def _show(self, path: Path, scene: bpy.types.Scene) -> None:
        """Puts all view layers of the file into the render result; for the first one that Blender asks for."""
        source = _frames[scene.name]
        if source.is_shown(scene.frame_current):
            return
        texts = self._load(path, scene)
        # Names of Cryptomatte's ids, and samples: what the real engine notes of a render.
        whole = self.get_result()
        for name, text in texts.items():
            whole.stamp_data_add_field(name, text)
        source.is_in_blender(scene.frame_current)

    def _show_so_far(self, path: Path, scene: bpy.types.Scene) -> None:
        """Shows what there is of the frame; the frame itself comes in any case."""
        # Under this name, the program puts the next one.
        shown = path.with_name("shown.exr")
        try:
            path.replace(shown)
            self._load(shown, scene)
        except (exr.NotReadableError, OSError, RuntimeError) as error:
            print(f"Tessera: what is there of the frame cannot be shown: {error}")

    def _load(self, path: Path, scene: bpy.types.Scene) -> dict[str, str]:
        """Loads the file into the render result, and gives what else it says."""
        source = _frames[scene.name]
        found = exr.outline(path, [each.name for each in scene.view_layers], source.views)
        for each in found.passes:
            if each.name != "Combined" and source.declares(scene.frame_current, each):
                self.add_pass(each.name, len(each.channels), each.channels, layer=each.layer)
        if source.views:
            exr.forget_views(path)
        result = self.begin_result(0, 0, found.width, found.height)
        try:
            result.load_from_file(str(path))
        finally:
            self.end_result(result)
        return found.texts


def frame_list(frames: list[int]) -> str:
    """Frames as the program takes them: a range where they are one."""
    steps = {later - earlier for earlier, later in zip(frames, frames[1:], strict=False)}
    if len(steps) == 1:
        return f"{frames[0]}..{frames[-1]}x{steps.pop()}"
    return ",".join(map(str, frames))


def _single_frames_asked() -> bool:
    """`blender -b … -f 3,7` renders what it calls animations of one frame."""
    words = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    single = {"-f", "--render-frame"} & set(words)
    return bpy.app.background and bool(single) and not {"-a", "--render-anim"} & set(words)


def forget(scene_name: str) -> None:
    """Ends what is rendered for a scene."""
    source = _frames.pop(scene_name, None)
    if source is not None:
        source.end()


@persistent
def on_render_over(*_: Any) -> None:
    """Blender's render job is over, one way or another."""
    for name in list(_frames):
        forget(name)


# Passes


def passes_of(scene: bpy.types.Scene, layer: Any) -> Iterable[tuple[str, str, str]]:
    """The passes that the scene's real engine makes: name, channels and kind."""
    engine = settings.real_engine(scene)
    for each in bpy.types.RenderEngine.__subclasses__():
        if getattr(each, "bl_idname", "") == engine and hasattr(each, "update_render_passes"):
            listener = _PassListener()
            each.update_render_passes(listener, scene, layer)
            return listener.passes
    return passes_of_eevee(layer)


class _PassListener:
    """Stands in for an engine that is asked for its passes."""

    def __init__(self) -> None:
        self.passes: list[tuple[str, str, str]] = []

    def register_pass(self, _scene: Any, _layer: Any, name: str, _count: int, channels: str, kind: str) -> None:
        self.passes.append((name, channels, kind))


# Engines that are built into Blender cannot be asked. Name before 5.0, name since, what switches it on, channels, kind.
EEVEE_PASSES = (
    ("Depth", "Depth", "use_pass_z", "Z", "VALUE"),
    ("Mist", "Mist", "use_pass_mist", "Z", "VALUE"),
    ("Position", "Position", "use_pass_position", "XYZ", "VECTOR"),
    ("Normal", "Normal", "use_pass_normal", "XYZ", "VECTOR"),
    ("Vector", "Vector", "use_pass_vector", "XYZW", "VECTOR"),
    ("DiffDir", "Diffuse Direct", "use_pass_diffuse_direct", "RGB", "COLOR"),
    ("DiffCol", "Diffuse Color", "use_pass_diffuse_color", "RGB", "COLOR"),
    ("GlossDir", "Glossy Direct", "use_pass_glossy_direct", "RGB", "COLOR"),
    ("GlossCol", "Glossy Color", "use_pass_glossy_color", "RGB", "COLOR"),
    ("Emit", "Emission", "use_pass_emit", "RGB", "COLOR"),
    ("Env", "Environment", "use_pass_environment", "RGB", "COLOR"),
    ("Shadow", "Shadow", "use_pass_shadow", "RGB", "COLOR"),
    ("AO", "Ambient Occlusion", "use_pass_ambient_occlusion", "RGB", "COLOR"),
)


def passes_of_eevee(layer: Any) -> list[tuple[str, str, str]]:
    """The passes of EEVEE, by what is switched on in the layer."""
    new_names = bpy.app.version >= (5, 0, 0)
    found = [("Combined", "RGBA", "COLOR")]
    for old, new, switch, channels, kind in EEVEE_PASSES:
        if getattr(layer, switch, False):
            found.append((new if new_names else old, channels, kind))
    for kind, label in (("object", "CryptoObject"), ("material", "CryptoMaterial"), ("asset", "CryptoAsset")):
        if getattr(layer, f"use_pass_cryptomatte_{kind}"):
            ranks = (layer.pass_cryptomatte_depth + 1) // 2
            found += [(f"{label}{rank:02}", "rgba", "COLOR") for rank in range(ranks)]
    for aov in layer.aovs:
        if aov.is_valid:
            found.append((aov.name, "X", "VALUE") if aov.type == "VALUE" else (aov.name, "RGBA", "COLOR"))
    return found


# The settings panels of the real engine


_panels: list[type] = []
_panels_of = ""


def show_panels_of(engine: str) -> None:
    """Shows the settings of this engine where the scene's engine is Tessera."""
    global _panels_of
    if engine == _panels_of:
        return
    hide_panels()
    _panels_of = engine
    for panel in _all_panels(bpy.types.Panel):
        engines = getattr(panel, "COMPAT_ENGINES", None)
        if engines is not None and engine in engines and ENGINE not in engines:
            engines.add(ENGINE)
            _panels.append(panel)


def hide_panels() -> None:
    """Takes back what [`show_panels_of`] did."""
    global _panels_of
    for panel in _panels:
        engines: set[str] = getattr(panel, "COMPAT_ENGINES", set())
        engines.discard(ENGINE)
    _panels.clear()
    _panels_of = ""


def _all_panels(base: type) -> Iterable[type]:
    for panel in base.__subclasses__():
        yield panel
        yield from _all_panels(panel)


# The scene's own engine


@persistent
def keep_engines(*_: Any) -> None:
    """Notes the engine of each scene, for the day it is switched to Tessera."""
    for scene in bpy.data.scenes:
        if scene.library is None and scene.render.engine not in (ENGINE, scene.tessera.engine):
            scene.tessera.engine = scene.render.engine


_owner = object()


def _listen() -> None:
    """Of every change of an engine Blender tells."""
    key = (bpy.types.RenderSettings, "engine")
    bpy.msgbus.subscribe_rna(key=key, owner=_owner, args=(), notify=keep_engines, options={"PERSISTENT"})


@persistent
def _on_load(*_: Any) -> None:
    keep_engines()
    _listen()


HANDLERS = (
    ("render_complete", on_render_over),
    ("render_cancel", on_render_over),
    ("load_post", _on_load),
)


def register() -> None:
    bpy.utils.register_class(TesseraRender)
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    _listen()
    # While Blender starts, its data cannot be reached yet; a file is loaded next anyway.
    if hasattr(bpy.data, "scenes"):
        keep_engines()


def unregister() -> None:
    bpy.msgbus.clear_by_owner(_owner)
    on_render_over()
    hide_panels()
    for name, handler in HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
    bpy.utils.unregister_class(TesseraRender)
