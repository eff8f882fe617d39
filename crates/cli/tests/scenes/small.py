"""Small scenes, one for each thing that a farm can get wrong: OUT/KIND/KIND.blend with all that it uses beside it.

Run as `blender -b --python small.py -- OUT`, or by a Python that has bpy: `python small.py OUT`. Paths in the files are
relative, so that a test can copy a folder to a place of its own.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import bpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../blender/tests/scenes"))
import stage  # noqa: E402

WIDTH, HEIGHT = 64, 36


def base() -> Any:
    """A monkey that turns, with a texture of the folder."""
    scene = stage.new_scene()
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.frame_start, scene.frame_end = 1, 8
    bpy.ops.mesh.primitive_monkey_add()
    monkey = bpy.context.object
    monkey.keyframe_insert("rotation_euler", frame=1)
    monkey.rotation_euler[2] = 3
    monkey.keyframe_insert("rotation_euler", frame=8)
    made = stage.material("Wood")
    monkey.data.materials.append(made)
    image = bpy.data.images.load(stage.write_png(f"{here}/textures/wood.png", (160, 90, 40)))
    image.filepath = "//textures/wood.png"
    stage.texture(made, image)
    return scene


def image_format(scene: Any, name: str, **values: Any) -> None:
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = {"OPEN_EXR_MULTILAYER": "MULTI_LAYER_IMAGE", "FFMPEG": "VIDEO"}.get(name, "IMAGE")
    settings.file_format = name
    for key, value in values.items():
        setattr(settings, key, value)


def layers() -> None:
    """Two view layers with Cryptomatte and other passes in one multilayer EXR."""
    scene = base()
    bpy.ops.mesh.primitive_uv_sphere_add(location=(2, 0, 0))
    bpy.context.object.modifiers.new("Subdivision", "SUBSURF").levels = 2
    scene.view_layers.new("Second")
    for layer in scene.view_layers:
        layer.use_pass_z = layer.use_pass_normal = layer.use_pass_vector = True
        layer.use_pass_cryptomatte_object = layer.use_pass_cryptomatte_material = True
    scene.view_layers["Second"].use_pass_diffuse_color = True
    image_format(scene, "OPEN_EXR_MULTILAYER", color_depth="32", exr_codec="ZIP")
    scene.render.filepath = "//out/layers_####"


def still() -> None:
    """One frame that takes long enough to be divided among workers, with adaptive sampling."""
    scene = base()
    scene.render.resolution_x, scene.render.resolution_y = 320, 180
    scene.cycles.samples = 128
    scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold = 0.02
    for layer in scene.view_layers:
        layer.use_pass_z = layer.use_pass_normal = layer.use_pass_cryptomatte_object = True
    image_format(scene, "OPEN_EXR_MULTILAYER", color_depth="32", exr_codec="ZIP")
    scene.render.filepath = "//out/still_####"


def sampled() -> None:
    """The same with a fixed number of samples, two view layers, more passes, and nodes for compositing and files."""
    still()
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 400, 225
    scene.cycles.samples = 64
    scene.cycles.use_adaptive_sampling = False
    scene.view_layers.new("Second")
    for layer in scene.view_layers:
        layer.use_pass_z = layer.use_pass_object_index = layer.use_pass_cryptomatte_object = True
        layer.use_pass_diffuse_direct = layer.use_pass_glossy_direct = layer.use_pass_mist = True
        layer.aovs.add().name = "glow"
    nodes = bpy.data.materials["Wood"].node_tree.nodes
    glow = nodes.new("ShaderNodeOutputAOV")
    setattr(glow, "aov_name" if hasattr(glow, "aov_name") else "name", "glow")
    glow.inputs["Color"].default_value = 0.2, 0.4, 0.6, 1
    tree, out = stage.compositor(scene)
    layers, file = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(file, "directory"):
        file.format.media_type = "IMAGE"
        file.directory, file.file_name = "//out/nodes/", "n_"
        file.file_output_items.new("RGBA", "one")
    else:
        file.base_path = "//out/nodes/"
        file.file_slots.clear()
        file.file_slots.new("n_one_")
    file.format.file_format = "PNG"
    invert = tree.nodes.new("CompositorNodeInvert")
    tree.links.new(layers.outputs["Image"], invert.inputs["Color"])
    tree.links.new(invert.outputs[0], out.inputs[0])
    tree.links.new(layers.outputs["glow"], file.inputs[0])
    scene.render.filepath = "//out/sampled_####"


def noisy() -> None:
    """A still of which some needs many samples and some needs few."""
    still()
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 128, 72
    # The pattern of more depends, before Blender 4.4, on how many are rendered.
    scene.cycles.samples = 256
    bpy.ops.mesh.primitive_plane_add(size=12, location=(0, 0, -1))
    bpy.ops.object.light_add(type="POINT", location=(-3, 1, 3))
    bpy.context.object.data.energy = 400
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = 0.05, 0.06, 0.1
    scene.render.filepath = "//out/noisy_####"


def plain() -> None:
    """8-bit PNG; a second scene with another engine's settings and a name that needs care."""
    scene = base()
    image_format(scene, "PNG", color_mode="RGB", color_depth="8")
    scene.render.filepath = "//out/shot_###_x"
    other = scene.copy()
    other.name = "Zwei / 2"
    # Nothing uses it, and what nothing uses is not saved.
    other.use_fake_user = True
    other.frame_start, other.frame_end = 3, 4
    other.render.resolution_x = 40
    other.render.filepath = "//two/"


def jpeg() -> None:
    """JPEG, with an extension in the name."""
    scene = base()
    image_format(scene, "JPEG", quality=80)
    scene.render.filepath = "//out/a.jpg"


def tiff() -> None:
    """16-bit TIFF with an alpha channel."""
    scene = base()
    image_format(scene, "TIFF", color_mode="RGBA", color_depth="16")
    scene.render.film_transparent = True
    scene.render.filepath = "//out/"


def film() -> None:
    """A movie."""
    scene = base()
    image_format(scene, "FFMPEG")
    scene.render.ffmpeg.format = "MPEG4"
    scene.render.filepath = "//out/film_"


def sequence() -> None:
    """A scene strip, an image strip, a text strip over them and a sound."""
    scene = base()
    shot = scene.copy()
    shot.name = "Shot"
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_scene("S", shot, 1, 1)
    image = strips.new_image("I", stage.write_png(f"{here}/cards/card.png", (20, 30, 200)), 2, 5)
    image.directory = "//cards/"
    image.frame_final_duration = 4
    image.blend_type, image.blend_alpha = "ALPHA_OVER", 0.5
    length = {"length": 8} if bpy.app.version >= (5, 0, 0) else {"frame_end": 9}
    text = strips.new_effect("T", "TEXT", 3, 1, **length)
    text.text, text.font_size = "Tessera", 12
    text.blend_type = "ALPHA_OVER"
    # bpy 4.2 is built without sound.
    if bpy.app.build_options.audaspace:
        strips.new_sound("A", stage.write_wav(f"{here}/sound/beep.wav"), 4, 1).sound.filepath = "//sound/beep.wav"
    image_format(scene, "PNG", color_mode="RGB", color_depth="8")
    scene.render.filepath = "//out/edit_####"


def cloth() -> None:
    """Cloth that falls on a ball, not baked: each frame depends on those before."""
    scene = base()
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=8, y_subdivisions=8, size=3, location=(0, 0, 1.6))
    bpy.context.object.modifiers.new("Cloth", "CLOTH").settings.quality = 3
    bpy.data.objects["Suzanne"].modifiers.new("Collision", "COLLISION")
    image_format(scene, "PNG", color_mode="RGB", color_depth="16")
    scene.render.filepath = "//out/cloth_"


def drape() -> None:
    """The same, with frames long enough to be killed in."""
    cloth()
    scene = bpy.context.scene
    scene.cycles.samples = 300
    scene.render.filepath = "//out/drape_"


def stamp() -> None:
    """What a frame shows of its file, burnt in; a part of it, at half the size, every second frame."""
    scene = base()
    render = scene.render
    render.use_stamp = True
    for name in ("date", "render_time", "time", "memory", "hostname"):
        if hasattr(render, f"use_stamp_{name}"):
            setattr(render, f"use_stamp_{name}", False)
    for name in ("frame_range", "frame", "camera", "lens", "scene", "marker", "filename", "note", "labels"):
        setattr(render, f"use_stamp_{name}", True)
    scene.timeline_markers.new("Mark", frame=2)
    render.stamp_note_text = "a note"
    render.stamp_font_size = 8
    render.resolution_x, render.resolution_y, render.resolution_percentage = 256, 144, 50
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x = 0.1, 0.9
    render.border_min_y, render.border_max_y = 0.2, 1.0
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 6, 2
    image_format(scene, "PNG", color_mode="RGBA", color_depth="8")
    render.filepath = "//out/stamp_##"


def keep() -> None:
    """Frames that are there are kept; those being rendered are marked."""
    scene = base()
    scene.render.use_overwrite = False
    scene.render.use_placeholder = True
    image_format(scene, "PNG", color_mode="RGB", color_depth="8")
    scene.render.filepath = "//out/keep_"


COUNTER = r"""
import os
import bpy

def note(what):
    def write(scene, *_):
        line = "%s %d\n" % (what, scene.frame_current)
        with open(os.path.join(os.environ["TESSERA_HOME"], "work.txt"), "a") as file:
            file.write(line)
    return write

bpy.app.handlers.render_pre.append(note("begin"))
bpy.app.handlers.render_post.append(note("end"))
"""


def slow() -> None:
    """Frames that last about half a second on one thread, long enough to be killed in. A script of the file counts in
    its worker's home what is begun and ended there, whoever is killed and whatever is heard of it."""
    scene = base()
    scene.cycles.samples = 400
    text = bpy.data.texts.new("count.py")
    text.write(COUNTER)
    text.use_module = True
    image_format(scene, "PNG", color_mode="RGB", color_depth="16")
    scene.render.filepath = "//out/slow_"


KILLER = r"""
import os, signal
import bpy

def fall(scene, *_):
    if %s:
        os.kill(os.getpid(), signal.SIGKILL)

bpy.app.handlers.render_pre.append(fall)
"""


def deadly(when: str, name: str) -> None:
    """A script of the file kills the Blender that renders it, in some cases. Frames last a little."""
    scene = base()
    scene.cycles.samples = 100
    text = bpy.data.texts.new("fall.py")
    text.write(KILLER % when)
    text.use_module = True
    image_format(scene, "PNG", color_mode="RGB", color_depth="8")
    scene.render.filepath = f"//out/{name}_"


def poisoned() -> None:
    """Frame 3 kills every Blender."""
    deadly("scene.frame_current == 3", "poisoned")


def allergic() -> None:
    """Kills the Blenders of a worker that has a file `allergic` in its home."""
    deadly("os.path.exists(os.path.join(os.environ['TESSERA_HOME'], 'allergic'))", "allergic")


CHATTER = r"""
import os, sys
import bpy

def speak(scene, *_):
    frame = scene.frame_current
    os.write(1, b"out %d: \xc3\xa4 \xff\x00 no newline\r\tat the end" % frame)
    os.write(2, (b"err %d " % frame) * 5000 + b"\x1b[31mred")

bpy.app.handlers.render_pre.append(speak)
"""


def chatty() -> None:
    """A script of the file writes bytes that are no text to both streams, as the frame is about to render."""
    scene = base()
    text = bpy.data.texts.new("speak.py")
    text.write(CHATTER)
    text.use_module = True
    image_format(scene, "PNG", color_mode="RGB", color_depth="8")
    scene.render.filepath = "//out/c_"


def lost() -> None:
    """Uses a texture that is not there."""
    scene = base()
    os.remove(os.path.join(stage.OUT, f"{here}/textures/wood.png"))
    scene.render.filepath = "//out/"


def several() -> None:
    """Uses forty textures, each of its own."""
    scene = base()
    monkey = bpy.data.objects["Suzanne"]
    for number in range(40):
        made = stage.material(f"M{number}")
        monkey.data.materials.append(made)
        image = bpy.data.images.load(stage.write_png(f"{here}/textures/t{number:02d}.png", (number, 2, 3)))
        image.filepath = f"//textures/t{number:02d}.png"
        stage.texture(made, image)
    image_format(scene, "PNG", color_mode="RGB", color_depth="8")
    scene.render.filepath = "//out/"


KINDS = [
    layers,
    still,
    sampled,
    noisy,
    plain,
    jpeg,
    tiff,
    film,
    sequence,
    cloth,
    drape,
    stamp,
    keep,
    slow,
    poisoned,
    allergic,
    chatty,
    lost,
    several,
]

for kind in KINDS:
    here = kind.__name__
    kind()
    stage.save(f"{here}/{here}.blend")
