//! The same on real Blender.

use std::path::{Path, PathBuf};
use std::process::Command;

use tessera_blender::Search;
use tessera_model::FrameErrorKind;
use tessera_worker::WorkerConfig;

use crate::farm::{Farm, Worker, processes_of};

/// A cube with a texture named by an absolute path, moving; one with a lens at zero would do for a fault.
const SCENE: &str = r#"
import bpy, sys
bpy.ops.wm.read_factory_settings(use_empty=False)
folder = sys.argv[-1]
image = bpy.data.images.new("texture", 8, 8)
image.pixels = [1.0, 0.0, 0.0, 1.0] * 64
image.filepath_raw = folder + "/texture.png"
image.file_format = "PNG"
image.save()
scene = bpy.context.scene
cube = bpy.data.objects["Cube"]
cube.keyframe_insert("location", frame=1)
cube.location.x = 2
cube.keyframe_insert("location", frame=4)
material = bpy.data.materials["Material"]
material.use_nodes = True
node = material.node_tree.nodes.new("ShaderNodeTexImage")
node.image = bpy.data.images.load(folder + "/texture.png")
shader = material.node_tree.nodes["Principled BSDF"]
material.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
scene.render.engine = "CYCLES"
scene.cycles.samples = 4
scene.cycles.use_denoising = False
scene.render.resolution_x, scene.render.resolution_y = 64, 36
scene.render.resolution_percentage = 100
scene.render.filepath = "//out/shot_####"
scene.frame_end = 4
bpy.ops.wm.save_as_mainfile(filepath=folder + "/shot.blend")
"#;

struct Real {
    program: PathBuf,
    version: &'static str,
    module: bool,
}

fn blender_3() -> Real {
    Real {
        program: "/usr/bin/blender".into(),
        version: "3.4.1",
        module: false,
    }
}

fn bpy_5() -> Real {
    let home = std::env::var_os("HOME").unwrap();
    Real {
        program: Path::new(&home).join(".cache/tessera/bpy-5.0.1/bin/python"),
        version: "5.0.1",
        module: true,
    }
}

impl Real {
    /// Runs a script with a folder as its argument.
    fn run(&self, script: &Path, folder: &Path) {
        let mut command = Command::new(&self.program);
        match self.module {
            true => command.arg(script),
            false => command
                .args(["-b", "--factory-startup", "--python-exit-code", "1", "-P"])
                .arg(script)
                .arg("--"),
        };
        let output = command.arg(folder).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn use_in(&self, config: &mut WorkerConfig) {
        config.blender = Search {
            paths: vec![self.program.clone()],
            usual_places: false,
            cache: None,
        };
    }
}

async fn check(real: Real) {
    let farm = Farm::start().await;
    // Where the client has its files, which is nowhere when the worker renders.
    let client = farm.dir.path().join("client");
    std::fs::create_dir(&client).unwrap();
    let script = farm.dir.path().join("scene.py");
    std::fs::write(&script, SCENE).unwrap();
    real.run(&script, &client);

    let mut config = farm.pair("w", farm.address()).await;
    real.use_in(&mut config);
    config.threads = 1.try_into().ok();
    let mut worker = Worker::start(config);
    worker.linked().await;
    let (blend, texture) = (client.join("shot.blend"), client.join("texture.png"));
    let name = |path: &Path| path.to_str().unwrap().trim_start_matches('/').to_owned();
    let (blend_name, texture_name) = (name(&blend), name(&texture));
    let files = [
        (blend_name.as_str(), blend.as_path()),
        (texture_name.as_str(), texture.as_path()),
    ];
    let job = farm
        .submit_files(&files, real.version, "1..4", |_| {})
        .await;
    std::fs::rename(&client, farm.dir.path().join("elsewhere")).unwrap();
    let results = farm.done(job).await;
    assert_eq!(results.len(), 4);
    for result in &results {
        assert_eq!(
            result.files[0].name,
            format!("shot_{:04}.png", result.frame)
        );
        assert_eq!(result.build.version.to_string(), real.version);
        assert_eq!(result.device, "CPU");
    }
    let picture = farm.bytes(&results[0].files[0].blob).await;
    assert!(
        reddish(&picture),
        "the texture was found at its place in the tree"
    );
    assert!(
        results[1..]
            .iter()
            .all(|result| result.timings.load_us == 0)
    );
    assert!(
        results[1..]
            .iter()
            .all(|result| result.timings.idle_us < 1_000_000)
    );
    let stdout = farm.bytes(&results[0].stdout).await;
    assert!(!stdout.is_empty() || real.module, "the executable talks");

    // A file that is none fails with Blender's own words.
    let broken = farm.dir.path().join("broken.blend");
    std::fs::write(&broken, b"BLENDER-v304 and nothing").unwrap();
    let files = [("b/broken.blend", broken.as_path())];
    let job = farm.submit_files(&files, real.version, "1", |_| {}).await;
    farm.job(job, "the end of the job", |detail| {
        detail.summary.state.is_over()
    })
    .await;
    let errors = farm.errors(job).await;
    assert!(
        errors
            .iter()
            .all(|error| error.kind == FrameErrorKind::Scene),
        "{errors:?}"
    );
    worker.stop().await;
    assert!(processes_of(&farm.dir.path().join("w")).is_empty());
}

/// Cloth that keeps its simulation in files beside the .blend.
const CLOTH: &str = r#"
import bpy, sys
bpy.ops.wm.read_factory_settings(use_empty=False)
folder = sys.argv[-1]
scene = bpy.context.scene
bpy.ops.mesh.primitive_grid_add(x_subdivisions=8, y_subdivisions=8, size=4, location=(0, 0, 2))
cloth = bpy.context.object.modifiers.new("Cloth", "CLOTH")
bpy.data.objects["Cube"].modifiers.new("Collision", "COLLISION")
scene.render.engine = "CYCLES"
scene.cycles.samples = 1
scene.cycles.use_denoising = False
scene.render.resolution_x, scene.render.resolution_y = 64, 36
scene.frame_end = 8
bpy.ops.wm.save_as_mainfile(filepath=folder + "/cloth.blend")
cloth.point_cache.use_disk_cache = True
bpy.ops.wm.save_as_mainfile(filepath=folder + "/cloth.blend")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_reads_nothing_that_another_job_left() {
    let farm = Farm::start().await;
    let real = blender_3();
    let script = farm.dir.path().join("scene.py");
    std::fs::write(&script, CLOTH).unwrap();
    real.run(&script, farm.dir.path());
    let mut config = farm.pair("w", farm.address()).await;
    real.use_in(&mut config);
    config.threads = 1.try_into().ok();
    let mut worker = Worker::start(config);
    worker.linked().await;
    let blend = farm.dir.path().join("cloth.blend");
    let last_of = async |frames: &str| {
        let files = [("p/cloth.blend", blend.as_path())];
        let in_order = |submit: &mut tessera_wire::api::Submit| submit.steps[0].in_order = true;
        let job = farm
            .submit_files(&files, real.version, frames, in_order)
            .await;
        let results = farm.done(job).await;
        // The user hears why it is slower than it might be.
        let [note] = results[0].notes.as_slice() else {
            panic!("{:?}", results[0].notes)
        };
        assert!(note.contains("built anew for each frame"), "{note}");
        let png = farm.bytes(&results.last().unwrap().files[0].blob).await;
        image::load_from_memory(&png).unwrap().to_rgba8()
    };
    // Entered late, the cloth has fallen less; each job finds the scene as if it were the first.
    let late = last_of("5..8").await;
    let whole = last_of("1..8").await;
    assert!(late != whole);
    assert!(last_of("5..8").await == late);
    assert!(last_of("1..8").await == whole);
}

/// Whether red leads somewhere in the middle of the picture.
fn reddish(png: &[u8]) -> bool {
    let picture = image::load_from_memory(png).unwrap().to_rgb8();
    picture
        .pixels()
        .any(|pixel| pixel.0[0] > 60 && pixel.0[0] > 3 * pixel.0[1].max(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn blender_3_4_1() {
    check(blender_3()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bpy_5_0_1() {
    check(bpy_5()).await;
}
