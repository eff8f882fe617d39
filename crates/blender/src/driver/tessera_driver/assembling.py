"""Makes the files of a frame out of what was rendered of it elsewhere.

Blender renders the frame as always, and Cycles is asked as always, but in place of rendering it gives what is in a
file. So whatever comes after the engine (compositor, view transform, stamps, formats, names) is Blender's own doing,
nothing of the scene is changed for it, and what Cycles keeps of the scene stays.

Denoising is the engine's and comes before. Cycles can denoise a file, but not quite as it denoises what it renders:
the rows are there from the other end, which a neural network does not take for the same picture, and colours are
divided by the number of samples. So it is given a file with what it has in memory otherwise (5.0.1: the same as
rendering but for the last bits of floats).
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from array import array
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import bpy

from . import exr, output, splitting
from .link import Refusal

GUIDES = {"Denoising Normal": "XYZ", "Denoising Albedo": "RGB"}
"""Passes that the denoiser goes by."""

LAYER = "Layer"
"""Name of the layer in files for the denoiser."""

CRYPTOMATTES = ("CryptoObject", "CryptoMaterial", "CryptoAsset")

VIEWS_ARE_SET_APART = bpy.app.version >= (5, 0, 0)
"""Reading a file with several views, Blender takes their names out of those of channels and then does not find them."""

Render = Callable[[Any, Any], None]
"""What an engine does to render a view layer: the engine, and the dependency graph with the layer."""

Place = tuple[str, str]
"""A view layer and a view."""


class Assembly:
    """As long as this is entered, Cycles gives the frame in place of rendering it."""

    def __init__(self, scene: Any, request: dict[str, Any]) -> None:
        self._scene = scene
        self._frame: int = request["frame"]
        self._merged: str = request["merged"]
        try:
            self._texts = exr.texts(self._merged)
            size, self._channels = exr.outline(self._merged)
        except (OSError, ValueError, struct.error) as error:
            raise Refusal("unreadable", f"the merged frame cannot be read: {error}") from error
        expected = splitting.frame_size(scene)
        if size != expected:
            has, needs = ("x".join(map(str, pixels)) for pixels in (size, expected))
            raise Refusal("unreadable", f"the merged frame has {has} pixels and not {needs}: {self._merged}")
        self._layers = [layer.name for layer in splitting.denoised(scene)]
        self._denoised: dict[Place, exr.Channels] = {}
        self._failure: Exception | None = None
        self._folder = tempfile.TemporaryDirectory(dir=bpy.app.tempdir)
        self._engine = _cycles()
        self._render: Render | None = None

    def __enter__(self) -> None:
        try:
            if self._scene.render.use_multiview and VIEWS_ARE_SET_APART:
                self._merged = self._without_views()
            if self._layers:
                self._denoise()
            self._replace(self._give)
        except BaseException:
            self._folder.cleanup()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        self._folder.cleanup()
        if self._failure is not None:
            raise self._failure

    def _without_views(self) -> str:
        """A copy in which names of channels are what they seem to be."""
        path = os.path.join(self._folder.name, "views.exr")
        shutil.copyfile(self._merged, path)
        exr.forget_views(path)
        return path

    def _replace(self, render: Render) -> None:
        """Blender calls the engine by the names in its class."""

        def replaced(engine: Any, depsgraph: Any) -> None:
            try:
                render(engine, depsgraph)
            except Exception as failure:
                # Blender would print it and go on with an empty picture.
                self._failure = failure
                engine.error_set(str(failure))

        self._render = self._engine.render
        self._engine.render = replaced

    def _restore(self) -> None:
        self._engine.render = self._render

    def _give(self, engine: Any, depsgraph: Any) -> None:
        """In place of rendering a view layer."""
        layer = depsgraph.view_layer.name
        for view in _views(engine):
            result = self._load(engine, layer, view)
            denoised = self._denoised.get((layer, view))
            if denoised is not None:
                passes = result.layers[0].passes
                combined = _pixels(passes["Combined"])
                passes["Noisy Image"].rect.foreach_set(combined)
                for index, channel in enumerate("RGB"):
                    combined[index::4] = denoised[channel]
                passes["Combined"].rect.foreach_set(combined)
            engine.end_result(result)
        for name in self._metadata(layer):
            if name in self._texts:
                engine.get_result().stamp_data_add_field(name, self._texts[name])

    def _metadata(self, layer: str) -> Iterator[str]:
        """Names of the texts that Cycles adds to a frame, in its own order, which some formats keep."""
        yield f"cycles.{layer}.samples"
        for pass_name in CRYPTOMATTES:
            for name, text in self._texts.items():
                if name.startswith("cryptomatte/") and text == f"{layer}.{pass_name}":
                    folder = name.removesuffix("name")
                    yield from (name, f"{folder}hash", f"{folder}conversion", f"{folder}manifest")
        for time in ("total_time", "render_time", "synchronization_time"):
            yield f"cycles.{layer}.{time}"

    def _load(self, engine: Any, layer: str, view: str) -> Any:
        """What the file has of a view layer, in a result of the engine."""
        width, height = splitting.frame_size(self._scene)
        result = engine.begin_result(0, 0, width, height, layer=layer, view=view)
        for render_pass in result.layers[0].passes:
            self._has(layer, view, render_pass)
        result.load_from_file(self._merged)
        return result

    def _has(self, layer: str, view: str, render_pass: Any) -> None:
        """Of what is not in the file, Blender would say a word to nobody and give black."""
        if render_pass.name == "Noisy Image" and layer in self._layers:
            return
        name = ".".join(filter(None, (layer, render_pass.name, view)))
        if not {f"{name}.{channel}" for channel in render_pass.channel_id} <= self._channels:
            raise Refusal("unreadable", f"the merged frame has no pass {name}: {self._merged}")

    # Denoising

    def _denoise(self) -> None:
        """Has the view layers denoised that Cycles would have denoised once it had rendered them."""
        for (layer, view), path in self._write_inputs().items():
            _denoise(self._scene, layer, path)
            factor = self._factor(layer)
            channels = exr.read(path)
            self._denoised[layer, view] = {
                channel: _scaled(channels[f"{LAYER}.Combined.{channel}"], 1 / factor) for channel in "RGB"
            }

    def _write_inputs(self) -> dict[Place, str]:
        """Files with what the denoiser reads. The passes that it goes by are no passes of the frame: Blender is asked
        for a picture that has them, of which nothing is kept."""
        written: dict[Place, str] = {}

        def write(engine: Any, depsgraph: Any) -> None:
            layer = depsgraph.view_layer.name
            for view in _views(engine) if layer in self._layers else ():
                result = self._load(engine, layer, view)
                path = os.path.join(self._folder.name, f"{len(written)}.exr")
                self._write_input(path, layer, result.layers[0].passes)
                written[layer, view] = path
                engine.end_result(result, cancel=True)

        scene = self._scene
        undo: output.Undo = []
        for layer in splitting.denoised(scene):
            output.set_property(layer.cycles, "denoising_store_passes", True, undo)
        output.set_property(scene.render, "use_compositing", False, undo)
        output.set_property(scene, "frame_current", self._frame, undo)
        self._replace(write)
        try:
            bpy.ops.render.render(scene=scene.name)
        except RuntimeError as error:
            raise self._failure or Refusal("render", str(error)) from error
        finally:
            self._restore()
            output.revert(undo)
        return written

    def _write_input(self, path: str, layer: str, passes: Any) -> None:
        width, height = splitting.frame_size(self._scene)
        channels: exr.Channels = {}
        combined = _pixels(passes["Combined"])
        factor = self._factor(layer)
        for index, channel in enumerate("RGB"):
            channels[f"{LAYER}.Combined.{channel}"] = _scaled(combined[index::4], factor)
        for name, letters in GUIDES.items():
            samples = _pixels(passes[name])
            for index, channel in enumerate(letters):
                channels[f"{LAYER}.{name}.{channel}"] = samples[index::3]
        # Asked for, and read only by a denoiser of sequences.
        still = array("f", bytes(4 * width * height))
        channels |= {f"{LAYER}.Vector.{channel}": still for channel in "XYZW"}
        exr.write(path, width, height, channels, {f"cycles.{LAYER}.samples": "1"})

    def _factor(self, layer: str) -> float:
        """Colours in memory over those in files. Where each pixel has samples of its own number, both are means."""
        cycles = self._scene.cycles
        means = cycles.use_adaptive_sampling or self._scene.view_layers[layer].cycles.pass_debug_sample_count
        samples = 1 if means else int(self._texts.get(f"cycles.{layer}.samples", cycles.samples))
        return samples / cycles.film_exposure if cycles.film_exposure > 0 else samples


def _cycles() -> Any:
    return next(
        engine for engine in bpy.types.RenderEngine.__subclasses__() if getattr(engine, "bl_idname", None) == "CYCLES"
    )


def _views(engine: Any) -> Iterator[str]:
    for view in engine.get_result().views:
        yield view.name


def _denoise(scene: Any, layer: str, path: str) -> None:
    """By Blender's own operator, with the settings of scene and view layer."""
    try:
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[layer]):
            bpy.ops.cycles.denoise_animation(input_filepath=path, output_filepath=path)
    except RuntimeError as error:
        raise Refusal("render", f"the view layer {layer!r} cannot be denoised: {error}") from error


def _pixels(render_pass: Any) -> array[float]:
    """All samples of a pass, pixel by pixel, from the bottom row up."""
    pixels = array("f", bytes(4 * len(render_pass.rect) * render_pass.channels))
    render_pass.rect.foreach_get(pixels)
    return pixels


def _scaled(samples: array[float], factor: float) -> array[float]:
    return samples if factor == 1 else array("f", [sample * factor for sample in samples])
