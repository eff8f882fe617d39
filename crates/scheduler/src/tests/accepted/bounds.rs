//! The bounds of what a job says.

use super::*;

#[test]
fn a_name_is_one_line_of_1_to_200_characters() {
    let says = "a job's name is one line of 1 to 200 characters";
    set_right(|job| job.name = "ä".repeat(200));
    for name in [String::new(), "  ".into(), "x".repeat(201), "a\nb".into()] {
        assert_eq!(set_wrong(|job| job.name = name), says);
    }
}

#[test]
fn a_category_is_one_line_of_1_to_200_characters() {
    let says = "a category is one line of 1 to 200 characters";
    set_right(|job| job.category = "ä".repeat(200));
    for name in [String::new(), " ".into(), "x".repeat(201), "a\tb".into()] {
        assert_eq!(set_wrong(|job| job.category = name), says);
    }
}

#[test]
fn a_job_has_up_to_32_tags_of_1_to_200_characters() {
    let says = "a job has at most 32 tags of 1 to 200 characters";
    let tags = |count: usize| (0..count).map(|tag| tag.to_string()).collect();
    set_right(|job| job.tags = tags(31));
    set_right(|job| job.tags = tags(32));
    set_right(|job| job.tags = vec!["ä".repeat(200)]);
    assert_eq!(set_wrong(|job| job.tags = tags(33)), says);
    assert_eq!(set_wrong(|job| job.tags = tags(34)), says);
    for tag in [String::new(), "x".repeat(201), "a\nb".into()] {
        assert_eq!(set_wrong(|job| job.tags = vec!["ok".into(), tag]), says);
    }
}

#[test]
fn a_comment_has_up_to_10000_characters() {
    set_right(|job| job.comment = "a\nb".into());
    set_right(|job| job.comment = "ä".repeat(10_000));
    for length in [10_001, 10_002] {
        let got = set_wrong(|job| job.comment = "x".repeat(length));
        assert_eq!(got, "a comment has at most 10000 characters");
    }
}

#[test]
fn a_priority_is_1_to_1000() {
    for priority in [1, PRIORITY_MAX] {
        set_right(|job| job.priority = priority);
    }
    for priority in [0, PRIORITY_MAX + 1] {
        let got = set_wrong(|job| job.priority = priority);
        assert_eq!(got, format!("a priority is 1 to 1000, not {priority}"));
    }
}

#[test]
fn a_frame_is_tried_1_to_100_times() {
    for attempts in [1, 100] {
        set_right(|job| job.max_attempts = attempts);
    }
    for attempts in [0, 101] {
        let got = set_wrong(|job| job.max_attempts = attempts);
        assert_eq!(
            got,
            format!("a frame is tried 1 to 100 times, not {attempts}")
        );
    }
}

#[test]
fn a_chunk_is_never_empty() {
    set_right(|job| job.chunk = u32::MAX);
    assert_eq!(
        set_wrong(|job| job.chunk = 0),
        "a chunk has at least 1 frame"
    );
}

#[test]
fn some_blender_that_is_allowed_opens_the_file() {
    let range = |range: &str| Some(range.parse().unwrap());
    let says = "no Blender within ..3.3 opens a file saved by Blender 3.4: allow 3.4 or newer, or save the file with an older Blender";
    for right in ["..3.4", "3.4", "3.0..5.0", "4.2.."] {
        set_right(|job| job.requirement.blender = range(right));
    }
    assert_eq!(
        set_wrong(|job| job.requirement.blender = range("..3.3")),
        says
    );
    // Also later; and what has its Blender keeps it.
    let mut world = World::new();
    let open = world.submit(job("1"));
    world.join(1);
    let pinned = world.submit(job("1"));
    for (id, to, text) in [
        (open, "..3.3", says),
        (pinned, "..3.3", says),
        (
            pinned,
            "3.5..",
            "job 2 is rendered with Blender 3.4.1, which is not within 3.5.., and a job keeps its Blender: submit it again",
        ),
    ] {
        let edit = JobEdit {
            requirement: Some(Requirement {
                blender: range(to),
                ..Requirement::default()
            }),
            ..JobEdit::default()
        };
        let effects = world.input(Input::Job(id, JobCommand::Edit(edit)));
        assert_eq!(
            effects.outcome,
            Outcome::Refused(Refusal::Invalid(text.into()))
        );
        assert!(effects.changes.is_empty());
    }
}

#[test]
fn a_job_names_up_to_64_resources_and_workers() {
    let names = |count: usize| (0..count).map(|name| name.to_string()).collect();
    let wrong = ["".to_owned(), "x".repeat(201), "a\nb".into()];
    let says = |what| format!("a job has at most 64 {what} of 1 to 200 characters");
    for count in [63, 64] {
        set_right(|job| job.resources = names(count));
        set_right(|job| job.requirement.workers = names(count));
    }
    set_right(|job| job.resources = vec!["ä".repeat(200)]);
    for count in [65, 66] {
        let got = set_wrong(|job| job.resources = names(count));
        assert_eq!(got, says("resources"));
        let got = set_wrong(|job| job.requirement.workers = names(count));
        assert_eq!(got, says("names of workers"));
    }
    for name in wrong {
        let got = set_wrong(|job| job.resources = vec![name.clone()]);
        assert_eq!(got, says("resources"));
        let got = set_wrong(|job| job.requirement.workers = vec![name]);
        assert_eq!(got, says("names of workers"));
    }
}

#[test]
fn a_job_waits_for_up_to_64_others_that_exist() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let after = |job, count| {
        with("1", |new| {
            new.settings.after = vec![After { job, frames: false }; count];
        })
    };
    world.submit(after(first, 63));
    world.submit(after(first, 64));
    for count in [65, 66] {
        assert_eq!(
            refused(after(first, count)),
            "a job waits for at most 64 others"
        );
    }
    let nobody = JobId(99);
    let effects = world.input(Input::Submit(Box::new(after(nobody, 1))));
    assert_eq!(effects.outcome, Outcome::Refused(Refusal::NoJob(nobody)));
    assert_eq!(effects.changes, []);
}

#[test]
fn a_job_has_1_to_16_steps() {
    let steps = |count| {
        with("1", |new| {
            new.steps = vec![new.steps[0].clone(); count];
        })
    };
    for count in [1, 15, 16] {
        assert_eq!(World::new().submit(steps(count)), JobId(1));
    }
    for count in [0, 17, 18] {
        assert_eq!(
            refused(steps(count)),
            format!("a job has 1 to 16 steps, this one has {count}")
        );
    }
}

#[test]
fn a_job_has_up_to_four_million_frames_over_all_steps() {
    assert_eq!(MAX_FRAMES, 4_000_000);
    let new = |first: &str, second: &str| {
        with(first, |new| {
            new.settings.chunk = MAX_FRAMES;
            let mut step = new.steps[0].clone();
            step.frames = second.parse().unwrap();
            new.steps.push(step);
        })
    };
    let half = "-1000000..999999";
    for second in ["-1000000..999998", half] {
        assert_eq!(World::new().submit(new(half, second)), JobId(1));
    }
    for (second, frames) in [
        ("-1000000..1000000", 4_000_001),
        ("-1000000..1000001", 4_000_002),
    ] {
        assert_eq!(
            refused(new(half, second)),
            format!("a job has at most 4000000 frames, this one has {frames}: split it")
        );
    }
}

#[test]
fn a_note_has_up_to_64_kib() {
    for length in [0, 65_535, 65_536] {
        taken(|new| new.client_note = "x".repeat(length));
    }
    for length in [65_537, 65_538] {
        assert_eq!(
            refused(with("1", |new| new.client_note = "x".repeat(length))),
            "the client's note is longer than 65536 bytes"
        );
    }
}

#[test]
fn a_job_names_its_file() {
    assert_eq!(
        refused(with("1", |new| new.main_file.clear())),
        "the job names no .blend file"
    );
}

#[test]
fn a_step_that_follows_frame_by_frame_renders_on_the_same_device() {
    let second = |by_frame, device: Device| {
        with("1", |new| {
            let mut step = new.steps[0].clone();
            let overrides = step.overrides_mut();
            overrides.device = device;
            step.by_frame = by_frame;
            new.steps.push(step);
        })
    };
    assert_eq!(
        refused(second(true, Device::Gpu)),
        "steps that are rendered at the same time render on the same device"
    );
    for new in [
        second(true, Device::Cpu),
        second(false, Device::Gpu),
        second(false, Device::Cpu),
    ] {
        World::new().submit(new);
    }
}
