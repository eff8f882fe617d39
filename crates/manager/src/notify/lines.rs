//! What waits for whom, and when it is tried next. Plain data: the task around it reads the clock and sends.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{Change, Notice, Telling, TellingError, Timestamp};
use tokio::time::Instant;

use super::post::PostError;

/// Notices that wait for one receiver; of more the oldest go. A receiver that is away for a day wants to know how it stands and not
/// every step that led there.
const WAITING_MAX: usize = 100;

/// Tries of one notice. With the pauses between them they span about three hours by default: longer than most servers are away.
const TRIES_MAX: u32 = 8;

/// Each pause is so many times as long as the one before.
const PAUSE_FACTOR: u32 = 4;

/// And not longer than so many times the first.
const PAUSE_MAX_FACTOR: u32 = 720;

/// One receiver's.
#[derive(Debug)]
struct Line {
    telling: Telling,
    /// Of the first that waits.
    tries: u32,
    /// When it is tried next.
    due: Instant,
    /// Whether it is being sent now.
    is_sent: bool,
    /// Whether the record has another state of it.
    is_changed: bool,
}

/// All of them, by name of the receiver.
#[derive(Debug)]
pub(super) struct Lines {
    lines: BTreeMap<String, Line>,
    /// Between the first try and the second.
    pause: Duration,
}

/// What came of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is told.
    Told,
    /// Not yet: it is tried again after this.
    Again(Duration),
    /// It is given up.
    GivenUp,
}

impl Lines {
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            lines: BTreeMap::new(),
            pause,
        }
    }

    /// These receivers are there now, recorded so. What waits for others goes; whoever was set anew is tried at once.
    pub(super) fn keep(&mut self, recorded: Vec<(String, Telling)>, now: Instant) {
        let mut before = std::mem::take(&mut self.lines);
        for (name, telling) in recorded {
            let mut line = before.remove(&name).unwrap_or(Line {
                telling,
                tries: 0,
                due: now,
                is_sent: false,
                is_changed: false,
            });
            line.due = now;
            self.lines.insert(name, line);
        }
    }

    /// Puts a notice into a receiver's line.
    pub(super) fn push(&mut self, name: &str, notice: Notice, now: Instant) {
        let Some(line) = self.lines.get_mut(name) else {
            return;
        };
        let waiting = &mut line.telling.waiting;
        if waiting.is_empty() {
            line.due = now;
        }
        waiting.push(notice);
        if waiting.len() > WAITING_MAX {
            // Not the one that is on its way.
            waiting.remove(usize::from(line.is_sent));
            line.telling.lost += 1;
        }
        line.is_changed = true;
    }

    /// What is to be sent now. Each is on its way from here on, until it is settled.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(String, Notice)> {
        let mut due = Vec::new();
        for (name, line) in &mut self.lines {
            let first = line.telling.waiting.first();
            if let Some(first) = first.filter(|_| !line.is_sent && line.due <= now) {
                line.is_sent = true;
                due.push((name.clone(), first.clone()));
            }
        }
        due
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.lines.values();
        let waiting = waiting.filter(|line| !line.is_sent && !line.telling.waiting.is_empty());
        waiting.map(|line| line.due).min()
    }

    /// A try has ended. None if nobody waits for it any more.
    pub(super) fn settle(
        &mut self,
        name: &str,
        id: &str,
        outcome: &Result<String, PostError>,
        at: Timestamp,
        now: Instant,
    ) -> Option<Then> {
        let line = self.lines.get_mut(name)?;
        line.is_sent = false;
        if line.telling.waiting.first()?.id != id {
            // Of a receiver that was removed and made anew meanwhile.
            return None;
        }
        line.is_changed = true;
        let then = match outcome {
            Ok(_) => {
                line.telling.delivered_at = Some(at);
                Then::Told
            }
            Err(error) => {
                line.telling.error = Some(TellingError {
                    at,
                    text: error.text.clone(),
                });
                line.tries += 1;
                match error.is_final || line.tries >= TRIES_MAX {
                    true => {
                        line.telling.lost += 1;
                        Then::GivenUp
                    }
                    false => Then::Again(pause(self.pause, line.tries)),
                }
            }
        };
        line.due = now;
        match then {
            Then::Again(pause) => line.due += pause,
            Then::Told | Then::GivenUp => {
                line.telling.waiting.remove(0);
                line.tries = 0;
            }
        }
        Some(then)
    }

    /// What is to be recorded.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let changed = self.lines.iter_mut().filter(|(_, line)| line.is_changed);
        let change = |(name, line): (&String, &mut Line)| {
            line.is_changed = false;
            Change::ReceiverTold(name.clone(), Box::new(line.telling.clone()))
        };
        changed.map(change).collect()
    }
}

/// After so many tries.
fn pause(first: Duration, tries: u32) -> Duration {
    let factor = PAUSE_FACTOR.saturating_pow(tries.saturating_sub(1));
    first * factor.min(PAUSE_MAX_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_model::NoticeEvent;

    fn notice(number: usize) -> Notice {
        Notice {
            id: number.to_string(),
            event: NoticeEvent::JobDone,
            at: Timestamp(0),
            farm: String::new(),
            title: String::new(),
            text: String::new(),
            job: None,
            workers: Vec::new(),
            link: None,
        }
    }

    const PAUSE: Duration = Duration::from_secs(5);

    fn lines(now: Instant) -> Lines {
        let mut lines = Lines::new(PAUSE);
        lines.keep(vec![("a".into(), Telling::default())], now);
        lines
    }

    fn recorded(lines: &mut Lines) -> Telling {
        match lines.changes().as_slice() {
            [Change::ReceiverTold(_, telling)] => (**telling).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_is_tried_until_it_is_told_or_given_up() {
        let mut now = Instant::now();
        let mut lines = lines(now);
        lines.push("a", notice(1), now);
        lines.push("a", notice(2), now);
        lines.push("nobody", notice(3), now);
        let no = Err(PostError::passing("busy"));
        let mut pauses = Vec::new();
        loop {
            assert_eq!(lines.take_due(now), [("a".to_owned(), notice(1))]);
            assert!(lines.take_due(now).is_empty(), "one at a time");
            match lines.settle("a", "1", &no, Timestamp(9), now) {
                Some(Then::Again(pause)) => {
                    assert!(lines.take_due(now).is_empty(), "not before its time");
                    pauses.push(pause.as_secs());
                    now = lines.next().unwrap();
                }
                then => break assert_eq!(then, Some(Then::GivenUp)),
            }
        }
        assert_eq!(pauses, [5, 20, 80, 320, 1280, 3600, 3600]);
        assert_eq!(lines.take_due(now), [("a".to_owned(), notice(2))]);
        assert_eq!(
            lines.settle("a", "2", &Ok("ok".into()), Timestamp(10), now),
            Some(Then::Told)
        );
        let telling = recorded(&mut lines);
        assert_eq!((telling.waiting.len(), telling.lost), (0, 1));
        assert_eq!(telling.delivered_at, Some(Timestamp(10)));
        assert_eq!(telling.error.unwrap().text, "busy");
        assert!(lines.changes().is_empty() && lines.next().is_none());
    }

    #[test]
    fn what_cannot_get_better_is_given_up_at_once() {
        let now = Instant::now();
        let mut lines = lines(now);
        lines.push("a", notice(1), now);
        lines.take_due(now);
        let no = Err(PostError::lasting("404"));
        let then = lines.settle("a", "1", &no, Timestamp(9), now);
        assert_eq!(then, Some(Then::GivenUp));
    }

    #[test]
    fn a_line_has_an_end_and_what_is_on_its_way_stays() {
        let now = Instant::now();
        let mut lines = lines(now);
        lines.push("a", notice(0), now);
        lines.take_due(now);
        for number in 1..=WAITING_MAX + 1 {
            lines.push("a", notice(number), now);
        }
        let telling = recorded(&mut lines);
        assert_eq!((telling.waiting.len(), telling.lost), (WAITING_MAX, 2));
        assert_eq!(telling.waiting[0], notice(0));
        assert_eq!(telling.waiting[1], notice(3));
    }

    #[test]
    fn a_restart_goes_on_and_a_removed_receiver_is_forgotten() {
        let now = Instant::now();
        let mut lines = Lines::new(PAUSE);
        let telling = Telling {
            waiting: vec![notice(1)],
            ..Telling::default()
        };
        lines.keep(vec![("a".into(), telling)], now);
        assert_eq!(lines.take_due(now).len(), 1);
        lines.keep(vec![("b".into(), Telling::default())], now);
        let told = Ok(String::new());
        assert_eq!(lines.settle("a", "1", &told, Timestamp(1), now), None);
        assert!(lines.changes().is_empty());
    }
}
