// What is done to jobs and workers: asks before what cannot be undone, does it, and says what came of it.

import { api, errorText } from "./api/client";
import type { JobId, JobSummary, WorkerAction, WorkerStatus } from "./api/types";
import { confirm, type Question } from "./confirm.svelte";
import { plural } from "./format";
import { isOpenTo, type JobDeed } from "./jobs";
import { live } from "./live.svelte";
import { notices } from "./notices.svelte";

/** Requests at once: the browser has six connections to one address, and the events use one. */
const AT_ONCE = 4;

const DONE: Record<JobDeed, string> = { pause: "Paused", resume: "Resumed", cancel: "Cancelled", retry: "Retrying", remove: "Removed" };

export const JOB_DEEDS: Record<JobDeed, string> = { pause: "Pause", resume: "Resume", retry: "Retry failed", cancel: "Cancel", remove: "Remove" };

function questionOf(jobs: JobSummary[], deed: JobDeed): Question | null {
  const what = jobs.length === 1 ? "this job" : plural(jobs.length, "job");
  const items = jobs.map((job) => `${job.settings.name} (job ${job.id})`);
  if (deed === "cancel") {
    return { title: `Cancel ${what}?`, text: "Frames that are being rendered are ended. Finished frames stay.", items, deed: "Cancel rendering" };
  }
  if (deed === "remove") {
    return { title: `Remove ${what}?`, text: "Files, finished frames and logs go from the farm for good. Frames that were fetched stay where they are.", items, deed: "Remove" };
  }
  return null;
}

/** Does it to those of the jobs that are open to it. Whether it was done to all of them. */
export async function actOnJobs(jobs: JobSummary[], deed: JobDeed): Promise<boolean> {
  const fit = jobs.filter((job) => isOpenTo(job, deed) && live.mayChangeJob(job));
  const question = questionOf(fit, deed);
  if (fit.length === 0 || (question && !(await confirm.ask(question)))) return false;
  const errors: string[] = [];
  const queue = fit.values();
  const hand = async () => {
    for (const job of queue) {
      try {
        await (deed === "remove" ? api.jobRemove(job.id) : api.jobAct(job.id, { action: deed }));
      } catch (error) {
        errors.push(errorText(error));
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, hand));
  const good = fit.length - errors.length;
  if (good > 0) notices.say(`${DONE[deed]} ${fit.length === 1 ? `'${fit[0]?.settings.name}'` : plural(good, "job")}`);
  if (errors.length) notices.fail(errors.length === 1 ? (errors[0] ?? "") : `${plural(errors.length, "job")} could not be changed: ${errors[0]}`);
  return errors.length === 0;
}

export type WorkerDeed = "pause" | "resume" | "drain" | "block" | "unblock" | "remove";

export const WORKER_DEEDS: Record<WorkerDeed, string> = {
  pause: "Pause", resume: "Resume", drain: "Drain", block: "Block", unblock: "Unblock", remove: "Remove",
};

export function workerDeeds(worker: WorkerStatus): WorkerDeed[] {
  switch (worker.mode) {
    case "active":
      return ["pause", "drain", "block", "remove"];
    case "paused":
      return ["resume", "drain", "block", "remove"];
    case "draining":
      return ["resume", "block", "remove"];
    case "blocked":
      return ["unblock", "remove"];
  }
}

const WORKER_QUESTIONS: Partial<Record<WorkerDeed, [string, string]>> = {
  drain: ["Drain", "It finishes what it renders, then its program ends. Somebody has to start it there again."],
  block: ["Block", "It gets no work at all, and what it renders now is taken from it."],
  remove: ["Remove", "The farm forgets it and its certificates become void. To come back it has to be paired again."],
};

/** Keeps a worker from one job. */
export async function blockForJob(worker: WorkerStatus, job: JobId, name: string): Promise<void> {
  const text = "It gets no frames of this job, and those that it renders of it now are taken from it. The job's details let it back in.";
  if (!(await confirm.ask({ title: `Block worker '${worker.name}' for '${name}'?`, text, deed: "Block for this job" }))) return;
  await tell(worker, { action: "block", job }, `'${worker.name}' gets no more of '${name}'`);
}

/** Whether it was noted. */
export function noteAbout(worker: WorkerStatus, text: string): Promise<boolean> {
  return tell(worker, { action: "note", text }, text.trim() ? `Noted about '${worker.name}'` : `No note about '${worker.name}' any more`);
}

/** Whether it was done. */
async function tell(worker: WorkerStatus, action: WorkerAction, done: string): Promise<boolean> {
  try {
    live.putWorker(await api.workerAct(worker.id, action));
    notices.say(done);
    return true;
  } catch (error) {
    notices.fail(errorText(error));
    return false;
  }
}

export async function actOnWorker(worker: WorkerStatus, deed: WorkerDeed): Promise<void> {
  const question = WORKER_QUESTIONS[deed];
  if (question && !(await confirm.ask({ title: `${question[0]} worker '${worker.name}'?`, text: question[1], deed: question[0] }))) return;
  const action: WorkerAction = deed === "block" || deed === "unblock" ? { action: deed, job: null } : { action: deed };
  try {
    const after = await api.workerAct(worker.id, action);
    if (deed !== "remove") live.putWorker(after);
    notices.say(`${WORKER_DEEDS[deed]}: '${worker.name}'`);
  } catch (error) {
    notices.fail(errorText(error));
  }
}
