# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the program is and which farm it speaks to, for all files of this user."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty

from . import program


def _changed(_self: "TesseraPreferences", _context: bpy.types.Context) -> None:
    from .farm import farm

    farm.restart()


class TesseraPreferences(bpy.types.AddonPreferences):
    """Preferences of the add-on."""

    bl_idname = __package__

    program: StringProperty(
        name="Program",
        description="Where the program 'tessera' is; empty if it is installed where programs usually are",
        subtype="FILE_PATH",
        update=_changed,
    )
    farm: StringProperty(
        name="Farm",
        description="Name of the farm, if you are connected to several; empty for the first",
        update=_changed,
    )
    worker_nice: BoolProperty(
        name="Stand Back",
        description="The worker on this computer leaves the processor to other programs that want it",
        default=True,
    )
    worker_threads: IntProperty(
        name="Threads",
        description="Processor threads of the worker on this computer; 0 for all",
        default=0,
        min=0,
        max=1024,
    )

    worker_idle_minutes: IntProperty(
        name="Only While I Am Away",
        description="The worker on this computer renders once keyboard and mouse were left alone for so many minutes, "
        "and stops when you come back; 0: it always renders",
        default=0,
        min=0,
        max=24 * 60,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "program")
        row = layout.row()
        try:
            row.label(text=f"Uses {program.find(self.program)}", icon="CHECKMARK")
        except program.ProgramMissingError as error:
            row.alert = True
            row.label(text=str(error), icon="ERROR")
        layout.prop(self, "farm")
        layout.separator()
        layout.label(text="When this computer renders for a farm:")
        layout.prop(self, "worker_nice")
        layout.prop(self, "worker_threads")
        layout.prop(self, "worker_idle_minutes")


def get() -> TesseraPreferences | None:
    """The preferences; none where the add-on was registered without being enabled."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def find_program() -> Path:
    """The program as the preferences say."""
    known = get()
    return program.find(known.program if known else "")


def farm_arguments() -> list[str]:
    """Which farm, for commands that speak to one."""
    known = get()
    name = known.farm.strip() if known else ""
    return ["--farm", name] if name else []


def start(*arguments: str, farm: bool = True) -> program.Child:
    """Starts a command; with `farm` one that speaks to the farm."""
    return program.Child(find_program(), [*arguments, *(farm_arguments() if farm else [])])


def register() -> None:
    bpy.utils.register_class(TesseraPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(TesseraPreferences)
