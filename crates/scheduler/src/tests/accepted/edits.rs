//! Edits of a job.

use super::*;

#[test]
fn an_edit_is_held_to_the_same_bounds_and_changes_nothing_if_refused() {
    let mut world = World::new();
    let id = world.submit(job("1"));
    let before = world.scheduler.job_ref(id).unwrap().clone();
    for edit in [
        JobEdit {
            name: Some("x".repeat(201)),
            ..JobEdit::default()
        },
        JobEdit {
            chunk: Some(0),
            comment: Some("kept?".into()),
            ..JobEdit::default()
        },
        JobEdit {
            after: Some(vec![After {
                job: id,
                frames: true,
            }]),
            ..JobEdit::default()
        },
    ] {
        let effects = world.input(Input::Job(id, JobCommand::Edit(edit)));
        assert!(matches!(
            effects.outcome,
            Outcome::Refused(Refusal::Invalid(_))
        ));
        assert_eq!(effects.changes, []);
        assert_eq!(world.scheduler.job_ref(id), Some(&before));
    }
    let edit = JobEdit {
        after: Some(vec![After {
            job: JobId(99),
            frames: false,
        }]),
        ..JobEdit::default()
    };
    assert_eq!(
        world.edit(id, edit),
        Outcome::Refused(Refusal::NoJob(JobId(99)))
    );
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let id = world.submit(job("1..4"));
    let old = world.scheduler.job_ref(id).unwrap().settings.clone();
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let new = JobSettings {
        name: "other".into(),
        category: "film".into(),
        priority: 5,
        tags: vec!["fast".into()],
        comment: "two\nlines".into(),
        chunk: 2,
        max_attempts: 7,
        requirement: Requirement {
            cores: Some(2),
            ..Requirement::default()
        },
        resources: vec!["nuke".into()],
        after,
        preempt: true,
        notify: vec!["studio".into()],
    };
    let one = new.clone();
    let parts = [
        JobEdit {
            name: Some(one.name),
            ..JobEdit::default()
        },
        JobEdit {
            category: Some(one.category),
            priority: Some(one.priority),
            tags: Some(one.tags),
            ..JobEdit::default()
        },
        JobEdit {
            comment: Some(one.comment),
            chunk: Some(one.chunk),
            max_attempts: Some(one.max_attempts),
            ..JobEdit::default()
        },
        JobEdit {
            requirement: Some(one.requirement),
            resources: Some(one.resources),
            after: Some(one.after),
            preempt: Some(one.preempt),
            notify: Some(one.notify),
            ..JobEdit::default()
        },
    ];
    let settings = |world: &World| world.scheduler.job_ref(id).unwrap().settings.clone();
    for (at, edit) in parts.into_iter().enumerate() {
        let effects = world.input(Input::Job(id, JobCommand::Edit(edit)));
        let edited = Change::JobEdited(id, settings(&world));
        assert_eq!(effects.changes[0], edited);
        if at == 0 {
            let name = new.name.clone();
            assert_eq!(
                settings(&world),
                JobSettings {
                    name,
                    ..old.clone()
                }
            );
        }
    }
    assert_eq!(settings(&world), new);
    // The same once more is no change.
    let effects = world.input(Input::Job(
        id,
        JobCommand::Edit(JobEdit {
            priority: Some(5),
            ..JobEdit::default()
        }),
    ));
    assert_eq!(effects.outcome, Outcome::Applied);
    assert_eq!(effects.changes, []);
}

#[test]
fn an_edit_may_keep_a_job_that_is_gone_among_those_waited_for() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let id = world.submit(with("1", |new| new.settings.after = after.clone()));
    world.input(Input::Job(first, JobCommand::Remove));
    let edit = JobEdit {
        after: Some(after),
        priority: Some(9),
        ..JobEdit::default()
    };
    assert_eq!(world.edit(id, edit), Outcome::Applied);
    assert_eq!(world.scheduler.job_ref(id).unwrap().settings.priority, 9);
}

#[test]
fn an_edit_that_would_make_a_circle_is_refused_however_long_it_is() {
    let mut world = World::new();
    let after = |job| vec![After { job, frames: false }];
    let first = world.submit(job("1"));
    let second = world.submit(with("1", |new| new.settings.after = after(first)));
    let third = world.submit(with("1", |new| new.settings.after = after(second)));
    let wait_for = |job| JobEdit {
        after: Some(after(job)),
        ..JobEdit::default()
    };
    let refusal = Refusal::Invalid(format!(
        "job {first} would wait for itself: one of the jobs it shall wait for waits for it"
    ));
    assert_eq!(
        world.edit(first, wait_for(third)),
        Outcome::Refused(refusal)
    );
    // Two ways to the same job are no circle.
    let both = JobEdit {
        after: Some([after(first), after(second)].concat()),
        ..JobEdit::default()
    };
    assert_eq!(world.edit(third, both), Outcome::Applied);
}

#[test]
fn what_lies_ready_where_it_may_not_be_any_more_is_asked_back_and_nothing_else() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.say(b, |facts| {
        facts.tags = vec!["fast".into()];
        facts.memory_bytes = 2 << 30;
    });
    for edit in [
        JobEdit {
            tags: Some(vec!["fast".into()]),
            ..JobEdit::default()
        },
        JobEdit {
            requirement: Some(Requirement {
                memory_bytes: Some(2 << 30),
                ..Requirement::default()
            }),
            ..JobEdit::default()
        },
    ] {
        let id = world.submit(job("1..4"));
        world.start(a, 0);
        world.start(b, 0);
        world.orders.clear();
        let ready = world.hands[&a][1].0;
        world.edit(id, edit);
        let recalls: Vec<_> = world
            .orders
            .iter()
            .filter(|(_, order)| matches!(order, Order::Recall(_)))
            .cloned()
            .collect();
        assert_eq!(recalls, [(a, Order::Recall(ready))]);
        world.input(Input::Job(id, JobCommand::Remove));
    }
}

#[test]
fn an_edit_of_something_else_asks_nothing_back() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..4"));
    world.start(a, 0);
    // It may not have this job any more, but nobody asked.
    world.say(a, |facts| facts.builds = vec![build("3.6.0")]);
    world.orders.clear();
    let comment = Some("hello".into());
    world.edit(
        id,
        JobEdit {
            comment,
            ..JobEdit::default()
        },
    );
    assert_eq!(world.orders, []);
}
