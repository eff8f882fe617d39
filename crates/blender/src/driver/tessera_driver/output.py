"""Where and under which names a scene writes its frames."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import bpy

from .physics import compositor_tree

Undo = list[Callable[[], None]]
"""Ways back, to be gone from the last to the first."""

HAS_TEMPLATES = bpy.app.version >= (5, 0, 0)
"""Paths may have templates in braces."""

MARK = "@TESSERA-FRAME@"
"""Stands for the frame's digits while Blender makes a name; no file is called so."""


def describe(scene: Any, path: str | None) -> dict[str, Any]:
    """What a scene writes; `path` replaces its output path."""
    render = scene.render
    stored = render.filepath
    undo: Undo = []
    try:
        if path is not None:
            set_property(render, "filepath", path, undo)
        facts = {
            "path": stored,
            "directory": directory(scene),
            "format": render.image_settings.file_format,
            "is_movie": render.is_movie_format,
            "use_extension": render.use_file_extension,
            "overwrite": render.use_overwrite,
            "placeholder": render.use_placeholder,
        }
        if render.is_movie_format:
            use_png(scene, undo)
        facts["names"] = names(scene)
        use_exr(scene, undo)
        facts["exr_names"] = names(scene)
        return facts
    finally:
        revert(undo)


def directory(scene: Any) -> str:
    """The folder of the output path, its templates (5.0 and later) resolved."""
    return os.path.normpath(os.path.dirname(scene.render.frame_path(frame=0)))


def names(scene: Any) -> list[dict[str, Any]]:
    """The files of a frame: one, or one for each view."""
    render = scene.render
    settings = render.image_settings
    if render.use_multiview and _views_have_files(settings):
        return [{"view": view.name, "name": _pattern(scene, view.name)} for view in views(scene)]
    return [{"view": None, "name": _pattern(scene, "")}]


def views(scene: Any) -> list[Any]:
    """The views that render."""
    render = scene.render
    if not render.use_multiview:
        return []
    stereo = render.views_format == "STEREO_3D"
    return [view for view in (render.stereo_views if stereo else render.views) if view.use]


def _views_have_files(settings: Any) -> bool:
    if settings.views_format == "MULTIVIEW":
        return settings.file_format not in ("OPEN_EXR", "OPEN_EXR_MULTILAYER")
    return settings.views_format == "INDIVIDUAL"


def _pattern(scene: Any, view: str) -> dict[str, Any]:
    """What Blender makes of the output path, with the frame's place in it."""
    render = scene.render
    stored = render.filepath
    folder, name = os.path.split(stored.replace("\\", "/") if os.name != "nt" else stored)
    runs = _last_run(name)
    if runs is None:
        digits, marked = 4, f"{name}{MARK}#"
    else:
        begin, end = runs
        digits, marked = end - begin, f"{name[:begin]}{MARK}#{name[end:]}"
    undo: Undo = []
    try:
        set_property(render, "filepath", f"{folder}/{marked}" if folder else marked, undo)
        made = os.path.basename(render.frame_path(frame=0, view=view))
    finally:
        revert(undo)
    prefix, suffix = made.split(f"{MARK}0", 1)
    return {"prefix": prefix, "digits": digits, "suffix": suffix}


def numbered(name: str, frame: int) -> str:
    """The frame put into a pattern as Blender does, the extension aside."""
    run = _last_run(name)
    begin, end = run or (len(name), len(name))
    digits = end - begin if run else 4
    return at({"prefix": name[:begin], "digits": digits, "suffix": name[end:]}, frame)


def at(pattern: dict[str, Any], frame: int) -> str:
    """A pattern's name at a frame."""
    sign = "-" if frame < 0 else ""
    return f"{pattern['prefix']}{sign}{abs(frame):0{pattern['digits']}d}{pattern['suffix']}"


def _last_run(name: str) -> tuple[int, int] | None:
    """Begin and end of the last `###` in a name: what Blender replaces by the frame."""
    end = name.rfind("#") + 1
    if end == 0:
        return None
    begin = end
    while begin > 0 and name[begin - 1] == "#":
        begin -= 1
    return begin, end


# Changes that can be taken back


def set_property(owner: Any, name: str, value: Any, undo: Undo) -> None:
    """Sets a property unless it has the value already: each change makes Blender look at the scene again."""
    before = getattr(owner, name)
    if before == value:
        return
    setattr(owner, name, value)
    undo.append(lambda: setattr(owner, name, before))


def keep(owner: Any, names: Iterable[str], undo: Undo) -> None:
    """What is set from now on is taken back at the end, however often it is set."""
    before = [(name, getattr(owner, name)) for name in names]

    def restore() -> None:
        for name, value in before:
            if getattr(owner, name) != value:
                setattr(owner, name, value)

    undo.append(restore)


def revert(undo: Undo) -> None:
    while undo:
        undo.pop()()


IMAGE_PROPERTIES = (
    "media_type",
    "file_format",
    "color_mode",
    "color_depth",
    "exr_codec",
    "compression",
    "views_format",
    "use_exr_interleave",
    "color_management",
)
"""Of an image format, in an order in which each may be set after those before it."""


def _keep_image_settings(scene: Any, undo: Undo) -> None:
    settings = scene.render.image_settings
    before = [(name, getattr(settings, name)) for name in IMAGE_PROPERTIES if hasattr(settings, name)]
    space = settings.linear_colorspace_settings
    written_in = space.name

    def restore() -> None:
        for name, value in before:
            try:
                setattr(settings, name, value)
            except TypeError:
                pass  # Means nothing in the format that is set again, e.g. a codec of EXR in PNG.
        # A new format begins with a space of its own.
        if written_in and space.name != written_in:
            space.name = written_in

    undo.append(restore)


def use_png(scene: Any, undo: Undo) -> None:
    """Frames of a movie are PNG: exact, and any program makes a movie of them."""
    _keep_image_settings(scene, undo)
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    settings.color_depth = "8"
    set_property(scene.render, "use_file_extension", True, undo)


def use_exact_png(scene: Any, undo: Undo) -> None:
    """What a screen is to show, as exactly as a picture can say it, and written at once."""
    use_png(scene, undo)
    settings = scene.render.image_settings
    settings.color_mode = "RGB"
    settings.color_depth = "16"
    settings.compression = 0
    settings.color_management = "FOLLOW_SCENE"


def use_exr(scene: Any, undo: Undo) -> None:
    """All passes of all view layers, 32 bits, in one file."""
    _keep_image_settings(scene, undo)
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    settings.exr_codec = "ZIP"
    set_property(scene.render, "use_file_extension", True, undo)


def use_linear_exr(scene: Any, undo: Undo) -> None:
    """Everything as the engine made it, in one file, whatever the scene does to colours and views it writes."""
    use_exr(scene, undo)
    settings = scene.render.image_settings
    settings.views_format = "MULTIVIEW"
    if hasattr(settings, "use_exr_interleave"):
        # In one part: of several, 5.0 does not find the views again, nor writes those whose pixels are not square.
        settings.use_exr_interleave = True
    settings.color_management = "FOLLOW_SCENE"
    # Asked or not, 3.4 writes in this space.
    settings.linear_colorspace_settings.name = _scene_linear()


@functools.cache
def _scene_linear() -> str:
    """The name of the colour space that is rendered in: the one that images of floats begin with."""
    image = bpy.data.images.new("scene linear", 1, 1, float_buffer=True)
    name = image.colorspace_settings.name
    bpy.data.images.remove(image)
    return name


# File-output nodes


class FileOutput:
    """A file-output node of a scene's compositor."""

    def __init__(self, scene: Any, node: Any, name: str) -> None:
        self.scene = scene
        self.node = node
        self.name = name

    def describe(self, index: int) -> dict[str, Any]:
        levels = self._levels_up()
        return {
            "index": index,
            "scene": self.scene.name,
            "node": self.name,
            "stored": self._stored(),
            "directory": os.sep.join(self._directory().split(os.sep)[: -levels or None]) or os.sep,
            "slots": self._slots(),
            "format": self.node.format.file_format,
        }

    def redirect(self, folder: str, undo: Undo) -> None:
        """Below `folder` a file gets the name that it has below the described directory."""
        levels = self._levels_up()
        if levels:
            folder = os.path.join(folder, *self._directory().split(os.sep)[-levels:])
        if hasattr(self.node, "directory"):
            set_property(self.node, "directory", escape(folder), undo)
        else:
            set_property(self.node, "base_path", os.path.join(folder, self.split()[1]), undo)

    def split(self) -> tuple[str, str]:
        """The folder as stored, and the file name if the stored path has one: multilayer files before 5.0."""
        stored = self._stored()
        if not hasattr(self.node, "directory") and self.node.format.file_format == "OPEN_EXR_MULTILAYER":
            folder, name = os.path.split(stored)
            return folder, name
        return stored, ""

    def _directory(self) -> str:
        return self._resolved(self.split()[0])

    def _levels_up(self) -> int:
        """How many folders above the node's own its slots lead: `../depth/a` one."""
        lowest = 0
        for slot in self._slots():
            depth = 0
            for part in slot.replace("\\", "/").split("/")[:-1]:
                depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
                lowest = min(lowest, depth)
        return -lowest

    def _stored(self) -> str:
        return self.node.directory if hasattr(self.node, "directory") else self.node.base_path

    def _slots(self) -> list[str]:
        node = self.node
        multilayer = node.format.file_format == "OPEN_EXR_MULTILAYER"
        if hasattr(node, "file_output_items"):
            if multilayer:
                return [node.file_name]
            return [node.file_name + item.name for item in node.file_output_items]
        if multilayer:
            return [self.split()[1]]
        return [slot.path for slot in node.file_slots]

    def _resolved(self, folder: str) -> str:
        undo: Undo = []
        try:
            if "{" in folder and HAS_TEMPLATES:
                plain = folder.replace("{node_name}", escape(self.node.label or self.node.name))
                set_property(self.scene.render, "filepath", f"{plain}/x", undo)
                folder = os.path.dirname(self.scene.render.frame_path(frame=0))
        finally:
            revert(undo)
        return os.path.normpath(bpy.path.abspath(folder, library=self.node.id_data.library))


def escape(path: str) -> str:
    """A path that must not be taken for one with templates."""
    return path.replace("{", "{{").replace("}", "}}") if HAS_TEMPLATES else path


def file_outputs() -> list[FileOutput]:
    """The file-output nodes of all scenes' compositors, those in groups too. One that is reached twice is one."""
    return [output for scene in bpy.data.scenes for output in _file_outputs(scene)]


def _file_outputs(scene: Any) -> Iterator[FileOutput]:
    seen: set[Any] = set()
    pending = [(compositor_tree(scene), "")]
    while pending:
        tree, path = pending.pop(0)
        if tree is None or tree in seen:
            continue
        seen.add(tree)
        for node in tree.nodes:
            if node.bl_idname == "CompositorNodeOutputFile":
                yield FileOutput(scene, node, path + node.name)
            elif getattr(node, "node_tree", None) is not None:
                pending.append((node.node_tree, f"{path}{node.name}/"))
