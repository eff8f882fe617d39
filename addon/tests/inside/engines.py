"""Which engine a scene has here, and which in the file that is sent; which panels are shown."""

import bpy
from tessera import engine, scene_file

scenes = bpy.data.scenes
for scene in scenes:
    scene.render.engine = "TESSERA"
print("IN MEMORY", *(scene.render.engine for scene in scenes), "kept", scenes[0].tessera.engine)
file = scene_file.take("MEMORY", bpy.context.scene)
with bpy.data.libraries.load(str(file.path)) as (there, here):
    here.scenes = there.scenes
print("IN THE COPY", *(scene.render.engine for scene in here.scenes))
file.remove()
cycles = bpy.types.CYCLES_RENDER_PT_sampling
engine.show_panels_of("CYCLES")
shown = "TESSERA" in cycles.COMPAT_ENGINES
engine.show_panels_of("BLENDER_EEVEE")
print("PANELS", shown, "TESSERA" in cycles.COMPAT_ENGINES)
