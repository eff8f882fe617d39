//! A Blender that waits leaves the processors to others.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use tessera_blender::{Blender, Launch, Overrides};

use crate::support::{Stage, builds};

/// Ticks of the kernel's clock (there are 100 a second) that answering takes before the threads are compared: many
/// times the granularity.
const TICKS: u64 = 30;

/// Processor time of each thread of a process, in ticks.
fn ticks(pid: u32) -> BTreeMap<u32, u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let thread = thread.unwrap();
        // It may end meanwhile.
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        // The name may hold anything, a bracket included; user and system time are the 12th and 13th field after it.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let used: u64 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Some((thread.file_name().to_str()?.parse().ok()?, used))
    };
    threads.filter_map(of).collect()
}

/// How often it is looked: a thread that spins does so after some frames and not after others. Without what the driver does
/// about it, each of four runs found it.
const FRAMES: i32 = 4;

/// With one thread, oneTBB in bpy 5.0.1 left one of its own spinning; see the driver's `threads.py`. The threads of an idle
/// Blender are compared with the one that answers pings, so that nobody has to wait and a busy machine is no matter.
#[tokio::test]
async fn an_idle_blender_uses_no_processor() {
    let one = Launch {
        threads: NonZeroU32::new(1),
        ..Launch::default()
    };
    for build in builds().await {
        let mut stage = Stage::with(&build, &one).await;
        stage.make("simple.py", &[]);
        stage.open("simple.blend").await.unwrap();
        for frame in 1..=FRAMES {
            stage.render(frame, Overrides::default()).await.unwrap();
            let (idle, answering) = compare(&stage.blender).await;
            assert!(
                idle <= answering / 10,
                "{build}: {idle} ticks of threads with nothing to do, {answering} of the one that answered"
            );
        }
    }
}

/// What a Blender's threads use while it answers pings: all but the busiest one, and that one.
async fn compare(blender: &Blender) -> (u64, u64) {
    let (pid, handle) = (blender.pid(), blender.handle());
    let before = ticks(pid);
    loop {
        for _ in 0..100 {
            handle.ping().await.unwrap();
        }
        let used = ticks(pid)
            .into_iter()
            .map(|(thread, used)| used - before.get(&thread).copied().unwrap_or(0));
        let mut used: Vec<u64> = used.collect();
        used.sort_unstable();
        let answering = used.pop().unwrap();
        if answering >= TICKS {
            return (used.iter().sum(), answering);
        }
    }
}
