//! Keeps the farm told, as hours begin and end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::Hours;
use crate::hub::{Hub, RestFor};

/// The wall's clock is looked at this often at least: it can be set, the time zone can change, and a machine that slept
/// wakes up in other hours.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// Tells the hub when hours begin and end, for ever. `now` looks at the clock on the wall, `wait` waits.
pub(crate) async fn keep<Waiting: Future<Output = ()>>(
    hours: Hours,
    hub: Arc<Hub>,
    now: impl Fn() -> Zoned,
    wait: impl Fn(Duration) -> Waiting,
) {
    loop {
        let moment = now();
        hub.set_rest(RestFor::Hours, hours.rest_at(&moment));
        let change = hours.next_change(&moment);
        let until = change.map(|change| moment.timestamp().duration_until(change));
        // Positive: a change lies ahead.
        let until = until.and_then(|until| Duration::try_from(until).ok());
        wait(until.unwrap_or(LOOK_WITHIN).min(LOOK_WITHIN)).await;
    }
}

/// Warns where hours would be those of another place.
pub(crate) fn tell_zone(hours: &Hours) {
    let zone = TimeZone::system();
    if zone.is_unknown() {
        tracing::warn!(
            "this machine does not say in which time zone it is, so its hours ({hours}) are taken as UTC: set its time \
             zone, or the variable TZ"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::{SignedDuration, Span, Timestamp};
    use tessera_model::{Rest, WorkerFacts};
    use tessera_wire::link::FromWorker;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::desk::{Desk, Shelf};
    use crate::status::Status;

    fn facts() -> WorkerFacts {
        WorkerFacts {
            divides: true,
            slots: 1,
            threads: 1,
            cores: 1,
            memory_bytes: 1,
            os: "linux".into(),
            arch: "x86_64".into(),
            host: "h".into(),
            tags: Vec::new(),
            builds: Vec::new(),
            gpus: Vec::new(),
            version: "1".into(),
            rest: None,
        }
    }

    /// A clock that goes only while somebody waits; the test sees every wait and can set the clock before it begins.
    struct Wall {
        now: Mutex<Timestamp>,
        waits: mpsc::UnboundedSender<(Duration, tokio::sync::oneshot::Sender<SignedDuration>)>,
    }

    struct Office {
        outbox: mpsc::Receiver<FromWorker>,
        waits: mpsc::UnboundedReceiver<(Duration, tokio::sync::oneshot::Sender<SignedDuration>)>,
        wall: Arc<Wall>,
    }

    impl Office {
        fn open(hours: &str, at: &str) -> Self {
            let desk = Desk::new(1, Shelf::new(0, []), Vec::new(), None);
            let (status, _) = watch::channel(Status::default());
            let (hub, _ends) = Hub::new(desk, facts(), None, status);
            let (_, outbox) = hub.link_up();
            let (waits, seen) = mpsc::unbounded_channel();
            let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
            let now = at
                .parse::<jiff::civil::DateTime>()
                .unwrap()
                .to_zoned(zone.clone())
                .unwrap();
            let wall = Arc::new(Wall {
                now: Mutex::new(now.timestamp()),
                waits,
            });
            let (looked_at, waited_at) = (Arc::clone(&wall), Arc::clone(&wall));
            let hours = hours.parse().unwrap();
            tokio::spawn(keep(
                hours,
                hub,
                move || looked_at.now.lock().unwrap().to_zoned(zone.clone()),
                move |duration| {
                    let wall = Arc::clone(&waited_at);
                    async move {
                        let (go_on, goes_on) = tokio::sync::oneshot::channel();
                        wall.waits.send((duration, go_on)).unwrap();
                        let jump = goes_on.await.unwrap();
                        let mut now = wall.now.lock().unwrap();
                        *now += SignedDuration::try_from(duration).unwrap();
                        *now += jump;
                    }
                },
            ));
            Self {
                outbox,
                waits: seen,
                wall,
            }
        }

        /// Lets one wait end, with the clock set by somebody meanwhile. How long it was.
        async fn pass(&mut self, jump: SignedDuration) -> Duration {
            let (duration, go_on) = self.waits.recv().await.unwrap();
            go_on.send(jump).unwrap();
            duration
        }

        /// Lets waits end until something is said. What, and how many waits it took.
        async fn hear(&mut self) -> (Option<Rest>, usize) {
            let mut waits = 0;
            loop {
                tokio::select! {
                    biased;
                    said = self.outbox.recv() => {
                        let Some(FromWorker::Facts { facts }) = said else {
                            panic!("{said:?}")
                        };
                        return (facts.rest, waits);
                    }
                    wait = self.waits.recv() => {
                        let (duration, go_on) = wait.unwrap();
                        assert!(duration <= LOOK_WITHIN && duration > Duration::ZERO);
                        go_on.send(SignedDuration::ZERO).unwrap();
                        waits += 1;
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn the_farm_is_told_when_hours_end_and_begin() {
        let mut office = Office::open("19:00-07:00", "2026-11-20T06:30:30");
        let (rest, waits) = office.hear().await;
        let rest = rest.unwrap();
        assert_eq!(rest.reason, "works 19:00-07:00");
        let ended = *office.wall.now.lock().unwrap();
        assert_eq!(ended.to_string(), "2026-11-20T06:00:00Z", "to the second");
        assert_eq!(waits, 30, "looked at once a minute");
        let until = ended + Span::new().hours(12);
        assert_eq!(
            rest.until,
            Some(tessera_model::Timestamp(until.as_millisecond()))
        );
        let (rest, waits) = office.hear().await;
        assert_eq!((rest, waits), (None, 12 * 60));
    }

    #[tokio::test]
    async fn a_clock_that_is_set_is_noticed_with_the_next_look() {
        let mut office = Office::open("19:00-07:00", "2026-11-20T03:00:00");
        office.pass(SignedDuration::from_hours(9)).await;
        let (rest, waits) = office.hear().await;
        assert!(rest.is_some());
        assert_eq!(waits, 0);
        office.pass(SignedDuration::from_hours(-9)).await;
        assert_eq!(office.hear().await, (None, 0));
    }
}
