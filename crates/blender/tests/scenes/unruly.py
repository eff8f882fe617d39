"""OUT/unruly.blend, whose own script misbehaves as the frame is about to render: see `BEHAVIOUR`."""

import os
import sys

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

BEHAVIOUR = """
import ctypes, os, sys, threading, time
import bpy

NOISE = bytes(range(256)) * 4096

def misbehave(scene, *_):
    frame = scene.frame_current
    if frame in (1, 2):
        # Bytes that are no text, past every buffer, by every way out.
        sys.stdout.write("begin %d\\n" % frame); sys.stdout.flush()
        os.write(1, b"<<" + NOISE * frame + b">>")
        os.write(2, b"<<" + NOISE * (3 - frame) + b">>")
        ctypes.CDLL(None).printf(b"from C %d\\n", frame)
        sys.stderr.write("end %d" % frame)
    elif frame == 3:
        print("about to fault", file=sys.stderr, flush=True)
        ctypes.string_at(0)
    elif frame == 4:
        os.abort()
    elif frame == 5:
        threading.Event().wait()
    elif frame == 6:
        hoard = bytearray(b"m" * (3 << 30))
        threading.Event().wait()
    elif frame == 7:
        end = time.thread_time() + 2.5
        while time.thread_time() < end: pass
    elif frame == 8:
        os._exit(9)
    elif frame == 9:
        # A child that outlives everything, unless it is killed with the tree.
        import subprocess
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        open(bpy.path.abspath("//child"), "w").write(str(child.pid))
        threading.Event().wait()
    elif frame == 10:
        open(bpy.path.abspath("//burning"), "w").close()
        while True: pass

bpy.app.handlers.render_pre.append(misbehave)
"""

scene = stage.new_scene()
bpy.ops.mesh.primitive_cube_add()
text = bpy.data.texts.new("misbehave.py")
text.write(BEHAVIOUR)
text.use_module = True
scene.frame_end = 20
stage.save("unruly.blend")
