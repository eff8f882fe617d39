"""Enables the add-on, as its box in the preferences does."""

import addon_utils
import bpy


def failed(error: Exception) -> None:
    raise error


if addon_utils.enable("tessera", default_set=True, handle_error=failed):
    bpy.ops.wm.save_userpref()
    print("ENABLED")
