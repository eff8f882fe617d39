//! Where a record can be. The suite runs on each.

use tempfile::TempDir;
use tessera_model::{Change, Term};
use tessera_state::State;

use crate::facts;

/// A place for a record.
#[derive(Debug, Clone, Copy)]
pub enum Backend {
    /// SQLite in a folder of its own.
    File,
    /// SQLite in memory.
    Memory,
}

/// A record of a test, gone with this value.
pub struct Record {
    pub state: State,
    /// None where there is no folder.
    folder: Option<TempDir>,
}

impl Record {
    pub async fn open(backend: Backend) -> Self {
        match backend {
            Backend::File => {
                let folder = tempfile::tempdir().unwrap();
                Self {
                    state: State::open(folder.path()).await.unwrap(),
                    folder: Some(folder),
                }
            }
            Backend::Memory => Self {
                state: State::open_in_memory().await.unwrap(),
                folder: None,
            },
        }
    }

    /// A new record with a worker and a job of these steps, and what is recorded after them.
    pub async fn farm(backend: Backend, steps: &[&str], changes: &[Change]) -> (Self, Term) {
        let record = Self::open(backend).await;
        let term = record.state.begin_term().await.unwrap();
        let farm = facts::farm(steps);
        record.state.commit(term, &farm).await.unwrap();
        record.state.commit(term, changes).await.unwrap();
        (record, term)
    }

    /// As a manager that starts again finds it.
    pub async fn restart(self) -> Self {
        let Self { state, folder } = self;
        match folder {
            Some(folder) => {
                drop(state);
                let state = State::open(folder.path()).await.unwrap();
                let folder = Some(folder);
                Self { state, folder }
            }
            None => Self { state, folder },
        }
    }
}

/// Makes each function, which takes a [`Backend`], a test on every one of them. One that is left out is dead code.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                $crate::backend::test_on!($name, file, File);
                $crate::backend::test_on!($name, memory, Memory);
            }
        )+
    };
}

macro_rules! test_on {
    ($name:ident, $test:ident, $backend:ident) => {
        #[tokio::test]
        async fn $test() {
            super::$name($crate::backend::Backend::$backend).await;
        }
    };
}

pub(crate) use {on_every_backend, test_on};
