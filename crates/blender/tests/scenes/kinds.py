"""OUT/KIND.blend for each kind of animation whose data Blender may keep from frame to frame: see the functions.

Arguments OUT [KIND...]; without kinds, all. Each animates something over the frames 1 to 3 of a scene with a monkey.
"""

import math
import os
import sys
from collections.abc import Callable
from typing import Any

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

KINDS: dict[str, Callable[["Set"], None]] = {}


def kind(function: Callable[["Set"], None]) -> Callable[["Set"], None]:
    KINDS[function.__name__] = function
    return function


class Set:
    """The scene, the monkey and its material."""

    def __init__(self) -> None:
        self.scene = stage.new_scene()
        world = bpy.data.worlds.new("World")
        self.scene.world = world
        world.use_nodes = True
        bpy.ops.mesh.primitive_plane_add(size=20)
        bpy.ops.mesh.primitive_monkey_add(location=(0, 0, 1))
        self.monkey = bpy.context.object
        self.material = stage.material("Material")
        self.monkey.data.materials.append(self.material)
        layer = self.scene.view_layers[0]
        layer.use_pass_z = layer.use_pass_normal = layer.use_pass_vector = True
        layer.use_pass_cryptomatte_object = True

    @property
    def shader(self) -> Any:
        return self.material.node_tree.nodes["Principled BSDF"]


def animate(owner: Any, name: str, first: Any, last: Any, index: int = -1) -> None:
    """From one value in frame 1 to another in frame 3."""
    for frame, value in ((1, first), (3, last)):
        if index >= 0:
            getattr(owner, name)[index] = value
        else:
            setattr(owner, name, value)
        owner.keyframe_insert(name, frame=frame, index=index)


# What moves


@kind
def camera(it: Set) -> None:
    animate(it.scene.camera, "location", 6.0, 5.0, 0)


@kind
def lens(it: Set) -> None:
    animate(it.scene.camera.data, "lens", 50.0, 35.0)


@kind
def depth_of_field(it: Set) -> None:
    it.scene.camera.data.dof.use_dof = True
    animate(it.scene.camera.data.dof, "focus_distance", 3.0, 8.0)


@kind
def camera_switch(it: Set) -> None:
    first = it.scene.camera
    angle = math.radians(-45)
    bpy.ops.object.camera_add(location=(-6, -6, 4), rotation=(math.radians(63), 0, angle))
    second = bpy.context.object
    it.scene.timeline_markers.new("a", frame=1).camera = first
    it.scene.timeline_markers.new("b", frame=2).camera = second


@kind
def object_move(it: Set) -> None:
    animate(it.monkey, "location", 0.0, 1.0, 0)


@kind
def parent(it: Set) -> None:
    empty = bpy.data.objects.new("Empty", None)
    it.scene.collection.objects.link(empty)
    it.monkey.parent = empty
    animate(empty, "rotation_euler", 0.0, 1.0, 2)


@kind
def motion_blur(it: Set) -> None:
    it.scene.render.use_motion_blur = True
    it.scene.view_layers[0].use_pass_vector = False
    animate(it.monkey, "location", 0.0, 2.0, 0)


@kind
def driver(it: Set) -> None:
    it.monkey.driver_add("location", 2).driver.expression = "frame * 0.2"


# What deforms


@kind
def armature(it: Set) -> None:
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    it.monkey.modifiers.new("Armature", "ARMATURE").object = rig
    it.monkey.vertex_groups.new(name="Bone").add(range(len(it.monkey.data.vertices)), 1, "REPLACE")
    bone = rig.pose.bones[0]
    bone.rotation_mode = "XYZ"
    animate(bone, "rotation_euler", 0.0, 0.8, 0)


@kind
def shape_key(it: Set) -> None:
    it.monkey.shape_key_add(name="Basis")
    key = it.monkey.shape_key_add(name="Key")
    for point in key.data:
        point.co *= 1.4
    animate(key, "value", 0.0, 1.0)


@kind
def wave(it: Set) -> None:
    modifier = it.monkey.modifiers.new("Wave", "WAVE")
    modifier.height = 0.5
    modifier.time_offset = -10


@kind
def subdivision(it: Set) -> None:
    it.monkey.modifiers.new("Subdivision", "SUBSURF").render_levels = 1
    animate(it.monkey, "location", 0.0, 0.5, 2)


@kind
def subdivision_level(it: Set) -> None:
    animate(it.monkey.modifiers.new("Subdivision", "SUBSURF"), "render_levels", 0, 2)


@kind
def ocean(it: Set) -> None:
    modifier = it.monkey.modifiers.new("Ocean", "OCEAN")
    modifier.resolution = 4
    animate(modifier, "time", 0.0, 3.0)


@kind
def build(it: Set) -> None:
    modifier = it.monkey.modifiers.new("Build", "BUILD")
    modifier.frame_start = 0
    modifier.frame_duration = 5


@kind
def lattice(it: Set) -> None:
    cage = bpy.data.objects.new("Lattice", bpy.data.lattices.new("Lattice"))
    it.scene.collection.objects.link(cage)
    it.monkey.modifiers.new("Lattice", "LATTICE").object = cage
    animate(cage, "scale", 1.0, 2.0, 2)


@kind
def displace(it: Set) -> None:
    texture = bpy.data.textures.new("Clouds", "CLOUDS")
    modifier = it.monkey.modifiers.new("Displace", "DISPLACE")
    modifier.texture = texture
    animate(modifier, "strength", 0.0, 0.5)


# What is made


@kind
def instances(it: Set) -> None:
    collection = bpy.data.collections.new("Instanced")
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    it.scene.collection.objects.unlink(cube)
    collection.objects.link(cube)
    empty = bpy.data.objects.new("Instance", None)
    empty.instance_type = "COLLECTION"
    empty.instance_collection = collection
    empty.location = (2, 0, 1)
    it.scene.collection.objects.link(empty)
    animate(cube, "rotation_euler", 0.0, 1.0, 2)


@kind
def text(_it: Set) -> None:
    bpy.ops.object.text_add(location=(-1, -1, 1))
    animate(bpy.context.object.data, "extrude", 0.0, 0.5)


@kind
def curve(_it: Set) -> None:
    bpy.ops.curve.primitive_bezier_circle_add(radius=2)
    bpy.context.object.data.bevel_depth = 0.2
    animate(bpy.context.object.data, "bevel_factor_end", 0.2, 1.0)


@kind
def metaball(_it: Set) -> None:
    for x in (-1, 1):
        bpy.ops.object.metaball_add(location=(x, -2, 1))
    animate(bpy.context.object, "location", 1.0, 0.0, 0)


@kind
def hair_curves(it: Set) -> None:
    curves = bpy.data.hair_curves.new("Curves")
    owner = bpy.data.objects.new("Curves", curves)
    it.scene.collection.objects.link(owner)
    if hasattr(curves, "add_curves"):
        curves.add_curves([4] * 20)
        for index, point in enumerate(curves.points):
            point.position = (index // 4 * 0.1 - 1, -1.5, index % 4 * 0.5)
            point.radius = 0.02
    animate(owner, "location", 0.0, 1.0, 0)


@kind
def particle_hair(it: Set) -> None:
    it.monkey.modifiers.new("Hair", "PARTICLE_SYSTEM")
    settings = it.monkey.particle_systems[0].settings
    settings.type = "HAIR"
    settings.count = 100
    settings.hair_length = 0.5
    animate(it.monkey, "location", 0.0, 0.5, 0)


@kind
def particles(it: Set) -> None:
    it.monkey.modifiers.new("Particles", "PARTICLE_SYSTEM")
    settings = it.monkey.particle_systems[0].settings
    settings.count = 50
    settings.frame_start, settings.frame_end = -5, 3
    bpy.ops.mesh.primitive_ico_sphere_add(radius=0.1, location=(50, 0, 0))
    settings.render_type = "OBJECT"
    settings.instance_object = bpy.context.object
    settings.particle_size = 1


@kind
def cloth(it: Set) -> None:
    it.monkey.modifiers.new("Cloth", "CLOTH")


@kind
def soft_body(it: Set) -> None:
    it.monkey.modifiers.new("Soft", "SOFT_BODY")


@kind
def rigid_body(it: Set) -> None:
    with bpy.context.temp_override(object=it.monkey, selected_objects=[it.monkey]):
        bpy.context.view_layer.objects.active = it.monkey
        bpy.ops.rigidbody.object_add()


@kind
def dynamic_paint(it: Set) -> None:
    it.monkey.modifiers.new("Paint", "DYNAMIC_PAINT").ui_type = "CANVAS"
    bpy.context.view_layer.objects.active = it.monkey
    bpy.ops.dpaint.type_toggle(type="CANVAS")


def geometry_tree(it: Set) -> Any:
    """Nodes that lift the monkey with time; returns the tree, the lifting node and the group's output."""
    tree = bpy.data.node_groups.new("Geometry", "GeometryNodeTree")
    if hasattr(tree, "interface"):
        for direction in ("INPUT", "OUTPUT"):
            tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    else:
        tree.inputs.new("NodeSocketGeometry", "Geometry")
        tree.outputs.new("NodeSocketGeometry", "Geometry")
    source = tree.nodes.new("NodeGroupInput")
    target = tree.nodes.new("NodeGroupOutput")
    lift = tree.nodes.new("GeometryNodeSetPosition")
    clock = tree.nodes.new("GeometryNodeInputSceneTime")
    vector = tree.nodes.new("ShaderNodeCombineXYZ")
    tree.links.new(source.outputs[0], lift.inputs["Geometry"])
    tree.links.new(clock.outputs["Seconds"], vector.inputs[2])
    tree.links.new(vector.outputs[0], lift.inputs["Offset"])
    tree.links.new(lift.outputs[0], target.inputs[0])
    it.monkey.modifiers.new("Nodes", "NODES").node_group = tree
    return tree, lift, target, clock


@kind
def geometry_nodes(it: Set) -> None:
    geometry_tree(it)


@kind
def geometry_instances(it: Set) -> None:
    tree, lift, target, clock = geometry_tree(it)
    scatter = tree.nodes.new("GeometryNodeDistributePointsOnFaces")
    instance = tree.nodes.new("GeometryNodeInstanceOnPoints")
    cube = tree.nodes.new("GeometryNodeMeshCube")
    cube.inputs[0].default_value = (0.1, 0.1, 0.1)
    density = tree.nodes.new("ShaderNodeMath")
    density.operation = "MULTIPLY"
    density.inputs[1].default_value = 5
    tree.links.new(clock.outputs["Frame"], density.inputs[0])
    tree.links.new(density.outputs[0], scatter.inputs["Density"])
    tree.links.new(lift.outputs[0], scatter.inputs[0])
    tree.links.new(scatter.outputs[0], instance.inputs["Points"])
    tree.links.new(cube.outputs[0], instance.inputs["Instance"])
    tree.links.new(instance.outputs[0], target.inputs[0])


def generated(it: Set) -> None:
    """Instances of a cube that nodes make in another size for each frame."""
    tree, lift, target, clock = geometry_tree(it)
    scatter = tree.nodes.new("GeometryNodeDistributePointsOnFaces")
    scatter.inputs["Density"].default_value = 5
    instance = tree.nodes.new("GeometryNodeInstanceOnPoints")
    cube = tree.nodes.new("GeometryNodeMeshCube")
    size = tree.nodes.new("ShaderNodeMath")
    size.operation = "MULTIPLY"
    size.inputs[1].default_value = 0.1
    tree.links.new(clock.outputs["Frame"], size.inputs[0])
    tree.links.new(size.outputs[0], cube.inputs[0])
    tree.links.new(lift.outputs[0], scatter.inputs[0])
    tree.links.new(scatter.outputs[0], instance.inputs["Points"])
    tree.links.new(cube.outputs[0], instance.inputs["Instance"])
    tree.links.new(instance.outputs[0], target.inputs[0])


@kind
def generated_with_vectors(it: Set) -> None:
    generated(it)


@kind
def generated_without_motion(it: Set) -> None:
    it.scene.view_layers[0].use_pass_vector = False
    generated(it)
    text(it)


@kind
def generated_with_blur(it: Set) -> None:
    it.scene.view_layers[0].use_pass_vector = False
    it.scene.render.use_motion_blur = True
    generated(it)


@kind
def simulation_zone(it: Set) -> None:
    """Nodes that keep a state, which came with 3.6; before, the nodes without."""
    tree, lift, target, _clock = geometry_tree(it)
    if not hasattr(bpy.types, "GeometryNodeSimulationInput"):
        return
    begin = tree.nodes.new("GeometryNodeSimulationInput")
    end = tree.nodes.new("GeometryNodeSimulationOutput")
    begin.pair_with_output(end)
    source = next(node for node in tree.nodes if node.type == "GROUP_INPUT")
    tree.links.new(source.outputs[0], begin.inputs["Geometry"])
    tree.links.new(begin.outputs["Geometry"], lift.inputs["Geometry"])
    tree.links.new(lift.outputs[0], end.inputs["Geometry"])
    tree.links.new(end.outputs["Geometry"], target.inputs[0])


# What it looks like


@kind
def material(it: Set) -> None:
    animate(it.shader.inputs["Roughness"], "default_value", 0.0, 1.0)
    animate(it.shader.inputs["Base Color"], "default_value", 0.0, 1.0, 0)


@kind
def image_sequence(it: Set) -> None:
    for frame in (1, 2, 3):
        stage.write_png(f"tex_{frame:04d}.png", (80 * frame, 30, 200 - 60 * frame))
    image = bpy.data.images.load(os.path.join(stage.OUT, "tex_0001.png"))
    image.source = "SEQUENCE"
    user = stage.texture(it.material, image).image_user
    user.frame_duration = 3
    user.frame_start = 1
    user.use_auto_refresh = True


@kind
def volume(it: Set) -> None:
    nodes, links = it.material.node_tree.nodes, it.material.node_tree.links
    shader = nodes.new("ShaderNodeVolumePrincipled")
    target = next(node for node in nodes if node.type == "OUTPUT_MATERIAL")
    links.remove(target.inputs["Surface"].links[0])
    links.new(shader.outputs[0], target.inputs["Volume"])
    animate(shader.inputs["Density"], "default_value", 0.2, 3.0)


@kind
def bump(it: Set) -> None:
    nodes, links = it.material.node_tree.nodes, it.material.node_tree.links
    noise, node = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeBump")
    noise.noise_dimensions = "4D"
    links.new(noise.outputs[0], node.inputs["Height"])
    links.new(node.outputs[0], it.shader.inputs["Normal"])
    animate(noise.inputs["W"], "default_value", 0.0, 5.0)


@kind
def displacement(it: Set) -> None:
    nodes, links = it.material.node_tree.nodes, it.material.node_tree.links
    noise, node = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeDisplacement")
    links.new(noise.outputs[0], node.inputs["Height"])
    links.new(node.outputs[0], next(n for n in nodes if n.type == "OUTPUT_MATERIAL").inputs["Displacement"])
    owner = it.material if hasattr(it.material, "displacement_method") else it.material.cycles
    owner.displacement_method = "DISPLACEMENT"
    animate(node.inputs["Scale"], "default_value", 0.0, 0.4)


@kind
def object_colour(it: Set) -> None:
    nodes, links = it.material.node_tree.nodes, it.material.node_tree.links
    info = nodes.new("ShaderNodeObjectInfo")
    links.new(info.outputs["Color"], it.shader.inputs["Base Color"])
    animate(it.monkey, "color", 0.0, 1.0, 0)


@kind
def light_power(_it: Set) -> None:
    animate(bpy.data.lights[0], "energy", 100.0, 600.0)


@kind
def light_move(it: Set) -> None:
    animate(next(owner for owner in it.scene.objects if owner.type == "LIGHT"), "location", 2.0, -3.0, 0)


@kind
def world(it: Set) -> None:
    animate(it.scene.world.node_tree.nodes["Background"].inputs[1], "default_value", 0.0, 2.0)


@kind
def sky(it: Set) -> None:
    nodes, links = it.scene.world.node_tree.nodes, it.scene.world.node_tree.links
    texture = nodes.new("ShaderNodeTexSky")
    texture.sky_type = "HOSEK_WILKIE" if bpy.app.version < (5, 0, 0) else "SINGLE_SCATTERING"
    links.new(texture.outputs[0], nodes["Background"].inputs[0])
    if bpy.app.version < (5, 0, 0):
        animate(texture, "turbidity", 2.0, 8.0)
    else:
        animate(texture, "sun_elevation", 0.1, 1.0)


@kind
def hidden(_it: Set) -> None:
    bpy.ops.mesh.primitive_cube_add(location=(1.5, 0, 1))
    cube = bpy.context.object
    for frame, value in ((1, True), (2, False)):
        cube.hide_render = value
        cube.keyframe_insert("hide_render", frame=frame)


@kind
def camera_visibility(it: Set) -> None:
    for frame, value in ((1, True), (2, False)):
        it.monkey.visible_camera = value
        it.monkey.keyframe_insert("visible_camera", frame=frame)


@kind
def holdout(it: Set) -> None:
    it.scene.render.film_transparent = True
    for frame, value in ((1, True), (2, False)):
        it.monkey.is_holdout = value
        it.monkey.keyframe_insert("is_holdout", frame=frame)


# What makes the picture


@kind
def view_layers(it: Set) -> None:
    it.scene.view_layers.new("Two")
    animate(it.monkey, "location", 0.0, 1.0, 0)


@kind
def stereo(it: Set) -> None:
    it.scene.render.use_multiview = True
    animate(it.monkey, "location", 0.0, 1.0, 0)


@kind
def exposure(it: Set) -> None:
    animate(it.scene.view_settings, "exposure", 0.0, 2.0)
    animate(it.scene.cycles, "film_exposure", 1.0, 2.0)


@kind
def seed(it: Set) -> None:
    animate(it.scene.cycles, "seed", 0, 7)


@kind
def samples(it: Set) -> None:
    animate(it.scene.cycles, "samples", 1, 5)


@kind
def compositor(it: Set) -> None:
    animate(it.monkey, "location", 0.0, 1.0, 0)
    tree, target = stage.compositor(it.scene)
    layers, invert = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeInvert")
    tree.links.new(layers.outputs["Image"], invert.inputs["Color"])
    tree.links.new(invert.outputs[0], target.inputs[0])
    animate(invert.inputs["Fac" if "Fac" in invert.inputs else "Factor"], "default_value", 0.0, 1.0)


@kind
def adaptive(it: Set) -> None:
    it.scene.cycles.use_adaptive_sampling = True
    it.scene.cycles.samples = 32
    animate(it.monkey, "location", 0.0, 1.0, 0)


for name in stage.ARGUMENTS[1:] or KINDS:
    it = Set()
    KINDS[name](it)
    stage.save(f"{name}.blend")
