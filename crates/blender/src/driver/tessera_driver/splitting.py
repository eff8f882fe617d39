"""Whether a frame of a scene can be rendered in parts and put together again as if it had been rendered at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import bpy

from . import physics

Window = dict[str, int]
"""A rectangle of pixels: `x` and `y` of its corner, from the top left of the frame, `width` and `height`."""

OVERSCAN_PIXELS_MAX = 8
"""Adaptive sampling looks at the pixels around one, and nothing else does. So many were always enough; 4 were in 3.4,
4.2 and 5.0."""

LOOKED_AT_EVERY = 16
"""Samples of a pixel after which Cycles looks whether it needs more."""

GREASE_PENCIL = ("GPENCIL", "GREASEPENCIL")

MERGED = (
    "Combined",
    "Depth",
    "Mist",
    "Position",
    "Normal",
    "UV",
    "IndexOB",
    "IndexMA",
    "Object Index",
    "Material Index",
    "DiffDir",
    "DiffInd",
    "DiffCol",
    "GlossDir",
    "GlossInd",
    "GlossCol",
    "TransDir",
    "TransInd",
    "TransCol",
    "VolumeDir",
    "VolumeInd",
    "Emit",
    "Env",
    "Shadow",
    "AO",
    "Diffuse Direct",
    "Diffuse Indirect",
    "Diffuse Color",
    "Glossy Direct",
    "Glossy Indirect",
    "Glossy Color",
    "Transmission Direct",
    "Transmission Indirect",
    "Transmission Color",
    "Volume Direct",
    "Volume Indirect",
    "Emission",
    "Environment",
    "Ambient Occlusion",
    "Debug Sample Count",
    "Noisy Image",
    "Denoising Normal",
    "Denoising Albedo",
    "Denoising Depth",
)
"""Passes that can be merged from ranges of samples, each in its way. Cryptomattes, light groups and the outputs of
shaders are not listed: their names follow from the view layer."""

OTHERS = ("Vector", "Shadow Catcher", "Noisy Shadow Catcher")
"""Passes of Cycles that cannot."""


TABLES = ("PROGRESSIVE_MULTI_JITTER", "TABULATED_SOBOL")
"""Sampling patterns that Cycles takes from a table, which it makes as long as there are samples."""

TABLE_MIN = 256
"""The table is no shorter than this. Measured in 3.4 and 4.2: with one sample more, ranges together differ from all by
0.02 to 0.04."""


HAS_SUBSETS = bpy.app.version >= (4, 4, 0)
"""A range of samples is told beside the number of all. Before, the number itself is that of the range."""


def describe(scene: Any, engine: str) -> dict[str, Any]:
    """For the scan; `engine` is the one that the file asks for."""
    whole = list(no_parts(scene, engine))
    ranges = [] if whole else list(no_ranges(scene))
    return {
        "tiles": not whole,
        "samples": not whole and not ranges,
        "samples_max": TABLE_MIN if _is_by_table(scene) else None,
        "pattern": _pattern(scene),
        "room": HAS_SUBSETS,
        "reasons": whole + ranges,
        "no_added": whole or list(no_added(scene)),
        "overscan": overscan(scene) if not whole else 0,
        "averaged": sorted({name for layer in _layers(scene) for name in _outputs(layer)}),
    }


def frame_size(scene: Any) -> tuple[int, int]:
    """Pixels of a whole frame, as Blender computes them: cut to whole ones."""
    render = scene.render
    percentage = render.resolution_percentage
    return render.resolution_x * percentage // 100, render.resolution_y * percentage // 100


def written_size(scene: Any) -> tuple[int, int]:
    """Pixels of what is written: of the region alone if the frame is cropped to one."""
    render = scene.render
    width, height = frame_size(scene)
    if render.use_border and render.use_crop_to_border:
        width = int(width * render.border_max_x) - int(width * render.border_min_x)
        height = int(height * render.border_max_y) - int(height * render.border_min_y)
    return width, height


def overscan(scene: Any) -> int:
    """Pixels around a part of a frame that what is in it can depend on.

    Each time that Cycles looks which pixels need more samples, those beside them take more too. So what a pixel is goes
    one pixel further each time, as long as there are samples left to take.
    """
    cycles = scene.cycles
    if not cycles.use_adaptive_sampling:
        return 0
    layers = [layer.samples for layer in _layers(scene)] if cycles.use_layer_samples != "IGNORE" else []
    samples = max([cycles.samples, *layers])
    # As Cycles chooses them (`Integrator::get_adaptive_sampling`); rounded so that it is never more.
    threshold = cycles.adaptive_threshold or max(0.001, 1 / samples)
    least = cycles.adaptive_min_samples or math.ceil(16 / threshold**0.3 - 1e-3)
    first = cycles.sample_offset
    looks = range(LOOKED_AT_EVERY - 1, first + samples - 1, LOOKED_AT_EVERY)
    times = sum(1 for sample in looks if sample >= first and sample > max(4, least))
    return min(times, OVERSCAN_PIXELS_MAX)


def denoised(scene: Any) -> list[Any]:
    """The view layers that Cycles denoises."""
    return [layer for layer in _layers(scene) if scene.cycles.use_denoising and layer.cycles.use_denoising]


def no_parts(scene: Any, engine: str) -> Iterator[str]:
    """Why a frame cannot be rendered in parts, in words that follow the scene's name."""
    if engine != "CYCLES" or scene.render.engine != "CYCLES":
        yield f"only Cycles renders a part of a frame as it is in the whole, and the engine is {engine}"
        return
    yield from _pipeline(scene)
    yield from _sampling(scene)
    for owner in physics.objects_of(scene):
        if owner.type in GREASE_PENCIL:
            yield f"grease pencil ({owner.name!r}) is drawn over the whole frame after Cycles"
            break
    if denoised(scene):
        yield from _denoising(scene)


def _pipeline(scene: Any) -> Iterator[str]:
    render = scene.render
    if render.use_border:
        yield "it renders a region of the frame already"
    if render.use_freestyle and any(layer.use_freestyle for layer in _layers(scene)):
        yield "Freestyle draws the lines of the whole frame at once"
    if render.use_multiview and (3, 5, 0) <= bpy.app.version < (5, 0, 0):
        yield "putting several views together was never proven with this Blender"
    if render.use_sequencer and any(_shows(strip) for strip in _strips(scene)):
        yield "strips of the sequencer make its frames, not the scene itself"
    tree = physics.compositor_tree(scene)
    if render.use_compositing and tree is not None:
        shown = [
            node.scene
            for inner in physics.trees_below(tree)
            for node in inner.nodes
            if node.bl_idname == "CompositorNodeRLayers"
        ]
        others = sorted({other.name for other in shown if other is not None and other != scene})
        if others:
            yield f"its compositor shows other scenes: {', '.join(others)}"
        if len(shown) == 0:
            yield "its compositor makes frames without what the scene renders"


def _sampling(scene: Any) -> Iterator[str]:
    cycles = scene.cycles
    if cycles.time_limit > 0:
        yield "its render has a time limit, so what it looks like depends on the speed of the machine"
    if cycles.use_adaptive_sampling and any(layer.cycles.pass_debug_sample_count for layer in _layers(scene)):
        yield "the pass with the number of samples is relative to the samples of the part that a pixel is in"
    if cycles.sample_offset or getattr(cycles, "use_sample_subset", False):
        yield "it renders a range of its samples already"
    if getattr(cycles, "use_guiding", False):
        yield "path guiding learns from all of the frame"
    # Since 5.0, unless biased: measured to differ by up to 0.14, far from all seams.
    if not getattr(cycles, "volume_biased", True) and _has_volumes(scene):
        yield "its volumes are sampled by what was seen around each pixel"


def _has_volumes(scene: Any) -> bool:
    # Nodes may give a material to what has none in the file, so all materials are looked at.
    shaded = [*bpy.data.materials, *filter(None, [scene.world])]
    sockets = (
        node.inputs.get("Volume")
        for owner in shaded
        if owner.node_tree is not None
        for node in owner.node_tree.nodes
        if node.bl_idname in ("ShaderNodeOutputMaterial", "ShaderNodeOutputWorld")
    )
    return any(socket is not None and socket.is_linked for socket in sockets) or any(
        owner.type == "VOLUME" for owner in physics.objects_of(scene)
    )


def _denoising(scene: Any) -> Iterator[str]:
    if scene.cycles.denoiser == "OPTIX":
        yield "denoising by OptiX was never proven to be the same for a frame made of parts"
    elif not _can_denoise():
        yield "this Blender cannot denoise"
    if any(layer.cycles.use_pass_shadow_catcher for layer in _layers(scene)) or _catches_shadows(scene):
        yield "shadow catchers are denoised with what no file holds"


def _can_denoise() -> bool:
    import _cycles

    return bool(getattr(_cycles, "with_openimagedenoise", True))


def no_ranges(scene: Any) -> Iterator[str]:
    """Why the samples of a frame cannot be rendered in ranges, though tiles of it can."""
    if scene.cycles.use_adaptive_sampling:
        yield "with adaptive sampling, samples depend on those before them"
    yield from no_even_ranges(scene)


def no_added(scene: Any) -> Iterator[str]:
    """Why a frame cannot get samples as long as there is noise in it, tile by tile."""
    if not scene.cycles.use_adaptive_sampling:
        yield "adaptive sampling is off, so nothing says how much noise may be left"
    yield from no_even_ranges(scene)


def no_even_ranges(scene: Any) -> Iterator[str]:
    """Why ranges of samples that all pixels have are not, together, what all of them are."""
    cycles = scene.cycles
    blue_noise = getattr(cycles, "sampling_pattern", "") in ("AUTOMATIC", "BLUE_NOISE")
    if blue_noise and (4, 2, 0) <= bpy.app.version < (4, 4, 0):
        yield "in this Blender, blue noise of a range of samples is another than that of all"
    if _is_by_table(scene) and cycles.samples > TABLE_MIN:
        yield f"in this Blender, the pattern of more than {TABLE_MIN} samples depends on how many of them are rendered"
    if not HAS_SUBSETS and getattr(cycles, "auto_scrambling_distance", False):
        yield (
            "in this Blender, the scrambling distance that it chooses by itself depends on "
            "how many samples are rendered"
        )
    if cycles.use_layer_samples != "IGNORE" and any(layer.samples for layer in _layers(scene)):
        yield "its view layers have numbers of samples of their own"
    if _catches_shadows(scene):
        yield "shadows that are caught are no mean of the samples"
    unknown = sorted(
        {name for layer in _layers(scene) for name in _passes(scene, layer) if not _is_merged(layer, name)}
    )
    if unknown:
        yield f"some passes cannot be merged from ranges of samples: {', '.join(unknown)}"
    # Where those are off, a user's own may have their names.
    misnamed = sorted({name for layer in _layers(scene) for name in _outputs(layer) if name in (*MERGED, *OTHERS)})
    if misnamed:
        yield f"outputs of shaders are named as passes that are merged in another way: {', '.join(misnamed)}"


def _is_by_table(scene: Any) -> bool:
    """Whether a range of samples has the pattern of all only where the table of both is as long. Since 4.4 Cycles is
    told of how many samples it is a range."""
    return bpy.app.version < (4, 4, 0) and getattr(scene.cycles, "sampling_pattern", "") in TABLES


def _pattern(scene: Any) -> str:
    """Of which numbers of samples the first ones are the same.

    Measured with 3.4 and 5.0: a render of some, and as many first ones of a render of more.
    """
    cycles = scene.cycles
    pattern = getattr(cycles, "sampling_pattern", "")
    if getattr(cycles, "auto_scrambling_distance", False):
        return "number"
    if pattern in TABLES:
        return "table"
    # Since 4.4 that of old files is another one, whose name is hidden.
    return "any" if pattern == "SOBOL" and not HAS_SUBSETS else "number"


def _is_merged(layer: Any, name: str) -> bool:
    return name in MERGED or name in _outputs(layer) or name.startswith(("Crypto", "Combined_"))


def _passes(scene: Any, layer: Any) -> Iterator[str]:
    from cycles import engine

    for name, _channels, _kind in engine.list_render_passes(scene, layer):
        yield name


def _outputs(layer: Any) -> list[str]:
    """What shaders write by names of their own; means of the samples, whatever they are."""
    return [aov.name for aov in layer.aovs if aov.is_valid]


def _layers(scene: Any) -> list[Any]:
    """The view layers that render."""
    return [layer for layer in scene.view_layers if layer.use]


def _catches_shadows(scene: Any) -> bool:
    # Of a light it says another thing, and the light of new files has it.
    return any(owner.is_shadow_catcher and owner.type != "LIGHT" for owner in physics.objects_of(scene))


def _strips(scene: Any) -> list[Any]:
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips if hasattr(editor, "strips") else editor.sequences)


def _shows(strip: Any) -> bool:
    return strip.type != "SOUND" and not strip.mute
