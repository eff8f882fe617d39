//! Typed client of a manager: pairing, packing, transfer, discovery.
//!
//! Clients and workers use the same crate: both trust one certificate and nobody else ([`Trust`]), speak the same typed API
//! ([`Api`]), and move bytes as blocks ([`send`], [`receive`]). What only clients do is to read a .blend with everything it needs
//! ([`pack`]), to put finished frames in place ([`Fetcher`]) and to remember which are there ([`Ledger`]).
//! Nothing here prints: what people should know is a value or an error whose text is a sentence for them.

mod address;
mod api;
mod bandwidth;
mod choose;
mod connect;
mod discover;
mod events;
mod farm;
mod fetch;
mod folders;
mod inputs;
mod join;
mod ledger;
mod link_socket;
mod node_name;
mod outlines;
mod output;
mod pack;
mod peer;
mod place;
mod placeholder;
mod private_file;
mod receive;
mod retry;
mod send;
mod sources;
mod trust;
mod worker_farm;

pub use address::{AddressError, normalise_address};
pub use api::{Access, Api, ApiError, BlockStream, Credentials, LogPart, Traffic};
pub use bandwidth::Bandwidth;
pub use choose::{ChooseError, ChosenBy, Wanted, choose_farm};
pub use connect::ConnectError;
pub use discover::{Browse, DiscoverError, Seen, browse, find_manager, leads_to_others};
pub use events::{EventFilter, Events};
pub use farm::{
    Farm, FarmFileError, LocalManager, default_farm, farms, local_manager, remove_farm,
    remove_local_manager, save_farm, set_default_farm, write_local_manager,
};
pub use fetch::{FetchError, Fetched, FetchedFile, Fetcher, fetch_file};
pub use folders::{FolderError, Folders};
pub use inputs::FrameInputs;
pub use join::{DISCOVERY_TIME, JoinError, join_as_client, join_as_worker, renew};
pub use ledger::{Ledger, LedgerError, LedgerKey};
pub use link_socket::{Link, LinkError, LinkReceiver, LinkSender};
pub use output::{NodeFolder, OutputChoice, OutputError, OutputPlan};
pub use pack::{
    Bundle, BundleForm, Closure, ClosureFile, Divide, MissingFile, PackError, PackOptions,
    PackStage, Packed, PathMap, SubmitError, all_there, bundle, closure, pack, send_packed,
    submit_packed,
};
pub use peer::PeerApi;
pub use placeholder::{clear_placeholder, put_placeholder, skipped};
pub use private_file::{read_private, write_private};
pub use receive::{ReceiveError, ReceiveProgress, Received, receive};
pub use retry::{Outage, Retry};
pub use send::{Ask, BlockSource, SendError, SendProgress, Sent, send};
pub use sources::{Sources, SourcesError};
pub use trust::{
    Identity, Trust, TrustError, WorkerCertificate, fingerprint_of, peer_client_config,
    peer_server_config,
};
pub use worker_farm::WorkerFarm;
