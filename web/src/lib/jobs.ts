// Jobs in a list: which are shown, in which order, and what may be done to them.

import type { JobAction, JobState, JobSummary } from "./api/types";
import { count, plural } from "./format";

export type Group = "all" | "open" | "paused" | "done" | "failed" | "cancelled";
export type Column = "id" | "name" | "phase" | "progress" | "owner" | "priority" | "submitted";

export interface Wanted {
  text: string;
  group: Group;
  owner: string;
  sort: Column;
  down: boolean;
}

export const GROUPS: [Group, string][] = [
  ["all", "All"],
  ["open", "Under way"],
  ["paused", "Paused"],
  ["done", "Done"],
  ["failed", "Failed"],
  ["cancelled", "Cancelled"],
];

export function groupOf(state: JobState): Group {
  return state === "active" ? "open" : state;
}

export function isOver(job: { state: JobState }): boolean {
  return job.state === "cancelled" || job.state === "done" || job.state === "failed";
}

/** Part of it that is there, 0 to 1. Of a frame that is divided among workers its parts count. */
export function progress(job: JobSummary): number {
  if (job.frames === 0) return 0;
  const parts = job.places > 0 && job.done < job.frames ? (job.places_done / job.places) * (job.frames - job.done - job.failed) : 0;
  // Where all of it is divided, frames count with their parts alone.
  return Math.min(1, (job.done + (job.done === 0 ? parts : 0)) / job.frames);
}

export function progressText(job: JobSummary): string {
  const text = `${count(job.done)} of ${plural(job.frames, "frame")}`;
  return job.failed ? `${text}, ${count(job.failed)} failed` : text;
}

/** Words of a search: each has to be in a job's name, number, owner, category, tags or comment. */
function matches(job: JobSummary, words: string[]): boolean {
  if (words.length === 0) return true;
  const { settings } = job;
  const text = `${settings.name}\n${job.id}\n${job.owner}\n${settings.category}\n${settings.tags.join("\n")}\n${settings.comment}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

const PHASES = ["rendering", "waiting", "paused", "failed", "cancelled", "done"];

const ORDERS: Record<Column, (a: JobSummary, b: JobSummary) => number> = {
  id: (a, b) => a.id - b.id,
  name: (a, b) => a.settings.name.localeCompare(b.settings.name),
  phase: (a, b) => PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase),
  progress: (a, b) => progress(a) - progress(b),
  owner: (a, b) => a.owner.localeCompare(b.owner),
  priority: (a, b) => a.settings.priority - b.settings.priority,
  submitted: (a, b) => a.submitted_at - b.submitted_at,
};

/** Those wanted of a list that is newest first. */
export function choose(jobs: JobSummary[], wanted: Wanted): JobSummary[] {
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = jobs.filter(
    (job) =>
      (wanted.group === "all" || groupOf(job.state) === wanted.group) &&
      (wanted.owner === "" || job.owner === wanted.owner) &&
      matches(job, words),
  );
  if (wanted.sort === "id" && wanted.down) return chosen;
  const order = ORDERS[wanted.sort];
  return chosen.sort((a, b) => (wanted.down ? order(b, a) : order(a, b)) || b.id - a.id);
}

export type JobDeed = JobAction["action"] | "remove";

/** Whether it would change something, as the manager would have it. */
export function isOpenTo(job: JobSummary, deed: JobDeed): boolean {
  switch (deed) {
    case "pause":
      return job.state === "active";
    case "resume":
      return job.state === "paused";
    case "cancel":
      return !isOver(job);
    case "retry":
      return job.failed > 0 || job.state === "cancelled" || job.state === "failed";
    case "remove":
      return true;
  }
}
