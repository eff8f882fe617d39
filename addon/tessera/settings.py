# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can say about a job. It lies in the scene, so it is saved with the file and takes part in undo.

Nothing has to be said: what is not set is left to the program, to its settings file and to the farm.
"""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

ENGINE = "TESSERA"

SOURCES = (
    (
        "MEMORY",
        "What Is Open",
        "Everything as it is now, unsaved changes too. Your file, its undo and its state stay as they are",
    ),
    ("SAVE", "Save and Send", "Save the file, then send it"),
    ("FILE", "File on Disk", "The file as it was saved last"),
)

TILES = (
    ("AUTO", "Automatic", "Divide a frame among workers where that pays"),
    ("OFF", "Whole Frames", "One worker renders all of a frame"),
    ("GRID", "Tiles", "Cut every frame into this many tiles"),
    (
        "SAMPLES",
        "Samples",
        "Divide the samples of a frame among workers where that pays; into tiles if that is not exact",
    ),
    (
        "NOISE",
        "Where Noise Is",
        "Give a frame samples, on the whole farm, where more noise is left than the scene's threshold allows. "
        "Near to what Blender's adaptive sampling makes, and not the same",
    ),
)

DEVICES = (
    ("FILE", "As the File Says", "What the scene is set to"),
    ("CPU", "CPU", "The processors of the workers"),
    ("GPU", "GPU", "Workers with a GPU that Blender can use"),
    ("CUDA", "CUDA", "Workers with a GPU that Blender can use by CUDA"),
    ("OPTIX", "OptiX", "Workers with a GPU that Blender can use by OptiX"),
    ("HIP", "HIP", "Workers with a GPU that Blender can use by HIP"),
    ("ONEAPI", "oneAPI", "Workers with a GPU that Blender can use by oneAPI"),
    ("METAL", "Metal", "Workers with a GPU that Blender can use by Metal"),
)

# Blender holds no reference to the texts of a list that is made anew each time.
_engines: list[tuple[str, str, str]] = []


def engines(_self: Any = None, _context: Any = None) -> list[tuple[str, str, str]]:
    """The engines of this Blender that can render for Tessera."""
    eevee = "BLENDER_EEVEE_NEXT" if (4, 2, 0) <= bpy.app.version < (5, 0, 0) else "BLENDER_EEVEE"
    found = {eevee: "EEVEE", "BLENDER_WORKBENCH": "Workbench"}
    for engine in bpy.types.RenderEngine.__subclasses__():
        name = getattr(engine, "bl_idname", "")
        if name and name not in (ENGINE, "HYDRA_STORM"):
            found[name] = getattr(engine, "bl_label", name)
    _engines[:] = [(name, label, f"Workers render with {label}") for name, label in sorted(found.items())]
    return _engines


def real_engine(scene: bpy.types.Scene) -> str:
    """The engine that renders a scene on the workers: its own, or the one it had before Tessera."""
    if scene.render.engine != ENGINE:
        return scene.render.engine
    known = [name for name, _, _ in engines()]
    kept = scene.tessera.engine
    if kept in known:
        return kept
    return "CYCLES" if "CYCLES" in known else known[0]


def _chosen_engine(self: "JobSettings") -> int:
    names = [name for name, _, _ in engines()]
    engine = real_engine(self.id_data)
    return names.index(engine) if engine in names else 0


def _choose_engine(self: "JobSettings", index: int) -> None:
    self.engine = engines()[index][0]


class JobSettings(bpy.types.PropertyGroup):
    """How a scene is rendered by the farm."""

    engine: StringProperty(
        name="Engine",
        description="The engine that the workers render with while the scene's engine is Tessera",
        options={"HIDDEN"},
    )
    engine_choice: EnumProperty(
        name="Engine",
        description="The engine that the workers render with",
        items=engines,
        get=_chosen_engine,
        set=_choose_engine,
        options={"SKIP_SAVE"},
    )
    source: EnumProperty(name="Send", description="What is sent to the farm", items=SOURCES, default="MEMORY")
    frames: StringProperty(
        name="Frames",
        description="Frames to render, as 1..24, 1,5,9 or 1..100x5; empty for the scene's range",
    )
    name: StringProperty(name="Name", description="What the job is called; empty for the name of the file")
    category: StringProperty(
        name="Category", description="The farm is shared between categories first; empty for the usual one"
    )
    tags: StringProperty(
        name="Tags", description="Only workers with all of these tags, as gpu;big; empty for any worker"
    )
    comment: StringProperty(name="Comment", description="A note for people")
    priority: IntProperty(
        name="Priority",
        description="Share against other jobs: twice the number, twice the share",
        default=100,
        min=1,
        soft_max=1000,
    )
    chunk: IntProperty(name="Chunk", description="Frames handed to a worker at once", default=1, min=1, soft_max=100)
    attempts: IntProperty(
        name="Attempts", description="How often a frame may fail before it is given up", default=3, min=1, soft_max=20
    )
    preempt: BoolProperty(
        name="Begin at Once", description="End frames of jobs of lower priority, if that is what it takes to begin"
    )
    after: StringProperty(name="After Jobs", description="Begin when these jobs are done, as 3;4")
    notify: StringProperty(
        name="Notify", description="Receivers of the farm's notifications that are told of this job, as studio;anna"
    )
    tiles: EnumProperty(name="Divide", description="How a frame is divided among workers", items=TILES, default="AUTO")
    tiles_x: IntProperty(name="Columns", description="Tiles side by side", default=4, min=1, max=64)
    tiles_y: IntProperty(name="Rows", description="Tiles one above the other", default=3, min=1, max=64)
    device: EnumProperty(name="Device", description="What the workers render on", items=DEVICES, default="FILE")
    samples: IntProperty(
        name="Samples", description="Samples per pixel; 0 for what the scene says", default=0, min=0, soft_max=4096
    )
    exr: BoolProperty(
        name="All Passes as EXR", description="Write multilayer EXR with every pass, whatever format the scene asks for"
    )
    scripts: BoolProperty(
        name="Run Scripts",
        description="Let scripts and drivers of the file run on the workers; only for files you trust",
    )
    pack_textures: BoolProperty(
        name="Pack Textures", description="Send textures inside of the .blend files; frames come out the same"
    )
    blender_from: StringProperty(name="Blender From", description="Lowest version of Blender, as 4.2; empty for any")
    blender_to: StringProperty(name="To", description="Highest version of Blender, as 5.0; empty for any")
    memory: StringProperty(name="Memory", description="Only workers with so much memory, as 32GB; empty for any")
    gpu: StringProperty(name="GPU", description="Only workers with a GPU whose name has this in it; empty for any")
    workers: StringProperty(name="Workers", description="Only workers of these names, as anna;ben; empty for any")


def arguments(settings: JobSettings) -> list[str]:
    """The settings as the program takes them. What nobody has set is left out."""
    found = []

    def say(option: str, value: Any) -> None:
        text = str(value).strip()
        if text:
            found.extend([f"--{option}", text])

    for option in ("category", "tags", "comment", "after", "notify", "memory", "gpu", "workers"):
        say(option, getattr(settings, option))
    for option in ("priority", "chunk", "attempts"):
        if settings.is_property_set(option):
            say(option, getattr(settings, option))
    if settings.device != "FILE":
        say("device", settings.device.lower())
    if settings.samples:
        say("samples", settings.samples)
    grid = f"{settings.tiles_x}x{settings.tiles_y}"
    split = {"AUTO": "", "OFF": "off", "GRID": grid, "SAMPLES": "samples", "NOISE": ""}
    say("split", split[settings.tiles])
    if settings.tiles == "NOISE":
        found.append("--elastic")
    lowest, highest = settings.blender_from.strip(), settings.blender_to.strip()
    if lowest or highest:
        say("blender-version", f"{lowest}..{highest}")
    for option in ("preempt", "exr", "scripts", "pack_textures"):
        if getattr(settings, option):
            found.append("--" + option.replace("_", "-"))
    return found


def register() -> None:
    bpy.utils.register_class(JobSettings)
    bpy.types.Scene.tessera = PointerProperty(type=JobSettings, name="Tessera")


def unregister() -> None:
    del bpy.types.Scene.tessera
    bpy.utils.unregister_class(JobSettings)
