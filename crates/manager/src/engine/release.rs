//! Sends what was decided, after it was recorded.

use std::collections::HashMap;

use tessera_model::{Blob, Change, JobId, Step, StepIndex, StepKind, WorkerId};
use tessera_scheduler::{Order, Scheduler};
use tessera_wire::api::JobSummary;
use tessera_wire::event::What;
use tessera_wire::link::{FrameToRender, LeaseOffer, Source, ToWorker, Work};

use super::core::{Batch, Core, News};
use super::sharers::Sharers;
use crate::events::Events;
use crate::links::{Closing, LinkId, Links};
use crate::notify::Notifier;
use crate::views;

/// Answers, orders, news and questions, in this order.
pub(super) fn release(
    core: &mut Core,
    batch: Batch,
    now: tessera_scheduler::Now,
    links: &Links,
    events: &Events,
    notifier: &Notifier,
) {
    for occasion in core.occasions(now, &batch) {
        notifier.tell(occasion);
    }
    for step in batch.steps {
        if let Some(link) = step.link {
            links.enter(link);
        }
        if let Some((worker, keys)) = step.dropped {
            core.roster.dropped(worker, &keys);
        }
        // The answer to a greeting is the link's first message, so it goes before the orders.
        if let Some(pending) = step.pending {
            pending(Ok(()));
        }
        for (worker, order) in step.orders {
            core.roster.sent(worker, &order);
            send(core, worker, order, links);
        }
    }
    for change in &batch.changes {
        match change {
            Change::CertificateRevoked(serial) => links.void(serial),
            Change::WorkerRemoved(worker) => {
                core.sharers.remove(*worker);
                links.close(*worker, Closing::Dismissed);
            }
            _ => {}
        }
    }
    let scheduler = &core.scheduler;
    events.publish(now.wall, || {
        told(scheduler, now, batch.news, &batch.changes, links)
    });
    for question in batch.questions {
        question(&core.scheduler, now);
    }
}

fn send(core: &mut Core, worker: WorkerId, order: Order, links: &Links) {
    let message = match order {
        Order::Lease {
            key,
            span,
            frames,
            urgent,
        } => {
            let link = core.roster.link(worker);
            // A job that was removed in the same breath has no work any more.
            let Some(job) = core.scheduler.job_ref(key.unit.job) else {
                return;
            };
            let (Some(step), Some(build)) =
                (job.steps.get(usize::from(key.unit.step.0)), &job.build)
            else {
                tracing::error!(unit = %key.unit, "a lease without a step or a build is not sent");
                return;
            };
            ToWorker::Lease(Box::new(LeaseOffer {
                key,
                job_name: job.settings.name.clone(),
                manifest: job.manifest,
                main_file: job.main_file.clone(),
                build: build.clone(),
                overrides: step.overrides().clone(),
                work: work(step, key.unit.index, span),
                frames: frames
                    .into_iter()
                    .map(|frame| FrameToRender {
                        position: frame.position,
                        frame: frame.frame,
                        wanted: frame.wanted,
                    })
                    .collect(),
                in_order: step.in_order,
                urgent,
                sources: sources(&mut core.sharers, (worker, link), &job.manifest, links),
            }))
        }
        Order::Recall(key) => ToWorker::Recall { key },
        Order::Cancel(key) => ToWorker::Cancel { key },
        Order::Mode(mode) => ToWorker::Mode { mode },
        Order::Dismiss => return links.close(worker, Closing::Dismissed),
    };
    links.send(worker, message);
}

/// What is made of the frames of a unit.
fn work(step: &Step, unit: u32, span: u32) -> Work {
    match (&step.kind, step.divided()) {
        (StepKind::Assemble(_), _) => Work::Assemble,
        (StepKind::Slices(_), Some(split)) => {
            let place = unit % split.places();
            Work::Slices(step.slices(place..place + span))
        }
        _ => Work::Frames,
    }
}

/// Where a worker can have a job's files: from this manager, and from others that have them or are getting them, which are told of it
/// in turn. It remembers those, so they are named once.
fn sources(
    sharers: &mut Sharers,
    (worker, link): (WorkerId, Option<LinkId>),
    tree: &Blob,
    links: &Links,
) -> Vec<Source> {
    let mut sources = vec![Source {
        address: String::new(),
        identity: tessera_wire::MANAGER_NAME.into(),
    }];
    if !link.is_some_and(|link| sharers.enter(worker, link, tree)) {
        return sources;
    }
    let itself = links.peer(worker);
    for other in sharers.named(worker, tree, |other| links.is_peer(other)) {
        sources.extend(links.peer(other));
        if !itself.is_empty() {
            let told = ToWorker::Peers {
                manifest: *tree,
                sources: itself.clone(),
            };
            links.hint(other, told);
        }
    }
    sources
}

/// Frames first, then the jobs they change: who sees a job done has seen its last frame. Of parts of frames only the job tells.
fn told(
    scheduler: &Scheduler,
    now: tessera_scheduler::Now,
    news: News,
    changes: &[Change],
    links: &Links,
) -> Vec<What> {
    let mut told = Vec::new();
    let whole = |job: JobId, step: StepIndex| {
        let job = scheduler.job_ref(job);
        let step = job.and_then(|job| job.steps.get(usize::from(step.0)));
        step.is_none_or(Step::makes_frames)
    };
    for (job, step, position, frame, worker) in news.started {
        if !whole(job, step) {
            continue;
        }
        told.push(What::FrameStarted {
            job,
            step,
            position,
            frame,
            worker,
        });
    }
    let mut growing = HashMap::new();
    for change in changes {
        if let Change::FrameDone(result) = change {
            let unit = result.lease.unit;
            match whole(unit.job, unit.step) {
                true => told.push(What::FrameDone {
                    result: Box::new((**result).clone().without_sum()),
                }),
                false => {
                    growing.insert(unit.job, result.frame);
                }
            }
        }
    }
    for (error, given_up) in news.failures {
        told.push(What::FrameFailed { error, given_up });
    }
    for job in &news.jobs {
        if let Some(view) = scheduler.job(now, *job) {
            told.push(What::Job {
                job: JobSummary {
                    growing: growing.get(job).copied(),
                    ..views::job_summary(&view)
                },
            });
        }
    }
    for job in news.removed_jobs {
        told.push(What::JobRemoved { job });
    }
    for worker in news.workers {
        if let Some(view) = scheduler.worker(now, worker) {
            told.push(What::Worker {
                worker: views::worker_status(&view, links),
            });
        }
    }
    for change in changes {
        match change {
            Change::WorkerRemoved(worker) => told.push(What::WorkerRemoved { worker: *worker }),
            Change::FarmSet(settings) => told.push(What::Settings {
                settings: settings.clone(),
            }),
            _ => {}
        }
    }
    told
}
