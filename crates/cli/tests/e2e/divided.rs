//! One frame on several workers: divided, put together, and the same as if one Blender had rendered it.

use std::fs;

use tessera_client::Api;
use tessera_model::{JobId, JobState, SplitBy, Step, StepKind};
use tessera_wire::api::JobDetail;
use tessera_wire::line::LineKind;

use crate::site::{Site, ask, until};
use crate::world::{
    Project, World, identical, on_both, tessera_run, text, the_same_but_for_rounding,
};

on_both!(
    tiles_as_asked_for,
    a_still_is_divided_by_itself,
    samples_are_divided_where_that_is_asked_for,
    samples_are_added_to_a_still,
    samples_are_added_to_a_still_that_is_rendered,
    samples_go_where_there_is_noise,
    a_frame_is_seen_while_it_grows,
    a_killed_worker_costs_what_it_had_in_hand,
);

/// Sampling patterns and passes differ from version to version.
mod in_4_2 {
    use crate::world::on_4_2;

    on_4_2!(tiles_as_asked_for, blue_noise_is_divided_into_tiles);
}

fn locally(world: &World, project: &Project) -> std::path::PathBuf {
    let local = world.path("local");
    project.render_locally(world, "out/still_####", (1, 1), "", &local);
    local
}

fn detail(site: &Site, job: JobId) -> JobDetail {
    ask(&site.boss, async |api| api.job(job).await.unwrap())
}

fn is_divided(detail: &JobDetail) -> bool {
    let mut steps = detail.steps.iter();
    steps.any(|step| matches!(step.kind, StepKind::Slices(_)))
}

/// Two frames of two view layers with all their passes, each in twelve tiles.
fn tiles_as_asked_for(world: &World) {
    let project = world.scene("layers");
    let local = world.path("local");
    project.render_locally(world, "out/layers_####", (1, 2), "", &local);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let tiles = ["-f", "1..2", "--tiles", "4x3", "-o", text(&out)];
    let mut arguments = vec!["render", project.file()];
    arguments.extend(tiles);
    site.boss.run(&arguments).unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 2);

    let journal = site.delivered_once(JobId(1));
    assert_eq!((journal.frames, journal.failures), (2 * 12 + 2, 0));
    let shown = detail(&site, JobId(1));
    let summary = shown.summary;
    assert_eq!((summary.frames, summary.done), (2, 2));
    assert_eq!((summary.places, summary.places_done), (24, 24));

    // The same command again finds them there.
    fs::rename(world.path("farm").join("out"), &out).unwrap();
    site.boss.run(&arguments).unwrap();
    assert_eq!(site.delivered_once(JobId(1)).leases, journal.leases);
    look_at(world, &site, 2);

    // Frames that cannot be divided are refused with the reason, and not rendered otherwise.
    let ordered = world.scene("cloth");
    let told = tessera_run(&site.boss, &["render", ordered.file(), "--split", "2x2"]);
    told.refused(2, &["--split", "depend on the frames before them"]);
}

/// Brings the previews of the first job's frames, which are as large as the frames and not dark.
fn look_at(world: &World, site: &Site, frames: usize) {
    let folder = world.path("look");
    let lines = site
        .boss
        .run(&["fetch", "1", "--previews", text(&folder)])
        .unwrap();
    let brought: Vec<_> = lines
        .into_iter()
        .filter_map(|line| match line {
            LineKind::Preview {
                frame,
                file,
                finished,
            } => Some((frame, file, finished)),
            _ => None,
        })
        .collect();
    assert_eq!(brought.len(), frames, "{brought:?}");
    for (frame, file, finished) in brought {
        assert!(finished, "{frame}");
        assert_eq!(file, folder.join(format!("{frame:04}.jpg")));
        let picture = image::open(&file).unwrap().into_luma8();
        let light = picture.iter().max().unwrap();
        assert!(*light > 64, "{}: {light}", file.display());
        assert!(picture.width() > 32, "{}", file.display());
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), frames);
}

fn a_still_is_divided_by_itself(world: &World) {
    let project = world.scene("still");
    let local = locally(world, &project);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let arguments = ["render", project.file(), "-f", "1", "-o", text(&out)];
    site.boss.run(&arguments).unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 1);
    let shown = detail(&site, JobId(1));
    assert!(is_divided(&shown), "{shown:?}");
    let journal = site.delivered_once(JobId(1));
    // The frame put together is one; what workers were given of it grew and shrank with what was left.
    let slices = journal.leases - 1;
    assert!((4..=16).contains(&slices), "{journal:?}");

    look_at(world, &site, 1);

    // Rendered whole where that is asked for.
    let whole = [&arguments[..], &["--tiles", "off", "--samples", "4"]].concat();
    site.boss.run(&whole).unwrap();
    assert!(!is_divided(&detail(&site, JobId(2))));
}

fn samples_are_divided_where_that_is_asked_for(world: &World) {
    let project = world.scene("sampled");
    let local = world.path("local");
    project.render_locally(world, "out/sampled_####", (1, 1), "", &local);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let by_samples = |project: &Project| {
        let out = project.path("out");
        let arguments = ["render", project.file(), "-f", "1", "--split", "samples"];
        tessera_run(&site.boss, &[&arguments[..], &["-o", text(&out)]].concat())
    };
    let ended = by_samples(&project).done();
    assert!(!ended.to_string().contains("cannot be divided"), "{ended}");
    project.take_products(&world.path("farm"));
    the_same_but_for_rounding(&world.path("farm"), &local);
    let shown = detail(&site, JobId(1));
    let split = shown.steps.iter().find_map(Step::divided).unwrap();
    assert_eq!((split.by, split.places()), (SplitBy::Samples, 64));
    // Each range is a file of the whole frame: few of them.
    let journal = site.delivered_once(JobId(1));
    assert!((2..=16).contains(&(journal.leases - 1)), "{journal:?}");
    let sheet = tessera_run(&site.boss, &["job", "show", "1"]).done();
    assert!(
        sheet
            .to_string()
            .contains("divided among workers by their samples"),
        "{sheet}"
    );

    // So many that before Blender 4.4 a range of them is none of all.
    let many = [
        "submit",
        project.file(),
        "-f",
        "1",
        "--split",
        "samples",
        "--samples",
        "300",
    ];
    let told = tessera_run(&site.boss, &many).done().to_string();
    let split = *detail(&site, JobId(2))
        .steps
        .iter()
        .find_map(Step::divided)
        .unwrap();
    tessera_run(&site.boss, &["job", "cancel", "2"]).done();
    let is_old = world.blender.name().contains("3.4");
    assert_eq!(told.contains("divided into tiles, since"), is_old, "{told}");
    assert_eq!(split.by != SplitBy::Samples, is_old, "{split:?}");

    // Where it would make another picture, it is tiles, and said why.
    let adaptive = world.scene("still");
    let local = world.path("local tiles");
    adaptive.render_locally(world, "out/still_####", (1, 1), "", &local);
    let told = by_samples(&adaptive).done().to_string();
    assert!(
        told.contains("divided into tiles") && told.contains("adaptive sampling"),
        "{told}"
    );
    adaptive.take_products(&world.path("tiles"));
    identical(&world.path("tiles"), &local, 1);
    let shown = detail(&site, JobId(3));
    let split = shown.steps.iter().find_map(Step::divided).unwrap();
    assert!(matches!(split.by, SplitBy::Halvings(_)), "{split:?}");
}

/// The pattern that Blender 4.2 takes by itself is another for a range of samples than for all: so much is said, and the frame is exact.
fn blue_noise_is_divided_into_tiles(world: &World) {
    let project = world.scene("sampled");
    let local = world.path("local");
    project.render_locally(world, "out/sampled_####", (1, 1), "", &local);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let asked = ["-f", "1", "--split", "samples", "-o", text(&out)];
    let asked = [&["render", project.file()][..], &asked].concat();
    let told = tessera_run(&site.boss, &asked).done().to_string();
    assert!(
        told.contains("divided into tiles, since") && told.contains("blue noise"),
        "{told}"
    );
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 1);
    let shown = detail(&site, JobId(1));
    let split = shown.steps.iter().find_map(Step::divided).unwrap();
    assert!(matches!(split.by, SplitBy::Halvings(_)), "{split:?}");
}

/// A still of 16 samples with room for 64, to a folder of its own.
fn few_samples<'a>(project: &'a Project, out: &'a std::path::Path) -> Vec<&'a str> {
    let asked = ["-f", "1", "--split", "samples", "--samples", "16"];
    let mut arguments = vec![project.file()];
    arguments.extend(asked);
    arguments.extend(["--room-for", "64", "-o", text(out)]);
    arguments
}

/// The newest ranges of samples, of all of which there are.
fn samples(site: &Site, job: JobId) -> (u32, u32) {
    let shown = detail(site, job);
    let split = shown.steps.iter().rev().find_map(Step::divided).unwrap();
    (split.first, split.samples)
}

/// What is there is kept and the rest rendered, and all together is what a render of as many samples is.
fn samples_are_added_to_a_still(world: &World) {
    let project = world.scene("sampled");
    let local = world.path("local");
    project.render_locally(world, "out/sampled_####", (1, 1), "", &local);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let told = |arguments: &[&str]| tessera_run(&site.boss, arguments);
    told(&[&["render"][..], &few_samples(&project, &out)].concat()).done();
    let first = world.path("first");
    project.take_products(&first);
    let sheet = told(&["job", "show", "1"]).done().to_string();
    assert!(
        sheet.contains("16; `tessera job edit 1 --samples +N` adds"),
        "{sheet}"
    );

    // As long as there is no other, the picture of before is there.
    told(&["worker-admin", "pause", "anna", "ben"]).done();
    told(&["job", "edit", "1", "--samples", "+16"]).done();
    assert_eq!(detail(&site, JobId(1)).summary.done, 0);
    assert_eq!(samples(&site, JobId(1)), (16, 32));
    told(&["job", "cancel", "1"]).done();
    told(&["fetch", "1"]).done();
    let again = world.path("again");
    project.take_products(&again);
    identical(&again, &first, 1);
    told(&["worker-admin", "resume", "anna", "ben"]).done();
    told(&["job", "retry", "1"]).done();
    told(&["fetch", "1", "--wait"]).done();
    // Parts go when their frame is put together; what more is added to is kept.
    ask(&site.boss, async |api| api.collect_store().await.unwrap());
    told(&["job", "edit", "1", "--samples", "64"]).done();
    assert_eq!(samples(&site, JobId(1)), (32, 64));
    told(&["fetch", "1", "--wait"]).done();
    let farm = world.path("farm");
    project.take_products(&farm);
    the_same_but_for_rounding(&farm, &local);
    // Each sample was rendered once: 16, 16 and 32, and the frame put together of each.
    let journal = site.delivered_once(JobId(1));
    assert_eq!(journal.frames, 64 + 3);
    let shown = detail(&site, JobId(1));
    assert_eq!(shown.summary.frames, 1);
    assert!(shown.fetched_at.is_some(), "{shown:?}");

    for (samples, because) in [
        ("63", "none can be taken away"),
        ("+100000000", "since their pattern is made for"),
    ] {
        let refused = told(&["job", "edit", "1", "--samples", samples]);
        refused.refused(2, &[because]);
    }
    let adaptive = world.scene("still");
    let job = site.submit(&adaptive, &["-f", "1"]).to_string();
    let refused = told(&["job", "edit", &job, "--samples", "+16"]);
    refused.refused(2, &["divided into tiles"]);
    let room = ["submit", adaptive.file(), "-f", "1", "--room-for", "4096"];
    told(&room).refused(2, &["--split samples"]);
    let room = [&room[..], &["--split", "samples"]].concat();
    told(&room).refused(2, &["adaptive sampling"]);
}

/// So it is while the first ones are rendered: the frame is put together once, with all of them.
fn samples_are_added_to_a_still_that_is_rendered(world: &World) {
    let project = world.scene("sampled");
    let local = world.path("local");
    project.render_locally(world, "out/sampled_####", (1, 1), "", &local);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let job = site.submit(&project, &few_samples(&project, &out)[1..]);
    until(&site.boss, "some of the samples", async |api| {
        let summary = api.job(job).await.ok()?.summary;
        (summary.places_done > 0).then_some(())
    });
    tessera_run(&site.boss, &["job", "edit", "1", "--samples", "64"]).done();
    tessera_run(&site.boss, &["fetch", "1", "--wait"]).done();
    let farm = world.path("farm");
    project.take_products(&farm);
    the_same_but_for_rounding(&farm, &local);
    site.delivered_once(job);
}

/// Farm-wide adaptive sampling is as near to the truth as that of one Blender, with not many more samples; and however many render it,
/// the frame is one and the same.
fn samples_go_where_there_is_noise(world: &World) {
    let project = world.scene("noisy");
    let (local, truth) = (world.path("local"), world.path("truth"));
    project.render_locally(world, "out/noisy_####", (1, 1), "", &local);
    let all = "import bpy\nc = bpy.context.scene.cycles\nc.use_adaptive_sampling, c.samples, c.seed = False, 1024, 7\n";
    project.render_locally(world, "out/noisy_####", (1, 1), all, &truth);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let told = |arguments: &[&str]| tessera_run(&site.boss, arguments);
    let out = project.path("out");
    let render = ["render", project.file(), "-f", "1", "--elastic"];
    told(&[&render[..], &["-o", text(&out)]].concat()).done();
    let farm = world.path("farm");
    project.take_products(&farm);
    let file = |of: &std::path::Path| of.join("out/noisy_0001.exr");
    let error = |of: &std::path::Path| apart(&file(of), &file(&truth));
    let (ours, theirs) = (error(&farm), error(&local));
    assert!(ours < 1.2 * theirs, "{ours} against {theirs}");

    let shown = detail(&site, JobId(1));
    let splits: Vec<_> = shown.steps.iter().filter_map(Step::divided).collect();
    assert!(splits.len() > 1, "{splits:?}");
    assert!(splits.iter().all(|split| split.grows_to == Some(256)));
    let tiles = f64::from(splits[0].tile_count());
    let samples: f64 = splits
        .iter()
        .map(|split| f64::from(split.places() * split.ranged()) / tiles)
        .sum();
    assert!(samples < 0.9 * 256.0, "{samples}");
    let summary = &shown.summary;
    assert_eq!((summary.frames, summary.done), (1, 1));
    site.delivered_once(JobId(1));
    let sheet = told(&["job", "show", "1"]).done().to_string();
    assert!(
        sheet.contains(&format!("{samples:.1} on average")),
        "{sheet}"
    );

    told(&["worker-admin", "pause", "ben"]).done();
    let again = world.path("again");
    told(&[&render[..], &["-o", text(&again.join("out"))]].concat()).done();
    identical(&again, &farm, 1);

    // Where nothing says how much noise may be left, frames are what they would be without.
    let even = world.scene("sampled");
    let told = told(&["render", even.file(), "-f", "1", "--elastic", "--detach"]);
    let told = told.done().to_string();
    assert!(told.contains("adaptive sampling is off"), "{told}");
    let both = ["render", even.file(), "--elastic", "--split", "2x2"];
    tessera_run(&site.boss, &both).refused(2, &["--elastic"]);
}

/// How far a picture is from another, as seen: root mean square of what its channels differ by on a screen.
fn apart(ours: &std::path::Path, theirs: &std::path::Path) -> f64 {
    let values = |path: &std::path::Path| -> Vec<f64> {
        let frame = tessera_merge::read(path).unwrap();
        let channels = frame
            .channels
            .iter()
            .filter(|channel| channel.name.pass.pass == "Combined" && channel.name.channel != "A");
        let of = |channel: &tessera_merge::Channel| match &channel.samples {
            tessera_merge::Samples::Float(values) => values.clone(),
            other => panic!("{other:?}"),
        };
        let light = channels.flat_map(of);
        light
            .map(|value| f64::from(value).clamp(0.0, 1.0).powf(1.0 / 2.2))
            .collect()
    };
    let (ours, theirs) = (values(ours), values(theirs));
    assert!(ours.len() == theirs.len() && !ours.is_empty());
    let squares: f64 = ours.iter().zip(&theirs).map(|(a, b)| (a - b).powi(2)).sum();
    (squares / ours.len() as f64).sqrt()
}

/// What is there of a frame is shown, where it belongs and as it is going to look.
fn a_frame_is_seen_while_it_grows(world: &World) {
    let project = world.scene("still");
    let site = Site::with_workers(world, &["anna", "ben"]);
    let job = site.submit(&project, &["-f", "1", "--tiles", "4x3"]);
    let done = async |api: &Api| {
        let summary = api.job(job).await.unwrap().summary;
        (summary.places_done, summary.leased, summary.state)
    };
    until(&site.boss, "some of the frame", async |api| {
        (done(api).await.0 >= 2).then_some(())
    });
    tessera_run(&site.boss, &["job", "pause", "1"]).done();
    until(&site.boss, "nobody at work", async |api| {
        (done(api).await.1 == 0).then_some(())
    });
    let (places, _, state) = ask(&site.boss, async |api| done(&api).await);
    assert_eq!(state, JobState::Paused);
    assert!((2..12).contains(&places), "{places}");
    let folder = world.path("so far");
    let look = ["fetch", "1", "--previews", text(&folder)];
    let seen = |lines: Vec<LineKind>| -> (bool, image::RgbImage) {
        let mut seen = lines.into_iter().filter_map(|line| match line {
            LineKind::Preview { file, finished, .. } => Some((finished, file)),
            _ => None,
        });
        let (finished, file) = seen.next().unwrap();
        (finished, image::open(file).unwrap().into_rgb8())
    };
    let (finished, so_far) = seen(site.boss.run(&look).unwrap());
    assert!(!finished);
    tessera_run(&site.boss, &["job", "resume", "1"]).done();
    until(&site.boss, "the frame", async |api| {
        (done(api).await.2 == JobState::Done).then_some(())
    });
    let (finished, whole) = seen(site.boss.run(&look).unwrap());
    assert!(finished);
    assert_eq!(so_far.dimensions(), whole.dimensions());
    // Tiles of a frame that nobody has rendered are of one grey.
    let tile = |picture: &image::RgbImage, number: u32| -> Vec<u8> {
        let (width, height) = (picture.width() / 4, picture.height() / 3);
        let (left, top) = (number % 4 * width, number / 4 * height);
        let tile = image::imageops::crop_imm(picture, left + 8, top + 8, width - 16, height - 16);
        tile.to_image().into_raw()
    };
    let mut rendered = 0;
    for number in 0..12 {
        let (ours, theirs) = (tile(&so_far, number), tile(&whole, number));
        if ours.iter().all(|level| level.abs_diff(36) <= 3) {
            continue;
        }
        rendered += 1;
        let apart: u64 = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        let apart = apart as f64 / ours.len() as f64;
        assert!(apart < 6.0, "tile {number}: {apart}");
    }
    assert_eq!(rendered, places);
}

fn a_killed_worker_costs_what_it_had_in_hand(world: &World) {
    let project = world.scene("still");
    let local = locally(world, &project);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let tiles = ["-f", "1", "--tiles", "6x4", "-o", text(&out)];
    let mut arguments = vec!["render", project.file()];
    arguments.extend(tiles);
    let render = site.boss.start(&arguments).unwrap();
    until(&site.boss, "nine tenths of the frame", async |api| {
        let jobs = api.jobs(None, 10).await.ok()?;
        let job = jobs.items.first()?;
        (job.places_done >= 21).then_some(())
    });
    site.workers[0].process.signal("KILL").unwrap();
    render.finish().unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 1);
    // Of what was there nothing was rendered again: no more than one slot had in hand, what it rendered and what lay ready.
    let journal = site.delivered_once(JobId(1));
    let again = journal.leases - u64::from(journal.frames);
    assert!((0..=2).contains(&again), "{journal:?}");
}
