//! A full disk: said in words, nothing half-written, and the manager goes on once there is room. On a small tmpfs.

use std::path::Path;
use std::process::Command;

use tessera_model::Change;
use tessera_state::{OpenError, State, WriteError};

use crate::facts::{self, JOB, STEP, done};

/// A small file system of its own, gone with this value.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// None, and the reason printed, where this user may not mount.
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tessera-test"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                eprintln!("skipped: cannot mount a small tmpfs: {why}");
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot mount a small tmpfs: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room there is but `spare` bytes.
    fn fill(&self, spare: usize) {
        use std::io::Write;
        let filler = self.path().join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len.saturating_sub(spare as u64)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a connection's thread may still be closing its file.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_commit_on_a_full_disk_is_nothing_and_can_be_done_again() {
    for spare in [0, 4096, 40_960, 200_000] {
        let Some(disk) = SmallDisk::new("8m") else {
            return;
        };
        let state = State::open(disk.path()).await.unwrap();
        let term = state.begin_term().await.unwrap();
        state
            .commit(term, &facts::farm(&["1..9000"]))
            .await
            .unwrap();
        disk.fill(spare);
        let mut recorded = 0;
        let batch = |from: u32| -> Vec<Change> {
            (from..from + 100).map(|at| done(JOB, STEP, at)).collect()
        };
        let error = loop {
            match state.commit(term, &batch(recorded)).await {
                Ok(()) => recorded += 100,
                Err(error) => break error,
            }
        };
        let text = error.to_string();
        assert!(
            matches!(error, WriteError::DiskFull { .. }),
            "{spare}: {error:?}"
        );
        assert!(text.contains(disk.path().to_str().unwrap()), "{text}");
        // Still full, still said so.
        let error = state.commit(term, &batch(recorded)).await.unwrap_err();
        assert!(
            matches!(error, WriteError::DiskFull { .. }),
            "{spare}: {error:?}"
        );

        disk.make_room();
        let total = state.accepts(JOB).await.unwrap().unwrap().total();
        assert_eq!(total, u64::from(recorded));
        state.commit(term, &batch(recorded)).await.unwrap();
        let before = state.load().await.unwrap();
        state.close().await;
        let state = State::open(disk.path()).await.unwrap();
        assert_eq!(state.load().await.unwrap(), before);
        let total = state.accepts(JOB).await.unwrap().unwrap().total();
        assert_eq!(total, u64::from(recorded) + 100);
        state.close().await;
    }
}

#[tokio::test]
async fn a_record_cannot_be_made_on_a_full_disk() {
    for spare in [0, 4096, 40_960] {
        let Some(disk) = SmallDisk::new("4m") else {
            return;
        };
        disk.fill(spare);
        let error = State::open(disk.path().join("data")).await.unwrap_err();
        assert!(
            matches!(error, OpenError::DiskFull { .. }),
            "{spare}: {error:?}"
        );
        assert!(error.to_string().contains("data"), "{error}");
        disk.make_room();
        State::open(disk.path().join("data"))
            .await
            .unwrap()
            .close()
            .await;
    }
}

#[tokio::test]
async fn a_restart_on_a_full_disk_says_so_and_harms_nothing() {
    let Some(disk) = SmallDisk::new("4m") else {
        return;
    };
    let state = State::open(disk.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    let mut changes = facts::farm(&["1..9000"]);
    changes.extend((0..100).map(|at| done(JOB, STEP, at)));
    state.commit(term, &changes).await.unwrap();
    let before = state.load().await.unwrap();
    state.close().await;
    disk.fill(0);
    let error = State::open(disk.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::DiskFull { .. }), "{error:?}");
    disk.make_room();
    let state = State::open(disk.path()).await.unwrap();
    assert_eq!(state.load().await.unwrap(), before);
    state.close().await;
}
