//! What happened, in words: plain, the same for every way.

use std::time::Duration;

use tessera_model::{Notice, NoticeEvent, NoticeJob, Timestamp};

use super::witness::Occasion;
use crate::identity::secret;

/// Workers that are named; of more it is said how many.
const NAMED_MAX: usize = 10;

/// Random bytes of a notice's id.
const ID_BYTES: usize = 16;

/// Where and when it is told.
pub(super) struct Scene<'a> {
    pub(super) farm: &'a str,
    pub(super) at: Timestamp,
    /// Where the page of the farm is, `https://HOST:PORT`.
    pub(super) page: Option<String>,
}

impl Scene<'_> {
    fn notice(&self, event: NoticeEvent, title: String, lines: Vec<String>, place: &str) -> Notice {
        Notice {
            // Without random numbers it is told all the same, and a second time is not known as such.
            id: secret::random_hex::<ID_BYTES>().unwrap_or_else(|_| format!("{:x}", self.at.0)),
            event,
            at: self.at,
            farm: self.farm.to_owned(),
            title,
            text: lines.join("\n"),
            job: None,
            workers: Vec::new(),
            link: self.page.as_ref().map(|page| format!("{page}/#/{place}")),
        }
    }
}

/// The notice of what happened to a job or the store; none of what a notice is not yet made of.
pub(super) fn notice(scene: &Scene<'_>, occasion: Occasion) -> Option<(Notice, Vec<String>)> {
    match occasion {
        Occasion::Job {
            event,
            job,
            named,
            detail,
            workers,
        } => {
            let title = title(event, &job, &workers);
            let mut lines = of_job(&job, scene.at);
            lines.extend((!detail.is_empty()).then_some(detail));
            let notice = Notice {
                workers,
                ..scene.notice(event, title, lines, &format!("jobs/{}", job.id))
            };
            let job = Some(*job);
            Some((Notice { job, ..notice }, named))
        }
        Occasion::Store {
            user,
            used_bytes,
            is_full,
        } => {
            let whose = match &user {
                Some(user) => format!("user {user} may store on the farm"),
                None => "the farm may store".to_owned(),
            };
            let (state, then) = match is_full {
                true => ("used up", "No new files are taken in until there is room."),
                false => ("nearly used up", "Once it is, no new files are taken in."),
            };
            let lines = vec![
                format!("In use: {:.1} GB", used_bytes as f64 / 1e9),
                then.to_owned(),
                "`tessera store` says what uses it.".to_owned(),
            ];
            let title = format!("What {whose} is {state}");
            let notice = scene.notice(NoticeEvent::StoreFull, title, lines, "settings/storage");
            Some((notice, Vec::new()))
        }
        Occasion::Cut(_) => None,
    }
}

/// The notice of workers that did not come back.
pub(super) fn lost(scene: &Scene<'_>, workers: Vec<String>, away: Duration) -> Notice {
    let title = match workers.as_slice() {
        [one] => format!("Worker '{one}' is lost"),
        several => format!("{} workers are lost", several.len()),
    };
    let lines = vec![
        format!("Gone: {}", names(&workers)),
        format!(
            "Without a word and for {} now; what they rendered was given to others.",
            span(away)
        ),
    ];
    Notice {
        workers,
        ..scene.notice(NoticeEvent::WorkerLost, title, lines, "farm")
    }
}

/// A notice with which somebody tries a receiver.
pub(crate) fn test_notice(farm: &str, at: Timestamp, page: Option<String>, by: &str) -> Notice {
    let scene = Scene { farm, at, page };
    scene.notice(
        NoticeEvent::Test,
        "A test of the farm's notifications".to_owned(),
        vec![format!("Sent by {by}. Notifications arrive here.")],
        "farm",
    )
}

fn title(event: NoticeEvent, job: &NoticeJob, workers: &[String]) -> String {
    let what = format!("Job {} '{}'", job.id, job.name);
    match event {
        NoticeEvent::JobDone => format!("{what} is done"),
        NoticeEvent::JobFailed => format!("{what} has failed"),
        NoticeEvent::FirstError => format!("{what} has its first error"),
        NoticeEvent::FrameGivenUp => format!("{what}: a frame is given up"),
        NoticeEvent::WorkerBlocked => {
            format!(
                "{what}: {} gets no more of it, as it failed too often",
                names(workers)
            )
        }
        NoticeEvent::WorkerLost | NoticeEvent::StoreFull | NoticeEvent::Test => what,
    }
}

fn of_job(job: &NoticeJob, now: Timestamp) -> Vec<String> {
    let failed = match job.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let millis = u64::try_from(now.0 - job.submitted_at.0).unwrap_or(0);
    vec![
        format!("Owner: {}", job.owner),
        format!("Frames: {} of {} done{failed}", job.done, job.frames),
        format!("Submitted: {} ago", span(Duration::from_millis(millis))),
    ]
}

fn names(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_model::{JobId, JobState};

    fn scene() -> Scene<'static> {
        Scene {
            farm: "studio",
            at: Timestamp(11_100_000),
            page: Some("https://farm:7373".into()),
        }
    }

    #[test]
    fn a_job_is_told_with_what_people_ask_first() {
        let occasion = Occasion::Job {
            event: NoticeEvent::FrameGivenUp,
            job: Box::new(NoticeJob {
                id: JobId(7),
                name: "shot".into(),
                owner: "anna".parse().unwrap(),
                state: JobState::Active,
                frames: 24,
                done: 11,
                failed: 1,
                submitted_at: Timestamp(0),
            }),
            named: vec!["me".into()],
            detail: "Frame 3 failed on ben: no memory".into(),
            workers: vec!["ben".into()],
        };
        let (notice, named) = notice(&scene(), occasion).unwrap();
        assert_eq!(named, ["me"]);
        assert_eq!(notice.title, "Job 7 'shot': a frame is given up");
        assert_eq!(
            notice.text,
            "Owner: anna\nFrames: 11 of 24 done, 1 failed\nSubmitted: 3 h 5 min ago\nFrame 3 failed on ben: no memory"
        );
        assert_eq!(notice.link.unwrap(), "https://farm:7373/#/jobs/7");
        assert_eq!(notice.id.len(), 2 * ID_BYTES);
    }

    #[test]
    fn many_workers_are_counted() {
        let names: Vec<String> = (0..12).map(|at| format!("w{at}")).collect();
        let notice = lost(&scene(), names.clone(), Duration::from_secs(60));
        assert_eq!(notice.title, "12 workers are lost");
        assert!(notice.text.contains("w9 and 2 more") && notice.text.contains("for 1 min now"));
        assert_eq!(notice.workers, names);
        let notice = lost(&scene(), vec!["anna".into()], Duration::from_secs(5));
        assert_eq!(notice.title, "Worker 'anna' is lost");
    }
}
