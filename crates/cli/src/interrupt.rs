//! Ctrl-C, and the system's request to end.
//!
//! The first one asks: commands see the token and end in order, which stops Blenders, says a farm job
//! off and leaves what is finished. The second one does not ask: the process ends at once. Blenders
//! die with the process that started them, so even then none is left behind.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Status;

/// Listens for signals for as long as the process lives, and gives the token that the first one cancels.
///
/// # Errors
/// If the system does not let signals be listened for.
pub(crate) fn listen() -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let terminate = signal(SignalKind::terminate())?;
    // A terminal that is closed hangs up; without this, the worker of a private farm would be cut off instead of ended.
    let hang_up = signal(SignalKind::hangup())?;
    let keyboard = signal(SignalKind::interrupt())?;
    tokio::spawn(watch(keyboard, interrupt.clone(), Asked::Keyboard));
    tokio::spawn(watch(terminate, interrupt.clone(), Asked::System));
    tokio::spawn(watch(hang_up, interrupt.clone(), Asked::System));
    Ok(interrupt)
}

/// Who asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Keyboard,
    System,
}

/// Whether the end was asked for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    any: CancellationToken,
    keyboard: CancellationToken,
}

impl Interrupt {
    /// Cancelled when the end is asked for.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.any
    }

    /// Whether it has been asked for.
    pub(crate) fn asked(&self) -> bool {
        self.any.is_cancelled()
    }

    /// How a program that runs until it is ended ends: 130 for Ctrl-C, 0 for the system's request.
    pub(crate) fn status(&self) -> Status {
        if self.keyboard.is_cancelled() {
            Status::Interrupted
        } else {
            Status::Done
        }
    }
}

async fn watch(mut signal: Signal, interrupt: Interrupt, asked: Asked) {
    while signal.recv().await.is_some() {
        if interrupt.asked() {
            std::process::exit(Status::Interrupted.number().into());
        }
        if asked == Asked::Keyboard {
            interrupt.keyboard.cancel();
        }
        interrupt.any.cancel();
    }
}
