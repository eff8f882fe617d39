//! Runs are what they are said to be.

use tessera_sim::{Faults, Plan, Trace, run};

fn lines(plan: Plan) -> Vec<String> {
    let ended = run(plan, Trace::tail());
    ended.verdict.unwrap();
    ended.tail
}

#[test]
fn a_seed_replays_line_by_line() {
    let plan = Plan::new(11, 12, 150);
    let (one, two) = (lines(plan), lines(plan));
    assert!(one.len() > 10);
    assert_eq!(one, two);
    assert_ne!(one, lines(Plan { seed: 12, ..plan }));
}

#[test]
fn without_faults_every_frame_is_delivered_in_one_term() {
    let plan = Plan {
        faults: Faults::none(),
        ..Plan::new(3, 20, 400)
    };
    let summary = run(plan, Trace::Off).verdict.unwrap();
    assert!(summary.frames > 350, "{summary}");
    assert_eq!(summary.starts, 1);
}
