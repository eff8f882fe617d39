//! The tasks of one worker: all ended with it, and none that fails unseen.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    tasks: TaskTracker,
    end: CancellationToken,
    broken: watch::Sender<Option<&'static str>>,
}

impl Crew {
    pub(crate) fn new() -> Self {
        Self {
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            broken: watch::Sender::new(None),
        }
    }

    /// A task that is dropped wherever it waits when the worker ends.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.end.clone().run_until_cancelled_owned(task);
        self.spawn_to_end(name, async move {
            task.await;
        });
    }

    /// A task that sees to its own end when [`Self::end`] is cancelled.
    pub(crate) fn spawn_to_end(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let broken = self.broken.clone();
        self.tasks.spawn(async move {
            // Nothing of a task that panicked is used again: the worker ends.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                broken.send_replace(Some(name));
            }
        });
    }

    pub(crate) fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// The name of a task that failed, as soon as one has.
    pub(crate) async fn broken(&self) -> &'static str {
        let mut broken = self.broken.subscribe();
        let name = broken.wait_for(Option::is_some).await.map(|name| *name);
        name.ok().flatten().expect("this crew holds the sender")
    }

    /// Ends all tasks and waits until they have.
    pub(crate) async fn dismiss(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
