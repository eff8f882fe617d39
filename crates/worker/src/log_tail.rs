//! Logs of frames that are being rendered, for whoever watches them from afar.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tessera_model::LeaseKey;
use tessera_wire::link::{FromWorker, LogStream};
use tokio::sync::Semaphore;

use crate::crew::Crew;
use crate::frame_dir::FrameDir;
use crate::hub::Hub;

/// Most bytes of one answer.
const ANSWER_MAX_BYTES: u64 = 256 << 10;

/// Most questions answered at once; more wait. Each holds an answer in memory and a thread that reads.
const ANSWERS_MAX: usize = 4;

/// Most questions that wait; what comes on top is not answered, and asked again.
const QUESTIONS_MAX: usize = 256;

type FrameKey = (LeaseKey, u32);

/// Where the logs of the frames in work are. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    folders: Arc<Mutex<HashMap<FrameKey, FrameDir>>>,
    answers: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    crew: Crew,
}

/// Asks for a part of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub request: u64,
    pub frame: FrameKey,
    pub stream: LogStream,
    pub from: u64,
}

impl Logs {
    pub(crate) fn new(crew: Crew) -> Self {
        Self {
            folders: Arc::default(),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            crew,
        }
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<FrameKey, FrameDir>> {
        self.folders.lock().expect("nothing panics under the lock")
    }

    /// A frame's log begins in this folder. One entry per slot at most.
    pub(crate) fn begin(&self, frame: FrameKey, folder: &FrameDir) {
        self.folders().insert(frame, folder.clone());
    }

    /// It is whole; what is asked from now on is or soon will be in the store.
    pub(crate) fn end(&self, frame: &FrameKey) {
        self.folders().remove(frame);
    }

    /// Answers through the hub's link, in its own time.
    pub(crate) fn answer(&self, hub: &Arc<Hub>, question: Question) {
        let Ok(asked) = Arc::clone(&self.questions).try_acquire_owned() else {
            return;
        };
        let (logs, hub) = (self.clone(), Arc::clone(hub));
        self.crew.spawn("log answer", async move {
            let _asked = asked;
            let Ok(_answering) = logs.answers.acquire().await else {
                return;
            };
            let folder = logs.folders().get(&question.frame).cloned();
            let read = tokio::task::spawn_blocking(move || match folder {
                Some(folder) => folder.read_log(question.stream, question.from, ANSWER_MAX_BYTES),
                None => Ok(Vec::new()),
            });
            // A folder that has just gone is read as the end of the log, which it is.
            let bytes = read.await.ok().and_then(Result::ok).unwrap_or_default();
            let ended = !logs.folders().contains_key(&question.frame);
            hub.say(FromWorker::Log {
                request: question.request,
                bytes: BASE64_STANDARD.encode(bytes),
                ended,
            });
        });
    }
}
