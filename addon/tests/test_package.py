"""The package: what Blender's own tool for extensions says of it, and the two ways in which it is installed."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from stand import ADDON, HERE, REPOSITORY, WAIT_S, Home, python_of

ENABLE_EXTENSION = """
import sys, bpy, addon_utils
bpy.ops.preferences.addon_enable(module="bl_ext.user_default.tessera")
print("ENABLED", "bl_ext.user_default.tessera" in bpy.context.preferences.addons)
from bl_ext.user_default.tessera import preferences
print("PREFERENCES", preferences.get().worker_nice, bpy.types.Scene.bl_rna.properties["tessera"].fixed_type.identifier)
sys.path.append(sys.argv[1])
import ending
ending.end()
"""


class Package(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tessera-package-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def extension_tool(self, version: str, *arguments: object) -> str:
        """Blender's `--command extension`, which in the module is a script."""
        python = python_of(version)
        library = next(python.parent.parent.glob("lib/python*/site-packages/bpy"))
        tool = next(library.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
        command = [str(python), str(tool), *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        return ended.stdout

    def test_blenders_own_tool_takes_it(self) -> None:
        for version in ("4.2", "5.0"):
            self.assertIn("Success", self.extension_tool(version, "validate", ADDON))
        self.extension_tool("5.0", "build", "--source-dir", ADDON, "--output-dir", self.folder)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["tessera-0.1.0.zip"])

    def test_types_hold_and_nothing_is_to_be_tidied(self) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        tools = Path(os.environ.get("TESSERA_TOOLS", cache / "tessera/tools")) / "bin"
        checks = (
            ["ruff", "check", "addon", "examples"],
            ["ruff", "format", "--check", "addon", "examples"],
            ["mypy", "--config-file", "addon/mypy.ini", "--cache-dir", self.folder],
        )
        for name, *arguments in checks:
            with self.subTest(name):
                command = [str(tools / name), *map(str, arguments)]
                ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT_S)
                self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_it_is_enabled_as_an_extension(self) -> None:
        home = Home(self.folder)
        extension = self.folder / "blender/extensions/user_default/tessera"
        shutil.copytree(ADDON, extension, ignore=shutil.ignore_patterns("__pycache__"))
        script = self.folder / "enable.py"
        script.write_text(ENABLE_EXTENSION)
        for version in ("4.2", "5.0"):
            with self.subTest(version):
                said = home.module(
                    version, script, HERE / "inside", BLENDER_USER_EXTENSIONS=str(self.folder / "blender/extensions")
                )
                self.assertIn("ENABLED True", said)
                self.assertIn("PREFERENCES True JobSettings", said)
