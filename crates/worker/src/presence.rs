//! Lets the worker give way to whoever sits at its machine: it works once keyboard and mouse were left alone for a while.

mod untouched;

use std::sync::Arc;
use std::time::Duration;

use tessera_model::Rest;

use crate::hub::{Hub, RestFor};

pub(crate) use untouched::{is_blind, untouched_for};

/// Who comes back has the machine within this time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the farm is told while the machine was touched more recently than `left_alone`; none while the worker works, or where
/// nothing says when that was.
pub(crate) fn rest(left_alone: Duration, untouched: Option<Duration>) -> Option<Rest> {
    let in_use = untouched.is_some_and(|untouched| untouched < left_alone);
    in_use.then(|| Rest {
        reason: "works while nobody uses its machine".to_owned(),
        until: None,
    })
}

/// Tells the hub when somebody comes and when they have gone, for ever. `untouched` asks the system, `wait` waits.
pub(crate) async fn keep<Looking, Waiting>(
    left_alone: Duration,
    hub: Arc<Hub>,
    untouched: impl Fn() -> Looking,
    wait: impl Fn(Duration) -> Waiting,
) where
    Looking: Future<Output = Option<Duration>>,
    Waiting: Future<Output = ()>,
{
    loop {
        let rest = rest(left_alone, untouched().await);
        hub.set_rest(RestFor::User, rest);
        wait(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_in_use_until_it_was_left_alone() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (untouched, rests) in [
            (Some(Duration::ZERO), true),
            (Some(minutes(4)), true),
            (Some(minutes(5)), false),
            (None, false),
        ] {
            let rest = rest(minutes(5), untouched);
            assert_eq!(rest.is_some(), rests, "{untouched:?}");
        }
    }
}
