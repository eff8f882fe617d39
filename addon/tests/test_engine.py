"""F12 and Ctrl-F12 with the engine "Tessera": what comes out is what the scene's own engine makes."""

from pathlib import Path

from stand import HERE, FarmTest, files_in, render_locally

# View layers with Cryptomatte; a compositor with file outputs; views in one file, side by side, apart; a sequencer; a
# border.
KINDS = ("layers", "png", "multiview", "stereo", "views", "sequencer", "border")


class Engine(FarmTest):
    def products(self, blend: Path, inputs: set[str]) -> set[str]:
        return files_in(blend.parent) - inputs

    def check_kind(self, kind: str, version: str) -> None:
        local = self.scene(kind, version)
        folders = [local.parent, local.parent.with_name(f"{kind}-farm")]
        folders[0].rename(folders[0].with_name(f"{kind}-local"))
        farm = self.scene(kind, version)
        farm.parent.rename(folders[1])
        folders[0] = folders[0].with_name(f"{kind}-local")
        farm, local = folders[1] / farm.name, folders[0] / local.name
        inputs = files_in(farm.parent)
        if version != "3.4":
            render_locally(local, local.parent / "out/frame_####", 0, 1, version)
            output = farm.parent / "out/frame_####"
            self.farm.user.module(version, HERE / "inside/module.py", farm, output, 0, 1, "TESSERA")
        else:
            render_locally(local, Path("//out/frame_####"), 0, 1)
            self.farm.user.blender("-b", farm, "-o", "//out/frame_####", "-E", "TESSERA", "-s", 0, "-e", 1, "-a")
        self.assertTrue(self.products(farm, inputs))
        self.assertFalse([name for name in files_in(farm.parent) if "tessera" in name], "a copy was left behind")
        # The scenes themselves lie in both folders, and are the same.
        for blend in (farm, local):
            blend.unlink()
        self.assert_identical(farm.parent, local.parent, 2)

    def test_all_kinds_in_3_4(self) -> None:
        for kind in KINDS:
            with self.subTest(kind):
                self.check_kind(kind, "3.4")

    def test_all_kinds_in_4_2(self) -> None:
        for kind in KINDS:
            with self.subTest(kind):
                self.check_kind(kind, "4.2")

    def test_all_kinds_in_5_0(self) -> None:
        for kind in KINDS:
            with self.subTest(kind):
                self.check_kind(kind, "5.0")

    def test_an_animation_is_one_job_and_a_frame_alone_is_one_frame(self) -> None:
        blend = self.scene("layers")
        before = len(self.farm.jobs())
        self.farm.user.blender("-b", blend, "-o", "//a/f_####", "-E", "TESSERA", "-s", 2, "-e", 4, "-a")
        self.farm.user.blender("-b", blend, "-o", "//a/f_####", "-E", "TESSERA", "-f", "6")
        jobs = self.farm.jobs()
        self.assertEqual([job["frames"] for job in jobs[: len(jobs) - before]], [1, 3])
        self.assertEqual(len(files_in(blend.parent / "a")), 4)

    def test_frames_that_are_there_are_not_asked_for(self) -> None:
        blend = self.scene("border")
        output = ("-o", "//a/f_####", "-E", "TESSERA")
        self.farm.user.blender("-b", blend, *output, "-s", 1, "-e", 1, "-a")
        # The scene says that nothing is overwritten.
        self.farm.user.blender("-b", blend, *output, "-s", 0, "-e", 2, "-a")
        self.assertEqual(self.farm.jobs()[0]["frames"], 2)

    def test_workers_open_a_file_with_the_real_engine(self) -> None:
        blend = self.scene("plain")
        said = self.script("engines", blend)
        self.assertIn("IN MEMORY TESSERA TESSERA kept CYCLES", said)
        self.assertIn("IN THE COPY CYCLES CYCLES", said)
        self.assertIn("PANELS True False", said)

    def test_a_frame_that_fails_is_not_written(self) -> None:
        blend = self.scene("lost")
        said = self.farm.user.blender(
            "-b", blend, "-o", "//a/f_####", "-E", "TESSERA", "-s", 1, "-e", 2, "-a", status=None
        )
        self.assertIn("Tessera:", said)
        self.assertFalse((blend.parent / "a").exists() and files_in(blend.parent / "a"), said)
