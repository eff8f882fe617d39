//! `tessera render` with no farm leaves what `blender -b` leaves: the same files under the same names, no pixel of any pass other.
//!
//! Plain Blender renders first, in the very folder; what it wrote is moved away, and Tessera does the same again in that place. So
//! absolute paths, `//` paths and what a picture says of its file mean the same to both.

use crate::world::{Project, World, identical, on_both, tessera_run, text};

on_both!(
    example,
    layers,
    nodes,
    views,
    stereo_picture,
    views_in_one_file,
    sequence,
    own_formats,
    film,
    border,
    stamp,
    physics,
    libraries,
    negative_frames,
    exr,
    other_scene,
    samples,
    engine,
    kept_frames,
    odd_names,
    output_patterns,
);

/// What is rendered, by both.
struct Case<'a> {
    /// Last part of plain Blender's `-o`.
    output: &'a str,
    frames: (i32, i32),
    /// What a user would change in the file by hand.
    setup: &'a str,
    /// What Tessera is told.
    flags: &'a [&'a str],
    /// Files that both leave, at least.
    files: usize,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            output: "out/####",
            frames: (1, 3),
            setup: "",
            flags: &["-f", "1..3", "-o", "{}/out"],
            files: 3,
        }
    }
}

#[track_caller]
fn check(world: &World, project: &Project, case: &Case<'_>) {
    let local = world.path("local");
    project.render_locally(world, case.output, case.frames, case.setup, &local);
    check_against(world, project, &local, case);
}

/// The same where plain Blender's frames are there already.
#[track_caller]
fn check_against(world: &World, project: &Project, local: &std::path::Path, case: &Case<'_>) {
    let farm = world.path("farm");
    let flags: Vec<String> = case
        .flags
        .iter()
        .map(|flag| flag.replace("{}", text(&project.folder)))
        .collect();
    let mut arguments = vec!["render", project.file()];
    arguments.extend(flags.iter().map(String::as_str));
    tessera_run(&world.home("user"), &arguments).done();
    project.take_products(&farm);
    identical(&farm, local, case.files);
}

/// Runs Python in the file, in plain Blender, and takes what it wrote to `local`.
fn by_hand(world: &World, project: &Project, code: &str) {
    let local = world.path("local");
    let script = world.path("by_hand.py");
    let opened = format!(
        "import bpy\nbpy.ops.wm.open_mainfile(filepath={:?}, load_ui=False)\nscene = bpy.context.scene\n{code}",
        project.file()
    );
    std::fs::write(&script, opened).unwrap();
    world.blender.script(&script, &[]).unwrap();
    project.take_products(&local);
}

fn example(world: &World) {
    let project = world.project("tests/scenes/example.py", &[], "example", "tesserae.blend");
    check(
        world,
        &project,
        &Case {
            frames: (1, 8),
            flags: &["-f", "1..8", "-o", "{}/out"],
            files: 8,
            ..Case::default()
        },
    );
}

fn layers(world: &World) {
    check(
        world,
        &world.scene("layers"),
        &Case {
            output: "out/layers_####",
            ..Case::default()
        },
    );
}

/// A compositor, file-output nodes of three formats, one in a group: the main file goes where `-o` says, the nodes' where they say.
fn nodes(world: &World) {
    check(
        world,
        &world.scene("png"),
        &Case {
            output: "else/a_##_x",
            frames: (0, 2),
            flags: &["-o", "{}/else"],
            files: 3 * 5,
            ..Case::default()
        },
    );
}

fn views(world: &World) {
    check(
        world,
        &world.scene("views"),
        &Case {
            output: "out/",
            frames: (0, 2),
            flags: &[],
            files: 3 * 2,
            ..Case::default()
        },
    );
}

fn stereo_picture(world: &World) {
    check(
        world,
        &world.scene("stereo"),
        &Case {
            output: "out/both",
            frames: (0, 2),
            flags: &[],
            files: 3,
            ..Case::default()
        },
    );
}

fn views_in_one_file(world: &World) {
    check(
        world,
        &world.scene("multiview"),
        &Case {
            output: "out/multi_#####.exr",
            frames: (0, 2),
            flags: &[],
            files: 3,
            ..Case::default()
        },
    );
}

/// A scene strip, a picture, a text and a sound.
fn sequence(world: &World) {
    check(
        world,
        &world.scene("sequence"),
        &Case {
            output: "out/edit_####",
            frames: (1, 8),
            flags: &[],
            files: 8,
            ..Case::default()
        },
    );
}

fn own_formats(world: &World) {
    for (kind, output) in [
        ("plain", "out/shot_###_x"),
        ("jpeg", "out/a.jpg"),
        ("tiff", "out/"),
    ] {
        let project = world.scene(kind);
        let local = world.path(&format!("local-{kind}"));
        project.render_locally(world, output, (1, 3), "", &local);
        let output = project.path("out");
        let arguments = ["render", project.file(), "-f", "1..3", "-o", text(&output)];
        tessera_run(&world.home("user"), &arguments).done();
        let farm = world.path(&format!("farm-{kind}"));
        project.take_products(&farm);
        identical(&farm, &local, 3);
    }
}

const AS_PNG: &str = "import bpy
settings = bpy.context.scene.render.image_settings
if hasattr(settings, 'media_type'): settings.media_type = 'IMAGE'
settings.file_format = 'PNG'";

fn film(world: &World) {
    let project = world.scene("film");
    let local = world.path("local");
    project.render_locally(world, "out/film_", (1, 3), AS_PNG, &local);
    let ended = tessera_run(
        &world.home("user"),
        &["render", project.file(), "-f", "1..3"],
    )
    .done();
    let warned = ended.errors();
    let warning = warned
        .lines()
        .find(|line| line.starts_with("tessera: warning: "));
    let warning = warning.unwrap_or_else(|| panic!("nothing is said of the movie: {ended}"));
    assert!(
        warning.contains("movie") && warning.contains("PNG"),
        "{warning}"
    );
    let farm = world.path("farm");
    project.take_products(&farm);
    identical(&farm, &local, 3);
}

/// A part of the picture, at half the size, as BMP, where nothing may be overwritten and nothing is there.
fn border(world: &World) {
    check(
        world,
        &world.scene("border"),
        &Case {
            output: "out/deep/er/b",
            frames: (0, 2),
            flags: &[],
            files: 3,
            ..Case::default()
        },
    );
}

/// What the file is called, where it lies and which frames it has, burnt into every second frame.
fn stamp(world: &World) {
    check(
        world,
        &world.scene("stamp"),
        &Case {
            output: "out/stamp_##",
            frames: (1, 6),
            flags: &[],
            files: 3,
            ..Case::default()
        },
    );
}

/// Cloth that is not baked: each frame is made of those before.
fn physics(world: &World) {
    check(
        world,
        &world.scene("cloth"),
        &Case {
            output: "out/cloth_",
            frames: (1, 8),
            flags: &["-f", "1..8", "-o", "{}/out"],
            files: 8,
            ..Case::default()
        },
    );
}

/// Libraries in libraries, two pictures of one name, paths absolute and relative.
fn libraries(world: &World) {
    for (kind, arguments) in [("absolute", &[][..]), ("relative", &["relative"][..])] {
        let script = "../blender/tests/scenes/libraries.py";
        let project = world.project(script, arguments, kind, "proj/main.blend");
        let local = world.path(&format!("local-{kind}"));
        project.render_locally(world, "proj/out/", (1, 2), "", &local);
        tessera_run(
            &world.home("user"),
            &["render", project.file(), "-f", "1..2"],
        )
        .done();
        let farm = world.path(&format!("farm-{kind}"));
        project.take_products(&farm);
        identical(&farm, &local, 2);
    }
}

/// Blender 3.4's own command line knows no range below zero; a still of such a frame is named the same.
fn negative_frames(world: &World) {
    let project = world.scene("plain");
    by_hand(
        world,
        &project,
        "for frame in (-12, -2, 0, 1):
    scene.frame_set(frame)
    scene.render.filepath = '//out/shot_' + (f'{frame:03d}' if frame >= 0 else f'-{-frame:03d}') + '_x'
    bpy.ops.render.render(write_still=True)
",
    );
    check_against(
        world,
        &project,
        &world.path("local"),
        &Case {
            flags: &["-f", "-12..1x10,0,1", "-o", "{}/out"],
            files: 4,
            ..Case::default()
        },
    );
}

fn exr(world: &World) {
    let setup = "import bpy
settings = bpy.context.scene.render.image_settings
if hasattr(settings, 'media_type'): settings.media_type = 'MULTI_LAYER_IMAGE'
settings.file_format = 'OPEN_EXR_MULTILAYER'
settings.color_depth = '32'";
    check(
        world,
        &world.scene("plain"),
        &Case {
            output: "out/shot_###_x",
            setup,
            flags: &["--exr", "-f", "1..3", "-o", "{}/out"],
            ..Case::default()
        },
    );
}

/// Another scene of the file, with its own range, size and place.
fn other_scene(world: &World) {
    let project = world.scene("plain");
    by_hand(
        world,
        &project,
        "bpy.ops.render.render(animation=True, scene='Zwei / 2')",
    );
    check_against(
        world,
        &project,
        &world.path("local"),
        &Case {
            flags: &["--scene", "Zwei / 2"],
            files: 2,
            ..Case::default()
        },
    );
}

fn samples(world: &World) {
    check(
        world,
        &world.scene("plain"),
        &Case {
            output: "out/shot_###_x",
            setup: "import bpy; bpy.context.scene.cycles.samples = 5",
            flags: &[
                "--samples",
                "5",
                "--device",
                "cpu",
                "-f",
                "1..3",
                "-o",
                "{}/out",
            ],
            ..Case::default()
        },
    );
}

fn engine(world: &World) {
    check(
        world,
        &world.scene("plain"),
        &Case {
            output: "out/shot_###_x",
            frames: (2, 2),
            setup: "import bpy; bpy.context.scene.render.engine = 'BLENDER_WORKBENCH'",
            flags: &["--engine", "BLENDER_WORKBENCH", "-f", "2", "-o", "{}/out"],
            files: 1,
        },
    );
}

/// The file says not to overwrite: what is there stays, whatever it is.
fn kept_frames(world: &World) {
    let project = world.scene("keep");
    let put_one = || {
        std::fs::create_dir_all(project.path("out")).unwrap();
        std::fs::write(project.path("out/keep_0002.png"), b"not even a picture").unwrap();
    };
    put_one();
    let local = world.path("local");
    project.render_locally(world, "out/keep_", (1, 3), "", &local);
    put_one();
    tessera_run(
        &world.home("user"),
        &["render", project.file(), "-f", "1..3"],
    )
    .done();
    let farm = world.path("farm");
    project.take_products(&farm);
    for side in [&farm, &local] {
        let kept = side.join("out/keep_0002.png");
        assert_eq!(std::fs::read(&kept).unwrap(), b"not even a picture");
        std::fs::remove_file(kept).unwrap();
    }
    identical(&farm, &local, 2);
}

/// Blanks, letters of other languages, and characters that mean something to Blender or a shell.
fn odd_names(world: &World) {
    let made = world.scene_at("plain", "Büro & \'Söhne\' #1/日本");
    let odd = made.path("sc ene 100% (x).blend");
    std::fs::rename(&made.blend, &odd).unwrap();
    let project = Project::new(made.folder, odd);
    check(
        world,
        &project,
        &Case {
            output: "ou t #x/###/shot_###_x",
            flags: &["-f", "1..3", "-o", "{}/ou t #x/###/"],
            ..Case::default()
        },
    );
}

/// `-o` is read as Blender reads it, where it names a pattern; relative to the current folder, or with `//` to the file's.
fn output_patterns(world: &World) {
    let project = world.scene("plain");
    let patterns = [
        "pat/x_##_y_####",
        "pat/with_###.png",
        "pat/other_###.jpg",
        "//pat/beside_#",
    ];
    for (number, pattern) in patterns.into_iter().enumerate() {
        let local = world.path(&format!("local-{number}"));
        project.render_locally(world, pattern.trim_start_matches("//"), (9, 10), "", &local);
        let mut command =
            world
                .home("user")
                .command(&["render", project.file(), "-f", "9,10", "-o", pattern]);
        crate::ended::run(command.current_dir(&project.folder)).done();
        let farm = world.path(&format!("farm-{number}"));
        project.take_products(&farm);
        identical(&farm, &local, 2);
    }
}

/// While a frame is rendered, an empty file stands where it will be, if the file asks for that; never longer.
#[test]
fn placeholders() {
    let world = World::any();
    let project = world.scene("keep");
    let user = world.home("user");
    let arguments = ["render", project.file(), "-f", "1..2", "--samples", "3000"];
    let first = project.path("out/keep_0001.png");
    let mark = |render: &mut xtask::farm::Process| {
        let begun = render.wait(|line| {
            matches!(line, tessera_wire::line::LineKind::Started { .. }).then_some(())
        });
        begun.unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !first.exists() {
            assert!(std::time::Instant::now() < until, "no mark is made");
            std::thread::yield_now();
        }
        assert_eq!(std::fs::metadata(&first).unwrap().len(), 0);
    };
    let mut interrupted = user.start(&arguments).unwrap();
    mark(&mut interrupted);
    interrupted.signal("INT").unwrap();
    assert_eq!(interrupted.end().unwrap().0.code(), Some(130));
    assert!(!first.exists(), "the mark is left behind");
    let mut render = user.start(&arguments).unwrap();
    mark(&mut render);
    render.finish().unwrap();
    assert!(std::fs::metadata(&first).unwrap().len() > 0);
}
