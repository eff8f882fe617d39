//! The one place where everything meets: events go in, the [`Desk`] decides, orders go out.
//!
//! A lock around a synchronous state rather than a task with a channel, so that a slot that ends a frame has its next
//! order before it lets go of the lock. What is decided leaves in the order it was decided in. The channels need no
//! bound of their own: the desk gives a slot one order at a time, a tree one errand at a time, and stops rendering above
//! its bound of unsent reports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tessera_blobs::Digest;
use tessera_model::{Blob, LeaseKey, Rest, WorkerFacts, WorkerMode};
use tessera_wire::PROTOCOL;
use tessera_wire::link::{FromWorker, Machine};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::deliver::Report;
use crate::desk::{Desk, Effects, Fetch, FrameEnd, Input, Order, Resting, Warm};
use crate::status::{LinkStatus, Status};

/// Messages that wait for a link to take them; a link that lets so many pile up is stuck and gets cut.
const OUTBOX_MAX: usize = 4096;

/// What a worker rests for; the first that holds is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RestFor {
    /// Somebody uses the machine.
    User,
    /// Its owner's hours.
    Hours,
}

/// An order with the means to stop it.
#[derive(Debug)]
pub(crate) struct SlotOrder {
    pub order: Order,
    pub stop: CancellationToken,
}

/// Something to be done about a tree.
#[derive(Debug)]
pub(crate) enum TreeErrand {
    Bring(Fetch),
    GiveUp(Digest),
    Remove(Digest),
    /// Work came that needs it.
    Used(Blob),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    status: watch::Sender<Status>,
    trees: mpsc::UnboundedSender<TreeErrand>,
    reports: mpsc::UnboundedSender<Report>,
}

#[derive(Debug)]
struct Inner {
    desk: Desk,
    facts: WorkerFacts,
    rests: BTreeMap<RestFor, Rest>,
    /// Where it gives blocks to other workers.
    peer: Option<SocketAddr>,
    /// Of the link that is open. Without one, nothing needs saying: a greeting says it all.
    outbox: Option<mpsc::Sender<FromWorker>>,
    slots: Vec<SlotPort>,
}

#[derive(Debug)]
struct SlotPort {
    orders: mpsc::UnboundedSender<SlotOrder>,
    /// Stops the present order.
    stop: CancellationToken,
}

/// The far ends of a hub's channels.
#[derive(Debug)]
pub(crate) struct Ends {
    pub slots: Vec<mpsc::UnboundedReceiver<SlotOrder>>,
    pub trees: mpsc::UnboundedReceiver<TreeErrand>,
    pub reports: mpsc::UnboundedReceiver<Report>,
}

impl Hub {
    pub(crate) fn new(
        desk: Desk,
        facts: WorkerFacts,
        peer: Option<SocketAddr>,
        status: watch::Sender<Status>,
    ) -> (Arc<Self>, Ends) {
        let (trees, trees_end) = mpsc::unbounded_channel();
        let (reports, reports_end) = mpsc::unbounded_channel();
        let (slots, slot_ends) = (0..facts.slots)
            .map(|_| {
                let (orders, end) = mpsc::unbounded_channel();
                let stop = CancellationToken::new();
                (SlotPort { orders, stop }, end)
            })
            .unzip();
        let inner = Inner {
            desk,
            facts,
            rests: BTreeMap::new(),
            peer,
            outbox: None,
            slots,
        };
        let hub = Self {
            inner: Mutex::new(inner),
            status,
            trees,
            reports,
        };
        let ends = Ends {
            slots: slot_ends,
            trees: trees_end,
            reports: reports_end,
        };
        (Arc::new(hub), ends)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics under the lock")
    }

    /// Takes in one thing that happened and sees to what follows.
    pub(crate) fn apply(&self, input: Input) {
        let mut inner = self.lock();
        if let Input::Lease(offer) = &input {
            let _ = self.trees.send(TreeErrand::Used(offer.manifest));
        }
        let effects = inner.desk.apply(input);
        self.carry_out(&mut inner, effects);
        self.show(&inner);
    }

    fn carry_out(&self, inner: &mut Inner, effects: Effects) {
        // A receiver that is gone has ended with the whole worker: what would go to it is lost on purpose.
        for (slot, order) in effects.orders {
            let port = &mut inner.slots[slot];
            port.stop = CancellationToken::new();
            let stop = port.stop.clone();
            let _ = port.orders.send(SlotOrder { order, stop });
        }
        for slot in effects.stop {
            inner.slots[slot].stop.cancel();
        }
        for message in effects.say {
            inner.say(message);
        }
        for manifest in effects.abort {
            let _ = self.trees.send(TreeErrand::GiveUp(manifest));
        }
        for fetch in effects.fetch {
            let _ = self.trees.send(TreeErrand::Bring(fetch));
        }
        for manifest in effects.remove_trees {
            let _ = self.trees.send(TreeErrand::Remove(manifest));
        }
        for failure in effects.fail {
            let _ = self.reports.send(Report::early(failure));
        }
    }

    fn show(&self, inner: &Inner) {
        let desk = &inner.desk;
        self.status.send_if_modified(|status| {
            let mut now = Status {
                builds: inner.facts.builds.clone(),
                rest: inner.facts.rest.clone(),
                slots: desk.slots(),
                waiting: desk.waiting(),
                unsent: desk.unsent_frames(),
                done: desk.counts().0,
                failed: desk.counts().1,
                ..status.clone()
            };
            if let LinkStatus::Linked { mode, .. } = &mut now.link {
                *mode = desk.mode();
            }
            let changed = now != *status;
            *status = now;
            changed
        });
    }

    /// A slot's frame has ended; its report, if there is one, goes to be delivered. The slot's next order is there when
    /// this returns.
    pub(crate) fn frame_ended(
        &self,
        slot: usize,
        end: FrameEnd,
        warm: Warm,
        report: Option<Report>,
    ) {
        let mut inner = self.lock();
        let effects = inner.desk.apply(Input::FrameEnded { slot, end, warm });
        self.carry_out(&mut inner, effects);
        // Only now: the desk must know of a frame before it hears that the manager has it.
        if let Some(report) = report {
            let _ = self.reports.send(report);
        }
        self.show(&inner);
    }

    /// Says something that needs no decision.
    pub(crate) fn say(&self, message: FromWorker) {
        self.lock().say(message);
    }

    /// What is said every now and then.
    pub(crate) fn heartbeat(&self, machine: Machine) {
        let mut inner = self.lock();
        // One that has said it leaves would seem to be back.
        if inner.desk.is_closing() {
            return;
        }
        let holds = inner.desk.holdings();
        inner.say(FromWorker::Heartbeat {
            holds,
            machine: Some(machine),
        });
    }

    /// A link is open: what it is greeted with, and what it is to say after that.
    pub(crate) fn link_up(&self) -> (FromWorker, mpsc::Receiver<FromWorker>) {
        let mut inner = self.lock();
        let (sender, receiver) = mpsc::channel(OUTBOX_MAX);
        inner.outbox = Some(sender);
        let hello = FromWorker::Hello {
            protocol: PROTOCOL,
            facts: inner.facts.clone(),
            holds: inner.desk.holds(),
            peer: inner.peer,
            pyramids: true,
        };
        (hello, receiver)
    }

    pub(crate) fn link_down(&self) {
        self.lock().outbox = None;
    }

    /// How the link stands, for whoever looks.
    pub(crate) fn show_link(&self, link: LinkStatus) {
        self.status.send_if_modified(|status| {
            let changed = status.link != link;
            status.link = link;
            changed
        });
    }

    /// The worker leaves the machine to others for this reason, or no more.
    pub(crate) fn set_rest(&self, cause: RestFor, rest: Option<Rest>) {
        let mut inner = self.lock();
        match rest {
            Some(rest) => inner.rests.insert(cause, rest),
            None => inner.rests.remove(&cause),
        };
        let rest = inner.rests.first_key_value();
        let resting = match rest {
            None => Resting::No,
            Some((RestFor::User, _)) => Resting::Now,
            Some((RestFor::Hours, _)) => Resting::AfterFrame,
        };
        let rest = rest.map(|(_, rest)| rest.clone());
        if inner.facts.rest == rest {
            return;
        }
        match &rest {
            Some(rest) => tracing::info!("resting: {}", rest.reason),
            None => tracing::info!("working again"),
        }
        inner.facts.rest = rest;
        let facts = inner.facts.clone();
        // First of all, so that what goes back now does not come again.
        inner.say(FromWorker::Facts { facts });
        let effects = inner.desk.apply(Input::Rest(resting));
        self.carry_out(&mut inner, effects);
        self.show(&inner);
    }

    /// The Blenders of this machine have changed.
    pub(crate) fn new_facts(&self, mut facts: WorkerFacts) {
        {
            let mut inner = self.lock();
            facts.rest.clone_from(&inner.facts.rest);
            if inner.facts == facts {
                return;
            }
            inner.facts = facts.clone();
            inner.say(FromWorker::Facts {
                facts: facts.clone(),
            });
        }
        self.apply(Input::Builds(facts.builds));
    }

    /// Why this worker does nothing now that it is not bound to, if it does not.
    pub(crate) fn declines(&self) -> Option<String> {
        let inner = self.lock();
        let rest = inner.facts.rest.as_ref();
        rest.map(|rest| rest.reason.clone()).or_else(|| {
            let mode = inner.desk.mode();
            (mode != WorkerMode::Active).then(|| "it was told to rest".to_owned())
        })
    }

    /// Whether anybody waits for reports of this lease.
    pub(crate) fn is_held(&self, key: &LeaseKey) -> bool {
        self.lock().desk.is_held(key)
    }

    /// The trees that leases in hand still need.
    pub(crate) fn needed_trees(&self) -> Vec<Blob> {
        self.lock().desk.needed_trees()
    }

    /// Changes whenever the desk does.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Whether it ends by itself.
    pub(crate) fn is_drained(&self) -> bool {
        self.lock().desk.is_drained()
    }

    /// Whether nothing is left that ending now would delay: what is rendered is killed, and what is done is
    /// delivered, or can not be.
    pub(crate) fn is_flushed(&self) -> bool {
        let inner = self.lock();
        let delivered = inner.desk.unsent_frames() == 0;
        inner.desk.is_still() && (delivered || inner.outbox.is_none())
    }
}

impl Inner {
    fn say(&mut self, message: FromWorker) {
        if let Some(outbox) = &self.outbox
            && let Err(error) = outbox.try_send(message)
        {
            // Dropping the outbox ends the link; the next greeting says everything anew.
            tracing::debug!("the link takes no more messages: {error}");
            self.outbox = None;
        }
    }
}
