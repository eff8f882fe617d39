"""The end of a Python that has bpy."""

import os
import sys

import bpy


def end() -> None:
    """Called last. bpy 4.2 crashes when Python ends, once a property with a function was registered, whosever it is."""
    if bpy.app.version[:2] == (4, 2):
        sys.stdout.flush()
        os._exit(0)
