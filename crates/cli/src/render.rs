//! A job from the side of the one who waits for it.
//!
//! [`pack_scene`] reads the file and what it depends on; [`Work`] says which of its frames are still to be
//! rendered, by the record of earlier runs and the file's own settings; [`Follow`] watches the job and
//! brings its frames into the output folder as they are done, [`Delivery`] in parallel with the rendering.
//! The same path serves a farm and a private farm: [`Target`].

mod brought;
mod delivery;
mod failure_log;
mod follow;
mod hand_in;
mod outages;
mod scene;
mod so_far;
mod target;
mod work;

pub(crate) use brought::{Brought, tell_fetched};
pub(crate) use delivery::{Delivery, DeliveryError, SharedLedger};
pub(crate) use failure_log::failure_log;
pub(crate) use follow::{Follow, FollowError};
pub(crate) use hand_in::{Handed, build_to_be, earlier, hand_in};
pub(crate) use outages::{Outages, waiting};
pub(crate) use scene::{job_settings, pack_scene, prepare, send_and_submit, tell, to_send};
pub(crate) use so_far::SoFar;
pub(crate) use target::Target;
pub(crate) use work::Work;
