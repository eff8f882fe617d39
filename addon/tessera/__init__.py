# SPDX-License-Identifier: GPL-3.0-or-later
"""Tessera in Blender: press render, and every machine on the network helps.

A thin face over the program `tessera`, which does all that takes time in processes of its own:

- `program`, `main_thread`: running it, and hearing what it says without ever blocking Blender's window.
- `farm`: the farm as known here; `works`: what is under way; `local`: a manager and a worker on this computer.
- `scene_file`: the file that is sent; `settings`: what a user can say about a job.
- `engine`, with `exr`: F12 and Ctrl-F12 on the farm; `operators`, `panels`, `show`, `preferences`: what is seen;
  `drawing`: when.

One source is an add-on for Blender 3.4 to 4.1 (`bl_info`) and an extension for 4.2 and later (`blender_manifest.toml`).
"""

import atexit

from . import (
    drawing,
    engine,
    farm,
    main_thread,
    operators,
    panels,
    preferences,
    program,
    scene_file,
    settings,
    show,
    works,
)

bl_info = {
    "name": "Tessera",
    "description": "Press render, and every machine on the network helps",
    "author": "The Tessera authors",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "Properties > Render, and 3D View > Sidebar > Tessera",
    "category": "Render",
    "support": "COMMUNITY",
}

MODULES = (preferences, settings, scene_file, farm, works, show, operators, panels, engine, drawing)


def register() -> None:
    for module in MODULES:
        module.register()
    main_thread.start()
    atexit.register(program.end_all)


def unregister() -> None:
    atexit.unregister(program.end_all)
    main_thread.stop()
    for module in reversed(MODULES):
        module.unregister()
