"""The add-on in Blender's own window, under Xvfb, with real keys."""

import hashlib
import shutil
from concurrent import futures
from pathlib import Path

import lateness
from stand import FarmTest, files_in, render_locally, until


class Window(FarmTest):
    def setUp(self) -> None:
        super().setUp()
        for name in ("xvfb-run", "xdotool"):
            self.assertTrue(shutil.which(name), f"there is no {name}: run scripts/setup test")

    def window(self, name: str, blend: Path, *arguments: object) -> str:
        """Runs a script of `inside` in Blender's window and gives what it said."""
        return self.farm.user.window(name, blend, *arguments)

    def test_f12_gives_what_the_scenes_own_engine_gives(self) -> None:
        blend = self.scene("layers")
        for engine in ("TESSERA", "CYCLES"):
            said = self.window("f12", blend, self.folder / engine / "frame.exr", engine, "F12")
            self.assertIn("OVER ['complete']", said)
            self.assertIn(f"STATE False {engine} OPEN_EXR_MULTILAYER", said)
        self.assert_identical(self.folder / "TESSERA", self.folder / "CYCLES", 1)

    def test_f12_grows_while_workers_render_parts_of_the_frame(self) -> None:
        blend = self.scene("plain")
        before = len(self.farm.jobs())
        paused, seen = self.folder / "paused", self.folder / "seen"
        with futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.window, "grows", blend, paused, seen)
            until(lambda: waiting.done() or (len(self.farm.jobs()) > before and self.farm.jobs()[0]["places_done"] > 2))
            self.assertFalse(waiting.done() and waiting.result())
            number = self.farm.jobs()[0]["id"]
            self.farm.user.tessera("job", "pause", number)
            until(lambda: self.farm.job(number)["leased"] == 0)
            job = self.farm.job(number)
            self.assertEqual(job["places"], 24)
            paused.with_suffix(".new").write_text(str(job["places_done"] / job["places"]))
            paused.with_suffix(".new").rename(paused)
            until(lambda: seen.exists() or waiting.done())
            self.farm.user.tessera("job", "resume", number)
            said = waiting.result()
        self.assertIn("OVER ['complete']", said)
        self.assertIn("GROWN True True True", said)

    def test_ctrl_f12_gives_all_frames_though_the_manager_is_killed(self) -> None:
        blend = self.scene("slow")
        before = len(self.farm.jobs())
        with futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.window, "f12", blend, self.folder / "x.png", "TESSERA", "animation")
            until(lambda: len(self.farm.jobs()) > before)
            self.farm.kill_manager()
            self.farm.restart_manager()
            said = waiting.result()
        self.assertIn("OVER ['complete']", said)
        (blend.parent / "out").rename(self.folder / "farm")
        render_locally(blend, Path("//out/slow_"), 1, 8)
        self.assert_identical(self.folder / "farm", blend.parent / "out", 8)

    def test_an_unsaved_edit_renders_and_leaves_no_trace(self) -> None:
        blend = self.scene("plain")
        before = hashlib.sha256(blend.read_bytes()).hexdigest()
        names = files_in(blend.parent)
        said = self.window("undo", blend)
        self.assertIn(f"BEFORE True {blend} 1.0", said)
        self.assertIn(f"AFTER True {blend} 1.0", said)
        self.assertIn("UNDONE [0.5, 0.0] False 32", said)
        self.assertIn("SHOWN ['Tessera Frame']", said)
        self.assertEqual(files_in(blend.parent) - names, {"out/shot_001_x.png"})
        self.assertEqual(hashlib.sha256(blend.read_bytes()).hexdigest(), before)

    def test_esc_stops_or_leaves_to_the_farm(self) -> None:
        blend = self.scene("slow")
        said = self.window("esc", blend)
        ended = [line.split() for line in said.splitlines() if line.startswith("ENDED")]
        self.assertEqual([words[2] for words in ended], ["CANCELLED", "LEFT"], said)
        stopped, left = (int(words[1]) for words in ended)
        self.assertEqual(self.farm.job(stopped)["state"], "cancelled")
        done = self.farm.job(left)["done"]
        until(lambda: self.farm.job(left)["done"] > done)
        self.farm.user.tessera("job", "cancel", left)
        self.assertIn("FARM Studio farm, 2 workers", said)

    def test_the_window_stays_alive_while_a_scene_is_sent(self) -> None:
        late = lateness.measure(self.farm, self.folder / "heavy.blend", 30)
        self.assertGreater(late["sending"]["ticks"], 20)
