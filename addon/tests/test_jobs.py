"""Jobs by the add-on's operators, called from scripts in the background: rendered, sent, brought, steered."""

import hashlib
import shutil
import subprocess

from stand import HERE, Farm, FarmTest, Home, Tools, files_in, render_locally, until


class Jobs(FarmTest):
    def test_an_animation_is_as_rendered_here(self) -> None:
        blend = self.scene("layers")
        said = self.script("calls", blend, "scene.frame_end = 3", "ops.render_animation()")
        self.assertIn("3 frames in", said)
        (blend.parent / "out").rename(self.folder / "farm")
        render_locally(blend, "//out/layers_####", 1, 3)
        self.assert_identical(self.folder / "farm", blend.parent / "out", 3)

    def test_the_same_in_4_2_and_5_0(self) -> None:
        for version in ("4.2", "5.0"):
            with self.subTest(version):
                self.check_module(version)

    def check_module(self, version: str) -> None:
        blend = self.scene("layers", version)
        change = "bpy.data.objects['Suzanne'].scale = (2, 0.5, 1)"
        calls = change, "scene.frame_end = 2", "ops.render_animation()", "ops.list_files()"
        script = HERE / "inside/module_calls.py"
        said = self.farm.user.module(version, script, blend, "--", *calls)
        self.assertNotIn("REFUSED", said)
        self.assertTrue(self.farm.jobs()[0]["build"]["version"].startswith(version))
        farm = self.folder / f"farm-{version}"
        (blend.parent / "out").rename(farm)
        save = change, "bpy.ops.wm.save_mainfile()"
        self.farm.user.module(version, script, blend, "--", *save)
        render_locally(blend, blend.parent / "out/layers_####", 1, 2, version)
        self.assert_identical(farm, blend.parent / "out", 2)
        shutil.rmtree(blend.parent)

    def test_a_still_lies_in_the_output_folder(self) -> None:
        blend = self.scene("plain")
        self.script("calls", blend, "scene.frame_set(4)", "ops.render_still()")
        self.assertEqual(files_in(blend.parent / "out"), {"shot_004_x.png"})

    def test_what_is_open_renders_and_the_file_stays_as_it_is(self) -> None:
        blend = self.scene("plain")
        before = hashlib.sha256(blend.read_bytes()).hexdigest()
        names = files_in(blend.parent)
        change = "bpy.data.objects['Suzanne'].scale = (2, 0.5, 1)"
        state = "print('STATE', bpy.data.is_dirty, bpy.data.filepath, bpy.data.images['wood.png'].filepath)"
        said = self.script("calls", blend, change, state, "ops.render_still()", state)
        states = [line for line in said.splitlines() if line.startswith("STATE")]
        self.assertEqual(states[0], states[1])
        self.assertEqual(hashlib.sha256(blend.read_bytes()).hexdigest(), before)
        self.assertEqual(files_in(blend.parent) - names, {"out/shot_001_x.png"})
        (blend.parent / "out").rename(self.folder / "farm")
        # The same change, saved, and rendered here.
        self.script("calls", blend, change, "bpy.ops.wm.save_mainfile()")
        (blend.parent / "plain.blend1").unlink(missing_ok=True)
        render_locally(blend, "//out/shot_###_x", 1, 1)
        self.assert_identical(self.folder / "farm", blend.parent / "out", 1)

    def test_a_scene_that_was_never_saved_renders(self) -> None:
        out = self.folder / "out"
        lines = (
            f"scene.render.filepath = '{out}/new_'",
            "scene.render.resolution_percentage = 4",
            "ops.render_still()",
        )
        # Debian builds Blender without a denoiser.
        cycles = "scene.render.engine = 'CYCLES'", "scene.cycles.samples = 1", "scene.cycles.use_denoising = False"
        self.script("calls", None, *cycles, *lines)
        self.assertEqual(files_in(out), {"new_0001.png"})

    def test_baked_physics_goes_along(self) -> None:
        blend = self.scene("plain")
        cache = blend.parent / "blendcache_plain"
        cache.mkdir()
        (cache / "x.bphys").write_bytes(b"1")
        lines = "f = scene_file.take('MEMORY', scene)", "c = f.path.with_name('blendcache_' + f.path.stem)"
        said = self.script("calls", blend, *lines, "print('CACHE', (c / 'x.bphys').exists())", "f.remove()")
        self.assertIn("CACHE True", said)
        self.assertEqual([name for name in files_in(blend.parent) if "tessera" in name], [])
        self.assertTrue((cache / "x.bphys").exists())

    def test_results_are_brought_later_and_elsewhere(self) -> None:
        blend = self.scene("plain")
        settings = "scene.tessera.name = 'Mine'", "scene.tessera.priority = 7", "scene.tessera.category = 'film'"
        more = "scene.tessera.comment = 'a note'", "scene.tessera.frames = '1,3'", "scene.tessera.chunk = 2"
        self.farm.user.tessera("notify", "add", "film", "--webhook", "http://127.0.0.1:9/", "--jobs", "named")
        told = "scene.tessera.notify = 'film'"
        said = self.script("calls", blend, *settings, *more, told, "ops.send_job()")
        self.assertIn("is on the farm: 2 frames", said)
        job = self.farm.jobs()[0]
        kept = job["settings"]
        self.assertEqual((kept["name"], kept["priority"], kept["category"]), ("Mine", 7, "film"))
        self.assertEqual((kept["comment"], kept["chunk"], job["frames"]), ("a note", 2, 2))
        self.assertEqual(kept["notify"], ["film"])
        until(lambda: self.farm.job(job["id"])["state"] == "done")
        self.script("calls", None, f"ops.get_results(job={job['id']}, folder='{self.folder}/there')")
        self.script("calls", None, f"ops.get_results(job={job['id']})")
        self.assertEqual(files_in(blend.parent / "out"), {"shot_001_x.png", "shot_003_x.png"})
        self.assertEqual(files_in(self.folder / "there"), {"shot_001_x.png", "shot_003_x.png"})

    def test_the_current_frame_is_sent(self) -> None:
        blend = self.scene("plain")
        self.script("calls", blend, "scene.frame_set(5)", "ops.send_current_frame(wait=True)")
        job = self.farm.jobs()[0]
        until(lambda: self.farm.job(job["id"])["state"] == "done")
        self.script("calls", None, f"ops.get_results(job={job['id']})")
        self.assertEqual(files_in(blend.parent / "out"), {"shot_005_x.png"})

    def test_another_blender_goes_on_watching(self) -> None:
        blend = self.scene("layers")
        # A Blender that quits with a render under way: the job goes on, and its number is remembered.
        begin = "w = works.Work('Film', ['render', *works.scene_arguments(scene, f, '1..3')], f)"
        wait = "exec('while not w.job: works.drain(9e9)')"
        said = self.script("calls", blend, "f = scene_file.take('MEMORY', scene)", begin, wait, "program = 0")
        self.assertIn("THROUGH", said)
        self.script("calls", None, "ops.resume_watching()")
        self.assertEqual(len(files_in(blend.parent / "out")), 3)
        # What is there is not waited for again.
        said = self.script("calls", None, "ops.resume_watching()")
        self.assertIn("REFUSED Error: There is no job that was waited for", said)

    def test_jobs_and_workers_are_steered(self) -> None:
        blend = self.scene("plain")
        names = "'anna'", "'ben'"
        workers = {line["worker"]["name"]: line["worker"]["id"] for line in self.farm.user.tessera("workers")}

        def modes() -> list[str]:
            return [line["worker"]["mode"] for line in self.farm.user.tessera("workers")]

        def act(*lines: str) -> None:
            said = self.script("calls", None, *lines)
            self.assertNotIn("REFUSED", said)

        pause = [f"ops.worker_action(action='pause', worker={workers[name.strip(chr(39))]})" for name in names]
        act(*pause)
        self.assertEqual(modes(), ["paused", "paused"])
        self.script("calls", blend, "ops.send_job()")
        job = self.farm.jobs()[0]["id"]
        act(f"ops.job_action(action='pause', job={job})", f"ops.set_priority(job={job}, priority=250)")
        self.assertEqual(self.farm.job(job)["phase"], "paused")
        self.assertEqual(self.farm.job(job)["settings"]["priority"], 250)
        act(f"ops.job_action(action='resume', job={job})", f"ops.job_action(action='cancel', job={job})")
        self.assertEqual(self.farm.job(job)["phase"], "cancelled")
        act(f"ops.job_action(action='remove', job={job})")
        self.assertNotIn(job, [each["id"] for each in self.farm.jobs()])
        anna = workers["anna"]
        act(f"ops.worker_action(action='block', worker={anna})")
        self.assertIn("blocked", modes())
        act(f"ops.worker_action(action='unblock', worker={anna})", *(line.replace("pause", "resume") for line in pause))
        self.assertEqual(modes(), ["active", "active"])

    def test_the_manager_is_killed_and_comes_back(self) -> None:
        blend = self.scene("layers")
        home = self.farm.user
        script = str(blend.parent / "kill.py")
        with open(script, "w") as file:
            file.write("import bpy\nbpy.app.handlers.render_post.append(lambda *_: print('FRAME', flush=True))\n")
        command = [str(Tools.blender), "-b", str(blend), "--python", script, "-o", "//a/f_####", "-E", "TESSERA"]
        blender = subprocess.Popen(
            [*command, "-s", "1", "-e", "6", "-a"], env=home.environment, stdout=subprocess.PIPE, text=True
        )
        assert blender.stdout is not None
        for line in blender.stdout:
            if line.startswith("FRAME"):
                break
        self.farm.kill_manager()
        self.farm.restart_manager()
        rest = blender.stdout.read()
        blender.stdout.close()
        self.assertEqual(blender.wait(), 0)
        self.assertEqual(len(files_in(blend.parent / "a")), 6, rest)

    def test_a_farm_is_connected_by_code_and_a_manager_started_here(self) -> None:
        other = Farm(self.folder / "other", ())
        self.addCleanup(other.end)
        invite = "ops.invite(kind='user', user='guest')", "print('CODE', works.last_words.text.split()[-1])"
        other.user.install_addon()
        said = other.user.blender("-b", "--python", self.farm_script("calls"), "--", *invite)
        link = next(line.split()[1] for line in said.splitlines() if line.startswith("CODE"))
        guest = Home(self.folder / "guest")
        guest.install_addon()
        around = "[(found['name'], found['connected']) for found in works.around.farms]"
        found = ["ops.find_farms()", f"print('AROUND', {around})"]
        calls = [f"ops.connect(code='{link}')", "print('FARM', farm.farm.name)", *found]
        inside = self.farm_script
        self.assertIn("https://", link)
        said = guest.blender("-b", "--python", inside("calls"), "--", *calls)
        self.assertIn("FARM Studio farm", said)
        self.assertIn("AROUND [('Studio farm', True)]", said)
        self.assertTrue([line for line in guest.tessera("jobs") if line["type"] != "error"] == [])
        lonely = Home(self.folder / "lonely")
        lonely.install_addon()
        words = "'--listen\\n127.0.0.1:0\\n--no-discovery'"
        start = f"ops.start_local(kind='manager', arguments={words})"
        said = lonely.blender(
            "-b", "--python", inside("calls"), "--", start, "print('RUNS', local.process('manager') > 0)"
        )
        self.assertIn("RUNS True", said)
        # It outlives that Blender; the next one knows it, and stops it.
        until(lambda: not [line for line in lonely.tessera("workers") if line["type"] == "error"])
        calls = ["print('STOPPED', local.stop('manager'))"]
        said = lonely.blender("-b", "--python", inside("calls"), "--", *calls)
        self.assertIn("STOPPED True", said)
        until(lambda: [line for line in lonely.tessera("workers") if line["type"] == "error"])

    @staticmethod
    def farm_script(name: str) -> str:
        return str(HERE / "inside" / f"{name}.py")
