"""What goes wrong is said in one line that names what it was, and never as a traceback (see `Home.run`)."""

from stand import HERE, FarmTest, Home, files_in


class Mistakes(FarmTest):
    WORKERS = ("anna",)

    def test_a_missing_file_is_named_with_who_needs_it(self) -> None:
        blend = self.scene("plain")
        (blend.parent / "textures/wood.png").unlink()
        said = self.script("calls", blend, "ops.send_job()", "ops.render_still()", "ops.list_files()")
        refused = [line for line in said.splitlines() if line.startswith("REFUSED")]
        self.assertEqual(len(refused), 3, said)
        for line in refused[:2]:
            self.assertIn("textures/wood.png", line)
            self.assertIn("image 'wood.png'", line)
            # The user's own file is named, and not the copy that was sent.
            self.assertIn("plain.blend", line)
            self.assertNotIn(".tessera-", line)
        self.assertIn("Missing: ", refused[2])
        said = self.script(
            "calls",
            blend,
            "ops.select_user(user=\"image 'wood.png'\")",
            "print([o.name for o in bpy.context.selected_objects])",
        )
        self.assertIn("['Suzanne']", said)
        said = self.farm.user.blender("-b", blend, "-o", "//a/f_####", "-E", "TESSERA", "-f", 1, status=None)
        self.assertIn("needed by image 'wood.png'", said)
        self.assertFalse((blend.parent / "a").exists() and files_in(blend.parent / "a"))

    def test_without_the_program_it_is_said_where_to_get_it(self) -> None:
        blend = self.scene("plain")
        said = self.script("calls", blend, "ops.render_still()", TESSERA_PROGRAM="/nowhere/tessera")
        self.assertIn("REFUSED Error: There is no program at /nowhere/tessera", said)
        said = self.farm.user.blender(
            "-b", blend, "-E", "TESSERA", "-f", 1, status=None, TESSERA_PROGRAM="/nowhere/tessera"
        )
        self.assertIn("There is no program at /nowhere/tessera", said)

    def test_without_a_farm_this_computer_renders_and_jobs_are_refused(self) -> None:
        blend = self.scene("plain")
        alone = Home(self.folder / "alone")
        alone.install_addon()
        calls = ["ops.send_job()", "scene.frame_set(2)", "ops.render_still()"]
        said = alone.blender("-b", blend, "--python", HERE / "inside/calls.py", "--", *calls)
        self.assertIn("REFUSED Error: no farm is connected", said)
        self.assertEqual(files_in(blend.parent / "out"), {"shot_002_x.png"})

    def test_a_farm_that_is_away_is_said(self) -> None:
        blend = self.scene("plain")
        said = self.script("calls", blend, "ops.send_job()", TESSERA_MANAGER="https://127.0.0.1:9")
        self.assertIn("REFUSED", said)

    def test_one_line_says_how_the_farm_is(self) -> None:
        def looked(until: str) -> str:
            return f"exec('while not {until}: farm.farm.look(); farm.farm.run(9e9); time.sleep(0.01)')"

        look = looked('farm.farm.link.name != "UNKNOWN"')
        tell = "print('STATUS', farm.farm.status_line(), '|', farm.farm.message)"
        # Its workers are told of after it.
        said = self.script("calls", None, "farm.farm.named('Studio farm')", looked("farm.farm.online()"), tell)
        self.assertIn("STATUS Studio farm, 1 worker, 0 busy |", said)
        said = self.script("calls", None, look, tell, TESSERA_MANAGER="https://127.0.0.1:9")
        self.assertIn("STATUS ", said)
        self.assertIn("127.0.0.1:9", said)
        said = self.script("calls", None, look, tell, TESSERA_PROGRAM="/nowhere/tessera")
        self.assertIn("STATUS Tessera is not installed | There is no program at", said)
        alone = Home(self.folder / "alone")
        alone.install_addon()
        said = alone.blender("-b", "--python", HERE / "inside/calls.py", "--", look, tell)
        self.assertIn("STATUS Renders on this computer alone |", said)

    def test_versions_that_nobody_has_are_said(self) -> None:
        blend = self.scene("plain")
        limits = "scene.tessera.blender_from = '9.0'", "scene.tessera.blender_to = '9.1'"
        said = self.script("calls", blend, *limits, "ops.send_job()")
        job = self.farm.jobs()[0]["id"]
        self.assertIn("is on the farm", said)
        why = self.farm.user.tessera("job", "why", job)
        self.assertIn("9.", str(why))
        self.farm.user.tessera("job", "remove", job)

    def test_what_cannot_be_is_refused(self) -> None:
        said = self.script(
            "calls",
            None,
            "ops.get_results()",
            "ops.get_results(job=4711)",
            "ops.connect(code='')",
            "ops.connect(code='nonsense')",
            "ops.end_work(number=99)",
            "scene.tessera.source = 'FILE'",
            "ops.render_still()",
            "scene.tessera.source = 'MEMORY'",
            "scene.tessera.frames = 'all of them'",
            "ops.send_job()",
            "ops.open_folder(folder='/nowhere')",
            "ops.select_user(user=\"image 'none'\")",
        )
        refused = [line for line in said.splitlines() if line.startswith("REFUSED")]
        self.assertEqual(len(refused), 9, said)
        self.assertIn("Choose a job", refused[0])
        self.assertIn("4711", refused[1])
        self.assertIn("The file was never saved", refused[5])

    def test_on_and_off_fifty_times_leaves_nothing(self) -> None:
        said = self.script("on_and_off", None)
        self.assertIn("NOTHING LEFT", said)
