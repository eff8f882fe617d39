//! How a command ends: its exit status, which scripts rely on, and the one line that says why.

use std::fmt;
use std::process::ExitCode;

use tessera_blender::RefusalCode;
use tessera_client::{
    ApiError, ChooseError, ConnectError, DiscoverError, FarmFileError, FetchError, FolderError,
    JoinError, PackError, SendError, SourcesError, SubmitError, TrustError,
};
use tessera_manager::ManagerError;
use tessera_wire::pairing::CodeError;
use tessera_wire::problem::ProblemKind;
use tessera_worker::WorkerError;

use crate::render::{DeliveryError, FollowError};
use crate::settings::{ConfigFileError, SettingError};

/// Exit status of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done.
    Done,
    /// The job failed, or whatever else the command was to bring about.
    Failed,
    /// The command was not understood, or names something that is not there.
    Usage,
    /// A manager cannot be reached, or does not allow it.
    Refused,
    /// Not all is there yet: the same command brings more later.
    Incomplete,
    /// Ended by the user.
    Interrupted,
}

impl Status {
    /// The number the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Incomplete => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.number())
    }
}

/// An end that a command itself decided on: what happened, to what, what to do, and the status.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Exit status.
    pub(crate) status: Status,
    /// One line.
    pub(crate) message: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stop {}

/// A [`Stop`] as an error.
pub(crate) fn stop(status: Status, message: impl Into<String>) -> anyhow::Error {
    Stop {
        status,
        message: message.into(),
    }
    .into()
}

/// The user asked for the end. `message` says how to go on.
pub(crate) fn interrupted(message: impl Into<String>) -> anyhow::Error {
    stop(Status::Interrupted, message)
}

/// The status that goes with an error: the outermost of its causes that has one decides.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    error.chain().find_map(known).unwrap_or(Status::Failed)
}

/// Errors that wrap another one transparently hide it from the chain, so their variants are looked into here.
fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Status> {
    if let Some(stop) = cause.downcast_ref::<Stop>() {
        return Some(stop.status);
    }
    if let Some(error) = cause.downcast_ref::<ApiError>() {
        return Some(of_api(error));
    }
    if let Some(error) = cause.downcast_ref::<JoinError>() {
        return Some(of_join(error));
    }
    if let Some(error) = cause.downcast_ref::<ChooseError>() {
        return Some(of_choice(error));
    }
    match cause.downcast_ref::<SourcesError>() {
        Some(SourcesError::Api(error)) => return Some(of_api(error)),
        Some(SourcesError::Unreadable { .. }) => return Some(Status::Failed),
        None => {}
    }
    match cause.downcast_ref::<SubmitError>() {
        Some(SubmitError::Send(error)) => return Some(of_send(error)),
        Some(SubmitError::Pack(error)) => return Some(of_pack(error)),
        None => {}
    }
    if let Some(error) = cause.downcast_ref::<SendError>() {
        return Some(of_send(error));
    }
    if let Some(error) = cause.downcast_ref::<FetchError>() {
        return Some(of_fetch(error));
    }
    match cause.downcast_ref::<FollowError>() {
        Some(FollowError::Api(error)) => return Some(of_api(error)),
        Some(FollowError::Delivery(DeliveryError::Fetch(error))) => return Some(of_fetch(error)),
        _ => {}
    }
    match cause.downcast_ref::<tessera_worker::JoinError>() {
        Some(tessera_worker::JoinError::Pair(error)) => return Some(of_join(error)),
        Some(_) => return Some(Status::Failed),
        None => {}
    }
    match cause.downcast_ref::<WorkerError>() {
        Some(WorkerError::NotPaired { .. }) => return Some(Status::Usage),
        Some(WorkerError::Refused { .. } | WorkerError::Trust { .. }) => {
            return Some(Status::Refused);
        }
        Some(_) => return Some(Status::Failed),
        None => {}
    }
    if let Some(error) = cause.downcast_ref::<PackError>() {
        return Some(of_pack(error));
    }
    let usage = cause.is::<SettingError>()
        || cause.is::<ConfigFileError>()
        || cause.is::<CodeError>()
        || cause.is::<FolderError>()
        || matches!(cause.downcast_ref(), Some(ManagerError::Certificate { .. }));
    let refused =
        cause.is::<ConnectError>() || cause.is::<DiscoverError>() || cause.is::<TrustError>();
    match (usage, refused) {
        (true, _) => Some(Status::Usage),
        (_, true) => Some(Status::Refused),
        _ => None,
    }
}

fn of_join(error: &JoinError) -> Status {
    match error {
        JoinError::Address(_) | JoinError::WrongSort { .. } => Status::Usage,
        JoinError::Api(error) => of_api(error),
        JoinError::Discover(_) | JoinError::Trust(_) => Status::Refused,
        JoinError::Key(_) => Status::Failed,
    }
}

fn of_choice(error: &ChooseError) -> Status {
    match error {
        ChooseError::Stranger { .. } => Status::Refused,
        ChooseError::File(FarmFileError::Unknown { .. })
        | ChooseError::Address(_)
        | ChooseError::Half { .. }
        | ChooseError::Certificate { .. } => Status::Usage,
        ChooseError::File(_) => Status::Failed,
    }
}

fn of_send(error: &SendError) -> Status {
    match error {
        SendError::Api(error) => of_api(error),
        _ => Status::Failed,
    }
}

fn of_fetch(error: &FetchError) -> Status {
    match error {
        FetchError::Api(error) => of_api(error),
        _ => Status::Failed,
    }
}

fn of_pack(error: &PackError) -> Status {
    match error {
        PackError::Unreadable { .. }
        | PackError::Header(_)
        | PackError::Tiles { .. }
        | PackError::Room { .. }
        | PackError::Scene { .. }
        | PackError::Engine { .. }
        | PackError::Frames { .. }
        | PackError::Name { .. }
        | PackError::Taken { .. }
        | PackError::Output(_) => Status::Usage,
        PackError::Blender(tessera_blender::Error::Refused { refusal, .. }) => match refusal.code {
            // The file named is not one that can be opened, which only shows when Blender reads all of it.
            RefusalCode::Unreadable | RefusalCode::NotBlend | RefusalCode::TooNew => Status::Usage,
            _ => Status::Failed,
        },
        PackError::Unwritable { .. }
        | PackError::NoBlender { .. }
        | PackError::Blender(_)
        | PackError::Missing { .. }
        | PackError::NoCamera { .. }
        | PackError::Addon { .. }
        | PackError::Cut { .. }
        | PackError::Manifest(_)
        | PackError::Changing { .. }
        | PackError::Ended(_) => Status::Failed,
    }
}

fn of_api(error: &ApiError) -> Status {
    if error.is_unreachable() || error.is_refused() {
        return Status::Refused;
    }
    match error.kind() {
        Some(kind) => of_problem(kind),
        None => Status::Refused,
    }
}

fn of_problem(kind: ProblemKind) -> Status {
    match kind {
        ProblemKind::NotFound
        | ProblemKind::Invalid
        | ProblemKind::Conflict
        | ProblemKind::TooLarge => Status::Usage,
        ProblemKind::MissingBlobs
        | ProblemKind::NoBuild
        | ProblemKind::DiskFull
        | ProblemKind::Quota
        | ProblemKind::Internal => Status::Failed,
        ProblemKind::Unauthorized
        | ProblemKind::Forbidden
        | ProblemKind::Version
        | ProblemKind::Code
        | ProblemKind::TooMany
        | ProblemKind::NotActive => Status::Refused,
    }
}

/// An error and its causes as one line, without saying twice what a cause already says.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = without_numbers(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

/// The system's words without the number that Rust puts behind them: `(os error 2)` tells a user nothing that the words do not.
fn without_numbers(text: &str) -> String {
    const BEGIN: &str = " (os error ";
    let mut parts = text.split(BEGIN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                out.push_str(rest)
            }
            _ => {
                out.push_str(BEGIN);
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use tessera_wire::problem::Problem;

    fn check(error: impl Into<anyhow::Error>, status: Status) {
        let error = error.into();
        let wrapped = Err::<(), _>(error).context("outer").unwrap_err();
        assert_eq!(status_of(&wrapped), status, "{wrapped:?}");
    }

    fn problem(kind: ProblemKind) -> ApiError {
        ApiError::Problem {
            address: "https://h:1".into(),
            problem: Box::new(Problem::new(kind, "title", "detail")),
        }
    }

    #[test]
    fn every_sort_of_error_has_its_status() {
        check(anyhow::anyhow!("anything else"), Status::Failed);
        check(stop(Status::Usage, "x"), Status::Usage);
        check(interrupted("x"), Status::Interrupted);
        for (kind, status) in [
            (ProblemKind::Unauthorized, Status::Refused),
            (ProblemKind::Forbidden, Status::Refused),
            (ProblemKind::NotActive, Status::Refused),
            (ProblemKind::NotFound, Status::Usage),
            (ProblemKind::NoBuild, Status::Failed),
            (ProblemKind::DiskFull, Status::Failed),
            (ProblemKind::Quota, Status::Failed),
        ] {
            check(problem(kind), status);
            check(JoinError::Api(problem(kind)), status);
            check(SendError::Api(problem(kind)), status);
            check(SubmitError::Send(SendError::Api(problem(kind))), status);
            check(FetchError::Api(problem(kind)), status);
            check(FollowError::Api(problem(kind)), status);
            check(
                FollowError::Delivery(DeliveryError::Fetch(FetchError::Api(problem(kind)))),
                status,
            );
            check(
                tessera_worker::JoinError::Pair(JoinError::Api(problem(kind))),
                status,
            );
        }
        let not_manager = || ApiError::NotManager {
            address: "https://h:1".into(),
            status: 404,
        };
        check(not_manager(), Status::Refused);
        let stranger = ChooseError::Stranger {
            address: "https://h:1".into(),
        };
        check(stranger, Status::Refused);
        check(
            "HELLO"
                .parse::<tessera_wire::pairing::PairingCode>()
                .unwrap_err(),
            Status::Usage,
        );
        for (code, status) in [
            (RefusalCode::NotBlend, Status::Usage),
            (RefusalCode::TooNew, Status::Usage),
            (RefusalCode::Render, Status::Failed),
        ] {
            let refused = || tessera_blender::Error::Refused {
                doing: "open a.blend".into(),
                refusal: tessera_blender::Refusal {
                    code,
                    text: "no".into(),
                },
            };
            check(PackError::Blender(refused()), status);
            check(SubmitError::Pack(PackError::Blender(refused())), status);
        }
        let full = FetchError::Full {
            folder: "/out".into(),
        };
        check(full, Status::Failed);
    }

    #[test]
    fn numbers_are_the_contract() {
        use Status::{Done, Failed, Incomplete, Interrupted, Refused, Usage};
        let all = [Done, Failed, Usage, Refused, Incomplete, Interrupted];
        assert_eq!(all.map(Status::number), [0, 1, 2, 3, 4, 130]);
    }

    #[test]
    fn a_line_says_each_cause_once() {
        let inner = anyhow::anyhow!("disk full");
        let error = inner
            .context("cannot write a\n  file: disk full")
            .context("rendering");
        assert_eq!(
            one_line(&error),
            "rendering: cannot write a file: disk full"
        );
    }

    #[test]
    fn the_system_is_quoted_without_its_numbers() {
        let check = |text: &str, said: &str| assert_eq!(without_numbers(text), said);
        check(
            "cannot read a: No such file or directory (os error 2); check it",
            "cannot read a: No such file or directory; check it",
        );
        check("x (os error 2): y (os error 13)", "x: y");
        check("plain", "plain");
        check("a file (os error x)", "a file (os error x)");
    }
}
