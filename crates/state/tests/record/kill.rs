//! kill -9 in the middle of commits, with a real process: what was acknowledged is there, and every transaction is whole.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tessera_model::{Change, JobId};
use tessera_state::State;

use crate::facts::{self, JOB, STEP, WORKER, done, leased, token};

const FOLDER: &str = "TESSERA_STATE_KILL_FOLDER";

/// Frames of one transaction.
const FRAMES: u32 = 7;

/// Transaction `number`: a token, some frames, a lease of the unit after them.
fn transaction(number: u32) -> Vec<Change> {
    let first = number * FRAMES;
    let mut changes = vec![Change::TokenAdded(token(&format!("{number:08}")))];
    changes.extend((first..first + FRAMES).map(|at| done(JOB, STEP, at)));
    changes.push(leased(JOB, STEP, first, 1, WORKER));
    changes
}

/// Not a test of its own: the process that is killed. It commits for ever and says each number once it is recorded.
#[tokio::test]
#[ignore = "run by the_killed_process_lost_nothing_it_acknowledged"]
async fn commit_until_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let state = State::open(folder).await.unwrap();
    let term = state.begin_term().await.unwrap();
    let recorded = state.load().await.unwrap().tokens.len() as u32;
    for number in recorded.. {
        state.commit(term, &transaction(number)).await.unwrap();
        println!("recorded {number}");
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::commit_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the process after it acknowledged `count` transactions; the number of the last one it acknowledged.
fn run_and_kill(folder: &Path, count: usize) -> u32 {
    let mut child = spawn(folder);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut seen = 0;
    for line in lines {
        let line = line.unwrap();
        let Some((_, number)) = line.split_once("recorded ") else {
            continue;
        };
        last = Some(number.parse().unwrap());
        seen += 1;
        if seen == count {
            child.kill().unwrap();
            // What it still wrote into the pipe before it died was acknowledged too: read on to the end.
        }
    }
    child.wait().unwrap();
    last.expect("the process acknowledged at least one transaction")
}

#[tokio::test]
async fn the_killed_process_lost_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    state
        .commit(term, &facts::farm(&["1..1000000"]))
        .await
        .unwrap();
    state.close().await;
    for count in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let acknowledged = run_and_kill(folder.path(), count);
        let state = State::open(folder.path()).await.unwrap();
        let snapshot = state.load().await.unwrap();
        let transactions = snapshot.tokens.len() as u32;
        assert!(
            transactions > acknowledged,
            "transaction {acknowledged} is lost"
        );
        assert!(
            transactions <= acknowledged + 2,
            "more than the one in flight"
        );
        assert_eq!(snapshot.leases.len() as u32, transactions);
        assert_eq!(snapshot.attempts.len() as u32, transactions);
        let frames = u64::from(transactions * FRAMES);
        let accepts = state.accepts(JobId(1)).await.unwrap().unwrap();
        assert_eq!(accepts.total(), frames);
        assert_eq!(
            accepts.steps[0].accepted.first_clear(0),
            Some(frames as u32)
        );
        assert_eq!(accepts.steps[0].accepted, snapshot.jobs[0].steps[0].done);
        state.close().await;
    }
}
