//! What is fetched next, and what is no longer waited for.

use std::time::Duration;

use tessera_blobs::Digest;
use tessera_model::WorkerId;
use tokio::time::Instant;

use super::rank;
use super::source::Got;
use crate::peers::Peer;

/// Blocks of a piece: small enough that a piece of large blocks is no wait for others, large enough that asking about it is little
/// beside fetching it.
const PIECE_MIN: usize = 16;
const PIECE_MAX: usize = tessera_wire::peer::ASKED_MAX;

/// Pieces that a whole is divided into, within these bounds.
const PIECES: usize = 16;

/// Pieces of others' blocks in one lap: more would be asked about over and over while they come.
const FOREIGN_MAX: usize = 32;

/// First and longest pause after a lap that left something, longer with each that brought nothing.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// So often it is judged whether what others bring comes fast enough.
const JUDGE_EVERY: Duration = Duration::from_secs(2);

/// It does not if it comes at less than this part of the pace at which this worker's own part came from the manager...
const TOO_SLOW_PART: f64 = 0.25;

/// ...or at less than this many blocks in a second.
const TOO_SLOW_PER_S: f64 = 1.0;

/// Blocks that are asked about and fetched together.
#[derive(Debug)]
pub(super) struct Piece {
    pub digests: Vec<Digest>,
    /// Fetched from the manager even if others are to bring it.
    pub spare: bool,
}

/// The pieces of the next lap, this worker's own and others' in turn, and what is left for later laps. The first `spare` ones of others
/// are not waited for.
pub(super) fn pieces(
    digests: Vec<Digest>,
    me: WorkerId,
    peers: &[Peer],
    spare: usize,
) -> (Vec<Piece>, Vec<Digest>) {
    let size = (digests.len() / PIECES).clamp(PIECE_MIN, PIECE_MAX);
    let (own, foreign): (Vec<_>, Vec<_>) = digests
        .into_iter()
        .partition(|digest| is_own(digest, me, peers));
    let mut own = own.chunks(size).map(|digests| Piece {
        digests: digests.to_vec(),
        spare: false,
    });
    let waited_for = FOREIGN_MAX.max(spare) * size;
    let rest = foreign.get(waited_for..).unwrap_or_default().to_vec();
    let mut foreign = foreign
        .chunks(size)
        .take(FOREIGN_MAX.max(spare))
        .enumerate()
        .map(|(at, digests)| Piece {
            digests: digests.to_vec(),
            spare: at < spare,
        });
    let mut pieces = Vec::new();
    loop {
        let (one, other) = (own.next(), foreign.next());
        if one.is_none() && other.is_none() {
            return (pieces, rest);
        }
        pieces.extend(one);
        pieces.extend(other);
    }
}

/// Whether a block is this worker's to bring if all of them are at it.
fn is_own(digest: &Digest, me: WorkerId, peers: &[Peer]) -> bool {
    let mine = (rank(me, digest), me);
    peers
        .iter()
        .all(|peer| (rank(peer.worker, digest), peer.worker) < mine)
}

/// How fast others bring what is waited for.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    /// Blocks in a second from the manager, in the first lap, which has all that is this worker's own.
    own_per_s: Option<f64>,
    since: Instant,
    from_workers: u64,
    /// Pieces of others' blocks that are not waited for, in the next lap.
    spare: usize,
    /// How many those were by the last verdict: twice as many if the next one is as bad.
    spared: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            pause: PAUSE_FIRST,
            own_per_s: None,
            since: Instant::now(),
            from_workers: 0,
            spare: 0,
            spared: 0,
        }
    }

    /// Pieces of others' blocks that are not waited for in the next lap.
    pub(super) fn spare(&self) -> usize {
        self.spare
    }

    /// A lap has ended and left something. Waits a little.
    pub(super) async fn lap(&mut self, got: &Got) {
        self.judge(got, self.since.elapsed());
        self.pause = match got.from_workers + got.from_manager {
            0 => (self.pause * 2).min(PAUSE_MAX),
            _ => PAUSE_FIRST,
        };
        tokio::time::sleep(self.pause).await;
    }

    fn judge(&mut self, got: &Got, elapsed: Duration) {
        let Some(own_per_s) = self.own_per_s else {
            // What others brought meanwhile is as it was.
            self.own_per_s = Some(per_s(got.from_manager, elapsed));
            self.begin();
            return;
        };
        self.from_workers += got.from_workers;
        self.spare = 0;
        if elapsed < JUDGE_EVERY {
            return;
        }
        let enough = (own_per_s * TOO_SLOW_PART).max(TOO_SLOW_PER_S);
        self.spared = match per_s(self.from_workers, elapsed) < enough {
            true => (self.spared * 2).max(1),
            false => 0,
        };
        self.spare = self.spared;
        self.begin();
    }

    fn begin(&mut self) {
        self.since = Instant::now();
        self.from_workers = 0;
    }
}

fn per_s(blocks: u64, time: Duration) -> f64 {
    blocks as f64 / time.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use tessera_client::{Identity, PeerApi};

    use super::*;

    fn digests(count: u32) -> Vec<Digest> {
        (0..count).map(|at| Digest::of(&at.to_le_bytes())).collect()
    }

    fn peers(numbers: &[u32]) -> Vec<Peer> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let identity = Identity {
            certificate_pem: params.self_signed(&key).unwrap().pem(),
            key_pem: key.serialize_pem(),
        };
        let peer = |number: &u32| Peer {
            worker: WorkerId(*number),
            api: PeerApi::new(Vec::new(), WorkerId(*number), &identity).unwrap(),
        };
        numbers.iter().map(peer).collect()
    }

    #[test]
    fn every_block_is_one_workers_own() {
        let all = digests(4000);
        let workers = [1, 2, 3, 4];
        let mut own = Vec::new();
        for me in workers {
            let others: Vec<u32> = workers.into_iter().filter(|other| *other != me).collect();
            let (me, others) = (WorkerId(me), peers(&others));
            let mine: Vec<Digest> = all
                .iter()
                .copied()
                .filter(|digest| is_own(digest, me, &others))
                .collect();
            let share = mine.len();
            assert!((800..1200).contains(&share), "{me} has {share}");
            let (first, rest) = pieces(all.clone(), me, &others, 0);
            let here: Vec<Digest> = first
                .iter()
                .flat_map(|piece| piece.digests.clone())
                .collect();
            assert!(mine.iter().all(|digest| here.contains(digest)), "at once");
            assert_eq!(here.len() + rest.len(), all.len());
            assert!(
                first
                    .iter()
                    .all(|piece| !piece.spare && piece.digests.len() <= PIECE_MAX)
            );
            own.extend(mine);
        }
        own.sort_unstable();
        let mut expected = all;
        expected.sort_unstable();
        assert_eq!(own, expected);
    }

    #[test]
    fn what_is_waited_for_is_bounded_and_spared_when_it_is_slow() {
        let (alone, rest) = pieces(digests(100), WorkerId(1), &[], 0);
        assert_eq!(alone.len(), 100usize.div_ceil(PIECE_MIN));
        assert!(rest.is_empty());
        let (first, rest) = pieces(digests(20_000), WorkerId(1), &peers(&[2, 3]), 3);
        assert_eq!(first.iter().filter(|piece| piece.spare).count(), 3);
        assert!(!rest.is_empty());

        let got = |from_manager: u64, from_workers: u64| Got {
            from_manager,
            from_workers,
            left: Vec::new(),
        };
        let mut pace = Pace::new();
        pace.judge(&got(100, 0), Duration::from_secs(1));
        assert_eq!(pace.spare(), 0, "a hundred a second");
        pace.judge(&got(0, 60), JUDGE_EVERY);
        assert_eq!(pace.spare(), 0, "thirty a second will do");
        let mut spare = Vec::new();
        for (blocks, time) in [
            (40, 2.0),
            (0, 0.1),
            (40, 2.0),
            (20, 2.0),
            (60, 2.0),
            (1, 2.0),
        ] {
            pace.judge(&got(0, blocks), Duration::from_secs_f64(time));
            spare.push(pace.spare());
        }
        assert_eq!(spare, [1, 0, 2, 4, 0, 1]);
    }
}
