"""When the panels are drawn, with a clock of the test's own."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from stand import HERE, Home


class Drawing(unittest.TestCase):
    def test_panels_are_drawn_as_often_as_the_window_can_bear(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="tessera-drawing-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        home = Home(folder)
        home.install_addon()
        said = home.blender("-b", "--python-exit-code", 1, "--python", HERE / "inside/drawing_times.py")
        found = next(line for line in said.splitlines() if line.startswith("DRAWN"))
        drawn = json.loads(found.removeprefix("DRAWN"))
        # Asked for all the time, for ten seconds: at a cost of 1 ms no more than five times a second, of 10 ms about
        # every second, and of 150 ms every two seconds.
        self.assertIn(drawn["cheap"], range(35, 51))
        self.assertIn(drawn["middling"], range(8, 11))
        self.assertIn(drawn["dear"], range(4, 6))
        # Asked for twice in one go: once, with what is to be done before it once. Not asked for: not at all.
        self.assertEqual(drawn["asked"], [1, 1])
        self.assertEqual(drawn["quiet"], 0)
