"""What in a scene makes a frame depend on the frames before it, or makes kept data inexact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import bpy

from . import paths

Note = dict[str, str]
"""A datablock and what is the matter with it."""

GENERATED_IS_STALE = bpy.app.version < (4, 2, 0)
"""Cycles of 3.4 knows geometry by its address in memory. What nodes, curves and texts make for a moment of a frame is
freed after it, and what the next moment makes may lie in its place and be taken for it. 4.2 and 5.0 are exact; between
them and 3.4 nothing was measured."""


def objects_of(scene: Any) -> list[Any]:
    """All objects that rendering the scene may evaluate: its own, those of instanced collections, of its background
    set, and of scenes that its compositor or sequencer shows."""
    found: dict[Any, None] = {}
    seen: set[Any] = set()
    pending = [scene]
    while pending:
        holder = pending.pop()
        if holder is None or holder in seen:
            continue
        seen.add(holder)
        if isinstance(holder, bpy.types.Scene):
            pending.append(holder.background_set)
            pending.extend(_shown_scenes(holder))
            holder = holder.collection
        for owner in holder.all_objects:
            found[owner] = None
            if owner.instance_type == "COLLECTION":
                pending.append(owner.instance_collection)
            pending.extend(_node_collections(owner))
    return list(found)


def _shown_scenes(scene: Any) -> Iterator[Any]:
    for strip in paths.all_strips(scene):
        if strip.type == "SCENE":
            yield strip.scene
    tree = compositor_tree(scene)
    if tree is not None:
        for node in tree.nodes:
            if node.bl_idname == "CompositorNodeRLayers":
                yield node.scene


def _node_collections(owner: Any) -> Iterator[Any]:
    """Collections that geometry nodes bring in."""
    for modifier in owner.modifiers:
        if modifier.type == "NODES" and modifier.node_group is not None:
            for tree in trees_below(modifier.node_group):
                for node in tree.nodes:
                    for socket in node.inputs:
                        if socket.type == "COLLECTION" and socket.default_value is not None:
                            yield socket.default_value
            for key in modifier.keys():
                if isinstance(modifier[key], bpy.types.Collection):
                    yield modifier[key]


def compositor_tree(scene: Any) -> Any | None:
    """The compositor's nodes if the scene uses them; since 5.0 they are a node group of their own."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def trees_below(tree: Any) -> Iterator[Any]:
    """A node tree and the groups in it, each once."""
    seen: set[Any] = set()
    pending = [tree]
    while pending:
        tree = pending.pop()
        if tree is None or tree in seen:
            continue
        seen.add(tree)
        yield tree
        pending.extend(getattr(node, "node_tree", None) for node in tree.nodes)


def order_dependent(scene: Any, objects: list[Any]) -> list[Note]:
    """Unbaked simulations: each of their frames is computed from the one before."""
    notes = []
    for owner in objects:
        notes += [{"datablock": label, "text": text} for label, text in _simulations(owner)]
    world = scene.rigidbody_world
    if world is not None and world.enabled and world.collection is not None and len(world.collection.objects) > 0:
        if not _is_baked(world.point_cache):
            label = paths.describe(scene)
            notes.append({"datablock": label, "text": "its rigid bodies are simulated and not baked"})
    return notes


def _simulations(owner: Any) -> Iterator[tuple[str, str]]:
    for modifier in owner.modifiers:
        if not modifier.show_render:
            continue
        label = paths.describe(owner, f"modifier '{modifier.name}'")
        if modifier.type == "CLOTH" and not _is_baked(modifier.point_cache):
            yield label, "cloth is simulated and not baked"
        elif modifier.type == "SOFT_BODY" and not _is_baked(modifier.point_cache):
            yield label, "a soft body is simulated and not baked"
        elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
            for surface in modifier.canvas_settings.canvas_surfaces:
                # Image sequences are written by a bake and read as images.
                if surface.is_active and surface.surface_format == "VERTEX" and not _is_baked(surface.point_cache):
                    yield label, "dynamic paint is simulated and not baked"
        elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
            domain = modifier.domain_settings
            if domain.cache_type == "REPLAY" or not domain.has_cache_baked_data:
                yield label, "a fluid is simulated and not baked"
        elif modifier.type == "NODES" and modifier.node_group is not None and _simulates(modifier):
            yield label, "geometry nodes simulate, and are not baked"
        elif modifier.type == "PARTICLE_SYSTEM":
            yield from _particles(owner, modifier.particle_system)


def _particles(owner: Any, system: Any) -> Iterator[tuple[str, str]]:
    label = paths.describe(owner, f"particle system '{system.name}'")
    if system.settings.type == "HAIR":
        if system.use_hair_dynamics and system.cloth is not None and not _is_baked(system.cloth.point_cache):
            yield label, "hair dynamics are simulated and not baked"
    elif not _is_baked(system.point_cache):
        yield label, "particles are simulated and not baked"


def _is_baked(cache: Any) -> bool:
    return cache is not None and (cache.is_baked or cache.use_external)


def _simulates(modifier: Any) -> bool:
    zones = [
        node
        for tree in trees_below(modifier.node_group)
        for node in tree.nodes
        if node.bl_idname == "GeometryNodeSimulationOutput" and not node.mute
    ]
    return bool(zones) and not _nodes_are_baked(modifier)


def _nodes_are_baked(modifier: Any) -> bool:
    """Baked on disk: the folder of each bake has data. Bakes packed in the .blend cannot be seen from here."""
    bakes = list(getattr(modifier, "bakes", ()))
    folder = getattr(modifier, "bake_directory", "") or getattr(modifier, "simulation_bake_directory", "")
    owner = modifier.id_data
    if not bakes:
        return bool(folder) and _has_files(paths.absolute(folder, owner))
    for bake in bakes:
        place = bake.directory if bake.use_custom_path else os.path.join(folder, str(bake.bake_id)) if folder else ""
        if not place or not _has_files(paths.absolute(place, owner)):
            return False
    return True


def _has_files(folder: str) -> bool:
    return any(names for _folder, _folders, names in os.walk(folder))


def no_persistent_data(scene: Any, objects: list[Any]) -> list[Note]:
    """Why rendering with data kept from the frame before would not be bit-identical to rendering afresh. Whatever is
    not named here is held identical by a test for each kind, in every version."""
    notes = []
    if scene.render.engine != "CYCLES":
        text = f"keeping data between frames is proven exact for Cycles only, and the engine is {scene.render.engine}"
        notes.append({"datablock": paths.describe(scene), "text": text})
    for note in order_dependent(scene, objects):
        notes.append({**note, "text": f"{note['text']}, and what is simulated is not proven to stay the same"})
    for owner in objects:
        for system in owner.particle_systems:
            if system.settings.type == "HAIR":
                label = paths.describe(owner, f"particle system '{system.name}'")
                notes.append({"datablock": label, "text": "particle hair is not rebuilt exactly"})
        if GENERATED_IS_STALE and _has_motion(scene) and _is_generated(owner):
            text = "before Blender 4.2, motion blur or vectors of geometry that is made for each frame may be stale"
            notes.append({"datablock": paths.describe(owner), "text": text})
    return notes


def _has_motion(scene: Any) -> bool:
    return scene.render.use_motion_blur or any(layer.use_pass_vector for layer in scene.view_layers)


def _is_generated(owner: Any) -> bool:
    makes = any(modifier.type == "NODES" and modifier.node_group is not None for modifier in owner.modifiers)
    return makes or owner.type in ("CURVE", "FONT", "SURFACE", "META")
