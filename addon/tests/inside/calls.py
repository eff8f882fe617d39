"""Calls operators one after the other and says how each ended: lines of Python behind `--`, `ops` our operators."""

import sys
import time  # noqa: F401  # For the lines.

import bpy
from tessera import farm, local, scene_file, state_folder, works  # noqa: F401  # For the lines.

ops = bpy.ops.tessera
scene = bpy.context.scene
for line in sys.argv[sys.argv.index("--") + 1 :]:
    try:
        exec(line)
    except RuntimeError as error:
        print("REFUSED", str(error).strip())
print("THROUGH", *(f"[{work.title}: {work.message}]" for work in works.works))
