//! A place for each test: folders of its own, users, scenes, and what plain Blender makes of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tessera_merge::{Frame, Samples, compare, read};
use xtask::baseline::{Baseline, Render};
use xtask::farm::Home;

use crate::ended::{Ended, run};

/// Makes one test for each Blender of a function that takes one.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn blender_3_4_1() {
                super::$name(&$crate::world::World::new(xtask::baseline::Baseline::executable().unwrap()));
            }

            #[test]
            fn bpy_5_0_1() {
                super::$name(&$crate::world::World::new(xtask::baseline::Baseline::module().unwrap()));
            }
        }
    )*};
}
pub(crate) use on_both;

/// A test for each function, run on bpy 4.2, for what differs between versions.
macro_rules! on_4_2 {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn bpy_4_2() {
                super::super::$name(&$crate::world::World::new(xtask::baseline::Baseline::module_4_2().unwrap()));
            }
        }
    )*};
}
pub(crate) use on_4_2;

/// Scenes of `tests/scenes`, and those of the driver's own tests that are about output.
const SCRIPTS: &[&str] = &[
    "tests/scenes/small.py",
    "../blender/tests/scenes/features.py",
];

/// What the scripts import.
const IMPORTED: &[&str] = &["../blender/tests/scenes/stage.py"];

/// A folder of the test's own, and the Blender it is about.
pub struct World {
    pub blender: Baseline,
    folder: TempDir,
}

impl World {
    pub fn new(blender: Baseline) -> Self {
        Self {
            blender,
            folder: tempfile::Builder::new()
                .prefix("tessera-e2e-")
                .tempdir()
                .unwrap(),
        }
    }

    /// For what has nothing to do with Blender.
    pub fn any() -> Self {
        Self::new(Baseline::executable().unwrap())
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A user with this name, who has asked the Blenders of this machine once before what they are.
    pub fn home(&self, name: &str) -> Home {
        let folder = self.path(name);
        let cache = folder.join("cache");
        fs::create_dir_all(&cache).unwrap();
        fs::copy(known_blenders(), cache.join("blenders.json")).unwrap();
        let home = Home::new(tessera(), &folder);
        let blender = self.blender.path();
        match Baseline::module_4_2() {
            Ok(other) if other.path() == blender => home.with("TESSERA_BLENDER", text(blender)),
            _ => home,
        }
    }

    /// A machine of this name whose only Blender is the fake one: for what has nothing to do with Blender itself.
    pub fn fake_home(&self, name: &str) -> Home {
        self.fake_user(&Home::new(tessera(), &self.path(name)))
    }

    /// The same user where there is only the fake Blender.
    pub fn fake_user(&self, home: &Home) -> Home {
        let programs = self.path("fake-programs");
        if !programs.exists() {
            fs::create_dir_all(&programs).unwrap();
            tessera_blender::testing::install_fake_blender(&programs).unwrap();
            std::os::unix::fs::symlink(python(), programs.join("python3")).unwrap();
        }
        home.clone()
            .with("PATH", text(&programs))
            .with("HOME", text(&self.path("nobodys-home")))
    }

    /// A user without any rights, who may come into the test's folder and write to a home there.
    pub fn nobody(&self, name: &str) -> Home {
        const NOBODY: u32 = 65534;
        let home = self.home(name);
        fs::set_permissions(self.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let folder = home.folder().to_owned();
        run(Command::new("chown")
            .args(["-R", &NOBODY.to_string()])
            .arg(&folder))
        .done();
        let user = NOBODY.to_string();
        // Root's own folder, with its Blenders, is none of theirs.
        home.with("HOME", text(&folder)).under(&[
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
        ])
    }

    /// A user on a machine whose file system has nothing of this test's folder but what this user puts there. Takes root.
    pub fn home_elsewhere(&self, name: &str) -> Home {
        let home = self.home(name);
        let (all, own) = (self.path(""), home.folder().to_owned());
        let script = format!(
            "mount -t tmpfs none '{0}' && mkdir -p '{1}' && exec \"$@\"",
            text(&all),
            text(&own),
        );
        home.under(&["unshare", "-m", "sh", "-c", &script, "sh"])
    }

    /// A scene for the fake Blender: see `tessera_blender::testing`.
    pub fn fake_scene(&self, folder: &str, scene: &serde_json::Value) -> Project {
        let project = self.path(folder);
        fs::create_dir_all(&project).unwrap();
        let blend = project.join("scene.blend");
        fs::write(&blend, tessera_blender::testing::fake_blend(scene)).unwrap();
        Project::new(project, blend)
    }

    /// The scene of this kind in a folder of its own, ready to be rendered and written to.
    pub fn scene(&self, kind: &str) -> Project {
        self.scene_at(kind, kind)
    }

    /// The same below another folder.
    pub fn scene_at(&self, kind: &str, folder: &str) -> Project {
        let made = made_scenes(&self.blender);
        let alone = made.join("features").join(format!("{kind}.blend"));
        let project = self.path(folder);
        if alone.exists() {
            fs::create_dir_all(&project).unwrap();
            fs::copy(alone, project.join(format!("{kind}.blend"))).unwrap();
        } else {
            copy_folder(&made.join("small").join(kind), &project);
        }
        Project::new(project.clone(), project.join(format!("{kind}.blend")))
    }

    /// Where the volumes are that some scenes are made with. Blender 3.4 cannot make them.
    pub fn volumes(&self) -> PathBuf {
        once("volumes", |folder| {
            let script = in_crate("../blender/tests/scenes/volumes.py");
            let newest = Baseline::module().unwrap();
            newest.script(&script, &[text(folder)]).unwrap();
        })
    }

    /// What a script of `tests/scenes` (or of the driver's tests) makes in a folder of the test's own.
    pub fn project(&self, script: &str, arguments: &[&str], folder: &str, blend: &str) -> Project {
        let project = self.path(folder);
        fs::create_dir_all(&project).unwrap();
        let mut all = vec![text(&project)];
        all.extend(arguments);
        self.blender.script(&in_crate(script), &all).unwrap();
        Project::new(project.clone(), project.join(blend))
    }

    /// The benches' scene with a mesh of so many megabytes, one frame of which is rendered in a blink.
    pub fn heavy(&self, folder: &str, megabytes: u32) -> Project {
        let project = self.path(folder);
        fs::create_dir_all(&project).unwrap();
        let blend = project.join("main.blend");
        let script = in_crate("../../examples/make_light.py");
        let size = megabytes.to_string();
        self.blender
            .script(&script, &[text(&blend), "--heavy-mesh", &size])
            .unwrap();
        Project::new(project, blend)
    }
}

/// A scene and the folder around it, which is all that a render may change.
pub struct Project {
    pub folder: PathBuf,
    pub blend: PathBuf,
    inputs: BTreeSet<PathBuf>,
}

impl Project {
    /// All that is in the folder now belongs to it.
    pub fn new(folder: PathBuf, blend: PathBuf) -> Self {
        let inputs = files_in(&folder);
        assert!(blend.exists(), "{} was not made", blend.display());
        Self {
            folder,
            blend,
            inputs,
        }
    }

    /// The .blend as an argument.
    pub fn file(&self) -> &str {
        text(&self.blend)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Takes what has been written since the scene was made, and puts it into another folder.
    pub fn take_products(&self, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for name in files_in(&self.folder).difference(&self.inputs) {
            let place = to.join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::rename(self.folder.join(name), place).unwrap();
        }
    }

    /// What plain Blender makes of these frames in the folder itself, moved to `to`. `output` as `-o`, relative to the folder.
    pub fn render_locally(
        &self,
        world: &World,
        output: &str,
        frames: (i32, i32),
        setup: &str,
        to: &Path,
    ) {
        let render = Render {
            blend: &self.blend,
            output: text(&self.path(output)).to_owned(),
            frames,
            threads: None,
        };
        world.blender.render_after(&render, setup).unwrap();
        self.take_products(to);
    }
}

/// Whether small disks and users without rights can be had, which takes root. Without root the tests fail, unless the variable that
/// leaves out several hosts leaves these out too.
pub fn as_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let left_out = std::env::var_os("TESSERA_NO_NETNS").is_some_and(|value| value == "1");
    assert!(
        left_out,
        "this needs root, for small disks and users without rights: run the tests as root, or set TESSERA_NO_NETNS=1 to leave it out"
    );
    eprintln!("left out, as TESSERA_NO_NETNS says: nothing that takes root is tested");
    false
}

/// The program under test.
pub fn tessera() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tessera"))
}

/// Runs a command of a user to its end.
pub fn tessera_run(home: &Home, arguments: &[&str]) -> Ended {
    run(&mut home.command(arguments))
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Both folders hold the same files with the same pixels in every pass, at least this many of them.
#[track_caller]
pub fn identical(farm: &Path, local: &Path, files: usize) {
    let report = compare::paths(farm, local).unwrap();
    assert!(report.identical(), "{report}");
    assert!(report.files.len() >= files, "{report}");
}

/// Both folders hold the same files with the same passes, but for the last bits of sums: relative to the largest value of each pass 2e-6
/// (each of up to 16 parts is rounded to 32 bits, and so is the sum of the local render; with four parts 1e-6 holds, see `blender/tests/real/parts.rs`),
/// and one step of 8-bit pictures. What is no sum is the same to the bit.
#[track_caller]
pub fn the_same_but_for_rounding(farm: &Path, local: &Path) {
    assert_eq!(files_in(farm), files_in(local));
    for name in files_in(farm) {
        let (ours, theirs) = (farm.join(&name), local.join(&name));
        if name.extension().is_none_or(|extension| extension != "exr") {
            let report = compare::paths(&ours, &theirs).unwrap();
            let mut passes = report.files.iter().flat_map(|file| &file.passes);
            assert!(passes.all(|pass| pass.max_abs <= 1.0), "{report}");
            continue;
        }
        let (ours, theirs) = (read(&ours).unwrap(), read(&theirs).unwrap());
        let names = |frame: &Frame| -> Vec<String> {
            let channels = frame.channels.iter();
            channels.map(|channel| channel.name.to_string()).collect()
        };
        assert_eq!(names(&ours), names(&theirs));
        for (ours, theirs) in ours.channels.iter().zip(&theirs.channels) {
            let (Samples::Float(ours), Samples::Float(values)) = (&ours.samples, &theirs.samples)
            else {
                panic!("{} is rounded", theirs.name);
            };
            let pass = theirs.name.pass.pass.as_str();
            let is_id = pass.starts_with("Crypto") && ["r", "b"].contains(&&*theirs.name.channel);
            let is_exact = is_id || ["Depth", "IndexOB", "Object Index"].contains(&pass);
            let largest = values
                .iter()
                .fold(1.0_f32, |most, value| most.max(value.abs()));
            let bound = if is_exact { 0.0 } else { 2e-6 * largest };
            let worst = ours
                .iter()
                .zip(values)
                .filter(|(ours, theirs)| ours.to_bits() != theirs.to_bits())
                .fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(worst <= bound, "{}: {worst} of {largest}", theirs.name);
        }
    }
}

/// Names of all files in a folder, hidden ones too.
pub fn files_in(folder: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                names.insert(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    names
}

/// A path of this crate.
pub fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program behind `python3`, which may be a script that chooses one.
fn python() -> PathBuf {
    let asked =
        run(Command::new("python3").args(["-c", "import sys; print(sys.executable)"])).done();
    PathBuf::from(asked.text().trim())
}

fn copy_folder(from: &Path, to: &Path) {
    for name in files_in(from) {
        let place = to.join(&name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), place).unwrap();
    }
}

/// The scenes as this Blender makes them. Made once for all tests, and anew when a script changes.
fn made_scenes(blender: &Baseline) -> PathBuf {
    let sources: Vec<u8> = SCRIPTS
        .iter()
        .chain(IMPORTED)
        .flat_map(|script| fs::read(in_crate(script)).unwrap())
        .collect();
    let key = format!(
        "{}-{}",
        blender.name(),
        &blake3::hash(&sources).to_hex()[..16]
    );
    once(&format!("scenes-{key}"), |folder| {
        for script in SCRIPTS {
            let script = in_crate(script);
            let name = script.file_stem().unwrap();
            blender
                .script(&script, &[text(&folder.join(name))])
                .unwrap();
        }
    })
}

/// The record of which Blenders are on this machine: asking them takes seconds, and has its own test.
fn known_blenders() -> PathBuf {
    let program = fs::metadata(tessera()).unwrap();
    let stamp = program
        .modified()
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    once(&format!("blenders-{}", stamp.as_nanos()), |folder| {
        let home = Home::new(tessera(), folder);
        let doctor = tessera_run(&home, &["doctor"]);
        assert!(folder.join("cache/blenders.json").exists(), "{doctor}");
    })
    .join("cache/blenders.json")
}

/// A folder that is filled once, by whichever test comes first; the others wait for it.
fn once(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).unwrap();
    let folder = all.join(name);
    let lock = File::create(all.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !folder.exists() {
        let unfinished = tempfile::tempdir_in(all).unwrap();
        fill(unfinished.path());
        fs::rename(unfinished.keep(), &folder).unwrap();
    }
    folder
}
