"""Where a loaded file names other files: one list for finding them and for pointing them elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import bpy


@dataclass
class Reference:
    """A place in the loaded data that names a file or a folder."""

    owner: Any
    """The datablock, for its library."""
    label: str
    """For people: "image 'Wood'"."""
    kind: str
    """Says how its files are found."""
    stored: str
    assign: Callable[[str], None] | None
    """Points it elsewhere; None where that is not possible or not wanted."""
    optional: bool = False
    detail: Any = None
    """What its files are found by, e.g. the strip of an image sequence."""
    many: bool = False
    """It stands for files of which none needs to have this very name: tiles, views, some frames of a sequence."""

    def absolute(self) -> str:
        return absolute(self.stored, self.owner)


def absolute(stored: str, owner: Any) -> str:
    return _absolute(stored, getattr(owner, "library", None))


def library_file(library: Any) -> str:
    # The path of an indirect library is kept relative to the open file, whatever its parent stored.
    return _absolute(library.filepath, None)


def _absolute(stored: str, library: Any) -> str:
    """Where Blender looks for a file: without drives, for `C:\\a` in `/c/a`. BLI_path_abs."""
    path = bpy.path.abspath(_native(stored), library=library)
    if os.name != "nt" and re.match("[A-Za-z]:/", path):
        path = f"/{path[0].lower()}{path[2:]}"
    return os.path.normpath(path)


def describe(owner: Any, inner: str = "") -> str:
    """A datablock for people, with the library it comes from."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", owner.bl_rna.name).lower()
    text = f"{inner} of {kind} '{owner.name}'" if inner else f"{kind} '{owner.name}'"
    library = getattr(owner, "library", None)
    return f"{text} in {os.path.basename(library_file(library))}" if library else text


def repoint(rules: list[tuple[str, str]]) -> int:
    """Points absolute paths, and those written with backslashes, to what `rules` say, where something is there."""
    changed = 0
    for reference in list(references()):
        stored = reference.stored
        if reference.assign is None:
            continue
        if stored.startswith("//"):
            if "\\" not in stored or os.name == "nt":
                continue
            new: str | None = _native(stored)
        else:
            new = _mapped(stored, rules, reference.many)
        if new is not None and new != stored:
            reference.assign(new)
            changed += 1
    return changed + _repoint_rest(rules)


def _repoint_rest(rules: list[tuple[str, str]]) -> int:
    """What only Blender itself has a list of. Before 4.4 it can be read and not changed."""
    if not hasattr(bpy.data, "file_path_foreach"):
        return 0
    changed = 0

    def visit(owner: Any, stored: str, _meta: Any) -> str | None:
        nonlocal changed
        if isinstance(owner, bpy.types.Library) or stored.startswith("//"):
            return None
        new = _mapped(stored, rules, False)
        if new is None or new == stored:
            return None
        changed += 1
        return new

    bpy.data.file_path_foreach(visit)
    return changed


def _mapped(stored: str, rules: list[tuple[str, str]], many: bool) -> str | None:
    plain = stored.replace("\\", "/")
    for begin, target in rules:
        prefix = begin.replace("\\", "/").rstrip("/")
        fold = str.lower if prefix[1:2] == ":" or prefix.startswith("//") else str  # Windows' paths have no case.
        if fold(plain[: len(prefix)]) != fold(prefix) or plain[len(prefix) : len(prefix) + 1] not in ("/", ""):
            continue
        new = target.rstrip("/") + plain[len(prefix) :]
        # Where no file needs to have exactly that name, its folder tells.
        if os.path.exists(new) or (many and os.path.isdir(os.path.dirname(new))):
            return new
    return None


def _native(path: str) -> str:
    if os.name == "nt":
        return path
    # Two slashes would say that it is relative to the file; two backslashes begin a share of Windows' network.
    share = "\\\\" if path.startswith("\\\\") else ""
    return share + path[len(share) :].replace("\\", "/")


def find_libraries(rules: list[tuple[str, str]]) -> None:
    """Loads libraries from where `rules` say that they are, and theirs. What they need is seen then; of what hung
    on them when the file was loaded, some stays lost."""
    looked: set[str] = set()
    while pending := [library for library in bpy.data.libraries if library.filepath not in looked]:
        for library in pending:
            stored = library.filepath
            looked.add(stored)
            new = None if os.path.isfile(library_file(library)) else _mapped(stored, rules, False)
            if new is not None:
                looked.add(new)
                library.filepath = new
                library.reload()
                # Its own libraries are new in the list, and the list is another one.
                break


def references() -> Iterator[Reference]:
    """Every place that names an external file. Libraries come first."""
    for library in bpy.data.libraries:
        if getattr(library, "packed_file", None) is None:
            yield Reference(library, describe_library(library), "library", library.filepath, None)
    yield from _datablocks()
    for tree, label in node_trees():
        yield from _nodes(tree, label)
    for owner in bpy.data.objects:
        yield from _modifiers(owner)
    for scene in bpy.data.scenes:
        yield from _external(scene, world_caches(scene))
        yield from _strips(scene)


def animated() -> Iterator[tuple[Any, Any, str]]:
    """Datablocks that may have animation and drivers, embedded node trees among them: each with what describes it."""
    for name in bpy.data.bl_rna.properties.keys():
        collection = getattr(bpy.data, name, None)
        if not isinstance(collection, bpy.types.bpy_prop_collection):
            continue
        for owner in collection:
            if hasattr(owner, "animation_data"):
                yield owner, owner, ""
            tree = getattr(owner, "node_tree", None)
            if isinstance(tree, bpy.types.NodeTree) and tree.is_embedded_data:
                yield tree, owner, "nodes"


def describe_library(library: Any) -> str:
    parent = library.parent
    text = f"library '{library.name}'"
    return f"{text} in {os.path.basename(library_file(parent))}" if parent else text


def _setter(owner: Any, name: str) -> Callable[[str], None]:
    return lambda path: setattr(owner, name, path)


def _datablocks() -> Iterator[Reference]:
    for image in bpy.data.images:
        packed = image.packed_file is not None or len(image.packed_files) > 0
        if image.source in {"FILE", "SEQUENCE", "MOVIE", "TILED"} and image.filepath and not packed:
            kinds = {"FILE": "image", "SEQUENCE": "sequence", "MOVIE": "movie", "TILED": "udim"}
            kind = kinds[image.source]
            many = kind in {"sequence", "udim"} or image.use_multiview
            assign = _setter(image, "filepath")
            yield Reference(image, describe(image), kind, image.filepath, assign, detail=image, many=many)
    for clip in bpy.data.movieclips:
        kind = "movie" if clip.source == "MOVIE" else "clip"
        yield Reference(clip, describe(clip), kind, clip.filepath, _setter(clip, "filepath"), detail=clip)
    for sound in bpy.data.sounds:
        if sound.packed_file is None and sound.filepath:
            # Frames are silent.
            yield Reference(sound, describe(sound), "sound", sound.filepath, _setter(sound, "filepath"), optional=True)
    for font in bpy.data.fonts:
        if font.packed_file is None and font.filepath not in ("", "<builtin>"):
            yield Reference(font, describe(font), "font", font.filepath, _font_setter(font))
    for volume in bpy.data.volumes:
        if volume.packed_file is None and volume.filepath:
            assign, many = _setter(volume, "filepath"), volume.is_sequence
            yield Reference(volume, describe(volume), "volume", volume.filepath, assign, detail=volume, many=many)
    for cache in bpy.data.cache_files:
        assign, many = _setter(cache, "filepath"), cache.is_sequence
        yield Reference(cache, describe(cache), "scene_cache", cache.filepath, assign, detail=cache, many=many)
        for layer in cache.layers:
            assign = _setter(layer, "filepath")
            yield Reference(cache, describe(cache, "layer"), "scene_cache", layer.filepath, assign)
    for camera in bpy.data.cameras:
        # Since 5.0 a camera may be a shader.
        if camera.type == "CUSTOM" and camera.custom_mode == "EXTERNAL" and camera.custom_filepath:
            assign = _setter(camera, "custom_filepath")
            yield Reference(camera, describe(camera), "osl", camera.custom_filepath, assign)
    for text in bpy.data.texts:
        if text.filepath and not text.is_in_memory:
            # Its content is in the .blend as well.
            yield Reference(text, describe(text), "text", text.filepath, None, optional=True)


def _font_setter(font: Any) -> Callable[[str], None]:
    """The path of a font cannot be changed; the font can be replaced."""
    return lambda path: font.user_remap(bpy.data.fonts.load(path))


def node_trees() -> Iterator[tuple[Any, str]]:
    """Every node tree with the description of what holds it."""
    for name in ("materials", "worlds", "lights", "linestyles", "textures", "scenes"):
        for owner in getattr(bpy.data, name, ()):
            # From 5.0 on a scene's compositor is a node group.
            tree = getattr(owner, "node_tree", None)
            if tree is not None:
                yield tree, describe(owner)
    for group in bpy.data.node_groups:
        yield group, describe(group)


def _nodes(tree: Any, label: str) -> Iterator[Reference]:
    for node in tree.nodes:
        inner = f"node '{node.name}' of {label}"
        if node.bl_idname in ("ShaderNodeTexIES", "ShaderNodeScript") and node.mode == "EXTERNAL" and node.filepath:
            kind = "ies" if node.bl_idname == "ShaderNodeTexIES" else "osl"
            yield Reference(tree, inner, kind, node.filepath, _setter(node, "filepath"))
        elif node.bl_idname.startswith("GeometryNodeImport"):
            holder, name = _import_path(node)
            if holder is not None and getattr(holder, name):
                yield Reference(tree, inner, "other", getattr(holder, name), _setter(holder, name))


def _import_path(node: Any) -> tuple[Any | None, str]:
    """What holds the path that a node reads a file from: its socket, or a node of a text that is linked to it."""
    socket = node.inputs.get("Path")
    if socket is None or not socket.is_linked:
        return socket, "default_value"
    source = socket.links[0].from_node
    return (source if source.bl_idname == "FunctionNodeInputString" else None), "string"


def _modifiers(owner: Any) -> Iterator[Reference]:
    for modifier in owner.modifiers:
        label = describe(owner, f"modifier '{modifier.name}'")
        if modifier.type == "MESH_CACHE" and modifier.filepath:
            yield Reference(owner, label, "mesh_cache", modifier.filepath, _setter(modifier, "filepath"))
        elif modifier.type == "OCEAN" and modifier.is_cached and modifier.filepath:
            assign = _setter(modifier, "filepath")
            yield Reference(owner, label, "ocean", modifier.filepath, assign, detail=modifier)
        elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
            domain = modifier.domain_settings
            if domain.cache_directory:
                assign = _setter(domain, "cache_directory")
                yield Reference(owner, label, "fluid_cache", domain.cache_directory, assign)
        elif modifier.type == "NODES":
            yield from _bakes(owner, modifier, label)
    yield from _external(owner, point_caches(owner))


def _external(owner: Any, caches: Iterator[tuple[Any, str]]) -> Iterator[Reference]:
    for cache, label in caches:
        if cache.use_external and cache.filepath:
            yield Reference(owner, label, "point_cache", cache.filepath, _setter(cache, "filepath"))


def _bakes(owner: Any, modifier: Any, label: str) -> Iterator[Reference]:
    directory = getattr(modifier, "bake_directory", "") or getattr(modifier, "simulation_bake_directory", "")
    if directory:
        name = "bake_directory" if hasattr(modifier, "bake_directory") else "simulation_bake_directory"
        yield Reference(owner, label, "nodes_bake", directory, _setter(modifier, name))
    for bake in getattr(modifier, "bakes", ()):
        if bake.use_custom_path and bake.directory:
            yield Reference(owner, label, "nodes_bake", bake.directory, _setter(bake, "directory"))


def point_caches(owner: Any) -> Iterator[tuple[Any, str]]:
    """The point caches of an object's physics, with descriptions."""
    for modifier in owner.modifiers:
        label = describe(owner, f"modifier '{modifier.name}'")
        if modifier.type in ("CLOTH", "SOFT_BODY") and modifier.point_cache is not None:
            yield modifier.point_cache, label
        elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
            for surface in modifier.canvas_settings.canvas_surfaces:
                yield surface.point_cache, label
    for system in owner.particle_systems:
        label = describe(owner, f"particle system '{system.name}'")
        yield system.point_cache, label
        if system.cloth is not None:
            # Of hair that moves.
            yield system.cloth.point_cache, label


def world_caches(scene: Any) -> Iterator[tuple[Any, str]]:
    """The point cache of a scene's rigid bodies."""
    if scene.rigidbody_world is not None and scene.rigidbody_world.point_cache is not None:
        yield scene.rigidbody_world.point_cache, describe(scene, "rigid bodies")


def all_strips(scene: Any) -> list[Any]:
    editor = scene.sequence_editor
    if editor is None:
        return []
    # "Sequences" became "strips" in 4.4.
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def _strips(scene: Any) -> Iterator[Reference]:
    for strip in all_strips(scene):
        label = describe(scene, f"strip '{strip.name}'")
        if strip.type == "IMAGE":
            yield Reference(scene, label, "strip", strip.directory, _setter(strip, "directory"), detail=strip)
        elif strip.type == "MOVIE":
            assign, many = _setter(strip, "filepath"), strip.use_multiview
            yield Reference(scene, label, "movie", strip.filepath, assign, detail=strip, many=many)
