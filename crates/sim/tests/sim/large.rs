//! The largest farm that is promised.

use tessera_sim::{Fault, Faults, Plan, Trace, run_watched};

/// Ten thousand workers and a million frames come to their end, with workers that die and links that break. Some minutes.
#[test]
#[ignore = "takes minutes: `make test-all`"]
fn ten_thousand_workers_render_a_million_frames() {
    let plan = Plan {
        faults: Faults::none().with(Fault::Crash).with(Fault::Partition),
        jobs: Some(200),
        ..Plan::new(1, 10_000, 1_000_000)
    };
    let summary = run_watched(plan, Trace::Off, &|so_far| eprintln!("{so_far}"));
    let summary = summary.verdict.unwrap();
    eprintln!("{summary}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find(|line| line.starts_with("VmHWM"));
        eprintln!("{}", peak.unwrap_or_default());
    }
    assert!(summary.frames > 990_000, "{summary}");
}
