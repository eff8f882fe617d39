//! What can become of a request.

use tessera_blobs::StreamError;
use tessera_wire::problem::{Problem, ProblemKind};

use crate::connect::ConnectError;

/// A request that was not answered as hoped. Each says which address it went to.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The manager said no, and why.
    #[error("{problem}")]
    Problem {
        /// Address.
        address: String,
        /// What it said.
        problem: Box<Problem>,
    },
    /// An answer that no manager gives.
    #[error(
        "what answers at {address} is not a Tessera manager (HTTP status {status}): check host and port"
    )]
    NotManager {
        /// Address.
        address: String,
        /// HTTP status.
        status: u16,
    },
    /// Neither bytes nor an answer for too long.
    #[error(
        "the manager at {address} fell silent in the middle of {what}: check the network and the manager's log"
    )]
    TimedOut {
        /// Address.
        address: String,
        /// Method and path.
        what: String,
    },
    /// The connection ended in the middle.
    #[error("the connection to the manager at {address} was cut during {what}")]
    Cut {
        /// Address.
        address: String,
        /// Method and path.
        what: String,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not of the form agreed on.
    #[error(
        "the answer of the manager at {address} to {what} cannot be read: use the same version of Tessera on both sides"
    )]
    Answer {
        /// Address.
        address: String,
        /// Method and path.
        what: String,
        /// Where it stops making sense.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stream of blocks is broken.
    #[error("the blocks sent by the manager at {address} are damaged: {source}")]
    Stream {
        /// Address.
        address: String,
        /// How.
        source: StreamError,
    },
}

impl ApiError {
    /// The manager's own words, if it said no.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// The sort of the manager's no.
    #[must_use]
    pub fn kind(&self) -> Option<ProblemKind> {
        self.problem().map(|problem| problem.kind)
    }

    /// Nobody could be reached, and waiting can help.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_pass(),
            Self::Problem { problem, .. } => problem.kind == ProblemKind::NotActive,
            Self::TimedOut { .. } | Self::Cut { .. } => true,
            // Gateways before a manager that is away.
            Self::NotManager { status, .. } => matches!(status, 502..=504),
            Self::Answer { .. } | Self::Stream { .. } => false,
        }
    }

    /// Not allowed, on one side or the other: credentials or certificates are wrong.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Connect(error) => !error.may_pass(),
            Self::Problem { problem, .. } => matches!(
                problem.kind,
                ProblemKind::Unauthorized
                    | ProblemKind::Forbidden
                    | ProblemKind::Code
                    | ProblemKind::Version
            ),
            Self::NotManager { .. } => true,
            _ => false,
        }
    }
}
