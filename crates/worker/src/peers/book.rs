//! What this worker knows of others.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tessera_blobs::Digest;
use tessera_client::{Bandwidth, WorkerCertificate};
use tessera_model::WorkerId;
use tessera_wire::link::Source;
use tessera_wire::peer::worker_of;
use tessera_wire::subnet::{Subnet, lets_in};
use tokio::net::TcpStream;

/// Addresses known for one tree: some for each of twice as many others as a manager names to one.
const SOURCES_MAX: usize = 96;

/// Trees whose places are remembered; of more, those of the one not heard of for the longest are forgotten. A worker holds leases of a
/// few, and brings three at a time.
const TREES_MAX: usize = 256;

/// Workers left aside that are remembered; of more, the ones that come back soonest are forgotten.
const ASIDE_MAX: usize = 1024;

/// One that could not be reached, fell silent or was slow is asked again after this: whatever it was, a restart or a cable takes as long.
const ASIDE: Duration = Duration::from_secs(30);

/// One that sent wrong bytes has a broken disk, or worse.
const ASIDE_FOR_WRONG: Duration = Duration::from_secs(3600);

/// What was wrong with a worker that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No answer, or an error.
    Away,
    /// Bytes came, but too few.
    Slow,
    /// It sent something else than it was asked for.
    Wrong,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PeerBook {
    bandwidth: Bandwidth,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Void certificates; none while there is no link, when it is not known which those are.
    void: Option<HashSet<String>>,
    /// Whom the farm lets in; anyone if empty.
    allow_from: Vec<Subnet>,
    aside: HashMap<WorkerId, Instant>,
    places: HashMap<Digest, Places>,
    heard: u64,
    /// Trees that are just brought.
    coming: HashSet<Digest>,
}

/// Where a tree can be had.
#[derive(Debug, Default)]
struct Places {
    sources: Vec<Source>,
    /// Counts up with every time that something is heard.
    heard: u64,
}

impl PeerBook {
    /// What goes to others and comes from them keeps to this limit.
    pub(crate) fn new(bandwidth: Bandwidth) -> Self {
        Self {
            bandwidth,
            ..Self::default()
        }
    }

    pub(super) fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics under the lock")
    }

    /// The farm's manager says which certificates are void, and who may come from where.
    pub(crate) fn linked(&self, void: Vec<String>, allow_from: Vec<Subnet>) {
        let mut inner = self.lock();
        inner.void = Some(void.into_iter().collect());
        inner.allow_from = allow_from;
    }

    /// Whether who comes from there may show a certificate at all.
    pub(super) fn may_connect(&self, stream: &TcpStream, address: SocketAddr) -> bool {
        stream
            .local_addr()
            .is_ok_and(|own| lets_in(&self.lock().allow_from, address.ip(), own.ip()))
    }

    /// What becomes void from now on is not heard.
    pub(crate) fn unlinked(&self) {
        self.lock().void = None;
    }

    /// One more.
    pub(crate) fn void(&self, serial: String) {
        if let Some(void) = &mut self.lock().void {
            void.insert(serial);
        }
    }

    /// Whether who shows this certificate is answered.
    pub(super) fn may_ask(&self, certificate: &WorkerCertificate) -> bool {
        let inner = self.lock();
        let void = inner.void.as_ref();
        void.is_some_and(|void| !void.contains(&certificate.serial))
    }

    /// A tree is brought from now on.
    pub(super) fn begin(&self, tree: Digest) {
        self.lock().coming.insert(tree);
    }

    /// It is not any more.
    pub(super) fn end(&self, tree: &Digest) {
        self.lock().coming.remove(tree);
    }

    /// Whether a tree is just being brought.
    pub(super) fn is_coming(&self, tree: &Digest) -> bool {
        self.lock().coming.contains(tree)
    }

    /// A tree can be had at these places too. They are told before it is brought, and while it is.
    pub(crate) fn more_sources(&self, tree: Digest, more: Vec<Source>) {
        let mut inner = self.lock();
        inner.heard += 1;
        let heard = inner.heard;
        let places = inner.places.entry(tree).or_default();
        places.heard = heard;
        for source in more {
            if places.sources.len() < SOURCES_MAX && !places.sources.contains(&source) {
                places.sources.push(source);
            }
        }
        if inner.places.len() > TREES_MAX {
            let oldest = inner.places.iter().min_by_key(|(_, places)| places.heard);
            if let Some(oldest) = oldest.map(|(tree, _)| *tree) {
                inner.places.remove(&oldest);
            }
        }
    }

    /// Workers to ask for a tree, with their addresses: those that are not left aside.
    pub(super) fn to_ask(&self, tree: &Digest) -> Vec<(WorkerId, Vec<String>)> {
        let inner = self.lock();
        let now = Instant::now();
        let mut found: Vec<(WorkerId, Vec<String>)> = Vec::new();
        let places = inner.places.get(tree);
        for source in places.iter().flat_map(|places| &places.sources) {
            let Some(worker) = worker_of(&source.identity) else {
                continue;
            };
            if inner.aside.get(&worker).is_some_and(|until| now < *until) {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == worker) {
                Some((_, addresses)) => addresses.push(source.address.clone()),
                None => found.push((worker, vec![source.address.clone()])),
            }
        }
        found
    }

    /// Leaves a worker aside for a while.
    pub(crate) fn put_aside(&self, worker: WorkerId, trouble: Trouble) {
        let time = match trouble {
            Trouble::Away | Trouble::Slow => ASIDE,
            Trouble::Wrong => ASIDE_FOR_WRONG,
        };
        let mut inner = self.lock();
        let until = Instant::now() + time;
        let known = inner.aside.entry(worker).or_insert(until);
        *known = until.max(*known);
        if inner.aside.len() > ASIDE_MAX {
            let soonest = inner.aside.iter().min_by_key(|(_, until)| **until);
            if let Some(soonest) = soonest.map(|(worker, _)| *worker) {
                inner.aside.remove(&soonest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(worker: u32, port: u16) -> Source {
        Source {
            address: format!("https://10.0.0.1:{port}"),
            identity: format!("worker-{worker}"),
        }
    }

    #[test]
    fn who_is_asked_for_a_tree() {
        let book = PeerBook::default();
        let tree = Digest::of(b"tree");
        assert!(!book.is_coming(&tree) && book.to_ask(&tree).is_empty());
        let manager = Source {
            address: String::new(),
            identity: tessera_wire::MANAGER_NAME.to_owned(),
        };
        book.more_sources(tree, vec![manager, source(1, 1), source(1, 2)]);
        book.begin(tree);
        assert!(book.is_coming(&tree));
        book.more_sources(tree, vec![source(2, 3), source(1, 1)]);
        let ask = |worker: u32, ports: &[u16]| {
            let address = |port: &u16| format!("https://10.0.0.1:{port}");
            (
                WorkerId(worker),
                ports.iter().map(address).collect::<Vec<_>>(),
            )
        };
        assert_eq!(book.to_ask(&tree), [ask(1, &[1, 2]), ask(2, &[3])]);
        book.put_aside(WorkerId(1), Trouble::Wrong);
        assert_eq!(book.to_ask(&tree), [ask(2, &[3])]);
        for number in 0..2 * SOURCES_MAX as u16 {
            book.more_sources(tree, vec![source(9, 1000 + number)]);
        }
        assert_eq!(book.to_ask(&tree)[1].1.len(), SOURCES_MAX - 4);
        for number in 10..10 + 2 * ASIDE_MAX as u32 {
            book.put_aside(WorkerId(number), Trouble::Away);
        }
        let aside = book.lock().aside.clone();
        assert_eq!(aside.len(), ASIDE_MAX);
        assert!(aside.contains_key(&WorkerId(1)), "it sent wrong bytes");
        book.end(&tree);
        assert!(!book.is_coming(&tree));
        for number in 0..2 * TREES_MAX {
            book.more_sources(Digest::of(&number.to_le_bytes()), Vec::new());
        }
        assert_eq!(book.lock().places.len(), TREES_MAX);
    }

    #[test]
    fn who_is_answered() {
        let book = PeerBook::default();
        let certificate = |serial: &str| WorkerCertificate {
            worker: WorkerId(1),
            serial: serial.to_owned(),
        };
        assert!(!book.may_ask(&certificate("40")), "nothing is known yet");
        book.linked(vec!["41".to_owned()], Vec::new());
        assert!(book.may_ask(&certificate("40")) && !book.may_ask(&certificate("41")));
        book.void("40".to_owned());
        assert!(!book.may_ask(&certificate("40")));
        book.unlinked();
        assert!(!book.may_ask(&certificate("42")));
    }
}
