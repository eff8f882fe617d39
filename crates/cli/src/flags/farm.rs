//! Options of the programs that stay: manager and worker.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tessera_model::SLOTS_MAX;
use tessera_wire::subnet::Subnet;
use tessera_worker::{Hours, PeerListen};

use super::at_least_one;
use crate::units::{Bytes, Rate, parse_duration};

/// Options of `manager`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  tessera manager                                  on every interface, port 7373
  tessera manager --listen 10.0.0.5:7373           only there
  tessera manager --allow-from 10.0.0.0/8          for machines of this network alone
  tessera manager --tls-cert chain.pem --tls-key key.pem

It prints a code; on other machines: tessera worker --join CODE. Further codes: tessera cert create.")]
pub(crate) struct ManagerFlags {
    /// Address to listen on, as ADDRESS:PORT; repeatable. Port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Network whose machines are let in, as 10.0.0.0/8, besides this one; repeatable. Any, if not given
    #[arg(long, value_name = "SUBNET")]
    pub(crate) allow_from: Vec<Subnet>,
    /// Folder that keeps the farm: jobs, results, identities
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What the farm is called
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Your own certificate chain as PEM, leaf first, ending in the certificate clients shall trust
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Do not announce the farm on the network
    #[arg(long)]
    pub(crate) no_discovery: bool,
}

/// Options of `worker`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  tessera worker --join CODE           the first time: the manager prints the code
  tessera worker                       from then on
  tessera worker --join https://10.0.0.5:7373/#CODE    where discovery by multicast does not reach
  tessera worker --slots 2 --threads 8 --tags 'gpu;big'
  tessera worker --hours 'Mon-Fri 19:00-07:00; Sat-Sun'    outside of working hours
  tessera worker --while-idle 5m       while nobody uses this machine")]
pub(crate) struct WorkerFlags {
    /// Address of the manager, as https://HOST:PORT; discovered if not given
    #[arg(long, value_name = "URL")]
    pub(crate) manager: Option<String>,
    /// Pairing code, or the link that holds it; needed once
    #[arg(long, value_name = "CODE")]
    pub(crate) join: Option<String>,
    /// Blender to render with (an executable, or a Python that can import bpy), besides those found; repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) blender: Vec<PathBuf>,
    /// Frames rendered at once
    #[arg(long, value_name = "N", value_parser = slots)]
    pub(crate) slots: Option<NonZeroU32>,
    /// Processor threads of each
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) threads: Option<NonZeroU32>,
    /// Tags of this machine: a;b
    #[arg(long, value_delimiter = ';', value_name = "A;B")]
    pub(crate) tags: Option<Vec<String>>,
    /// When it works, by this machine's clock: 'Mon-Fri 19:00-07:00; Sat-Sun'. Always, if not given
    #[arg(long, value_name = "HOURS")]
    pub(crate) hours: Option<Hours>,
    /// Work only while keyboard and mouse of this machine were left alone for this long (5m), and stop when somebody comes back
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) while_idle: Option<Duration>,
    /// What this machine is called in the farm
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Folder that keeps its identity and files
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Most that goes over the network, in both directions together: 20MB/s; 0 for no limit
    #[arg(long, value_name = "RATE")]
    pub(crate) bandwidth: Option<Rate>,
    /// How far Blender stands back behind other programs, 0 to 19
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=19))]
    pub(crate) nice: Option<u8>,
    /// Most memory of each Blender: 16G, 800M
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: Option<Bytes>,
    /// Disk space for scenes that are kept for jobs to come: 50G
    #[arg(long, value_name = "BYTES")]
    pub(crate) cache: Option<Bytes>,
    /// Where other workers can have files from this one: ADDRESS:PORT, a port, auto (any free port) or off
    #[arg(long, value_name = "PLACE")]
    pub(crate) peer_listen: Option<PeerListen>,
    /// A Blender that uses no processor time for this long is hung: 90s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) hang_after: Option<Duration>,
}

/// Reads a number of slots.
fn slots(text: &str) -> Result<NonZeroU32, String> {
    at_least_one(text)
        .ok()
        .filter(|slots| slots.get() <= SLOTS_MAX)
        .ok_or_else(|| format!("a worker has at least 1 slot and at most {SLOTS_MAX}"))
}
