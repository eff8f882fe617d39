//! The typed client of a manager's HTTP API.
//!
//! One [`Api`] is a connection pool, credentials and a list of addresses, cheap to clone. Requests go to the address that
//! answered last and to the others in turn; what happens when none answers is the [`Retry`] of the clone in hand.
//! Methods are in [`routes`](self::routes), streams of blocks in [`blocks`](self::blocks) and [`put`](self::put).

mod blocks;
mod call;
mod error;
mod forward;
mod meter;
mod put;
mod routes;
mod transport;
mod turns;

pub use blocks::BlockStream;
pub use error::ApiError;
pub use meter::Traffic;
pub use routes::LogPart;
pub use transport::{Access, Api, Credentials};

pub(crate) use call::Call;
pub(crate) use turns::Repeat;
