// The farm as it stands now: read once, then kept by the manager's events. Everything that pages show of jobs and workers is here.

import { api, ApiError, errorText } from "./api/client";
import type { Farm, FarmEvent, FarmSettings, JobId, JobSummary, WorkerId, WorkerStatus } from "./api/types";

/** Most jobs that are listed, the newest: what a browser holds and sorts without a pause. */
export const JOBS_MAX = 20_000;

/** Events of one moment are drawn once. */
const DRAW_MS = 100;

/** First and longest wait before a lost link is tried again. */
const AGAIN_MS = 500;
const AGAIN_MAX_MS = 5_000;

/** A page that nobody sees for so long gives its connection back: a browser has six to one address, for all its tabs. */
const ASLEEP_AFTER_MS = 60_000;

export type LinkState = "connecting" | "live" | "lost" | "locked";

type FrameEvent = Extract<FarmEvent, { type: "frame_started" | "frame_done" | "frame_failed" }>;
type Listener = (event: FrameEvent | { type: "resync" }) => void;

class Live {
  link = $state<LinkState>("connecting");
  /** When the link was lost. */
  lostAt = $state(0);
  lostWhy = $state("");
  farm = $state.raw<Farm | null>(null);
  settings = $state.raw<FarmSettings | null>(null);
  /** Newest first. */
  jobs = $state.raw<JobSummary[]>([]);
  /** By name. */
  workers = $state.raw<WorkerStatus[]>([]);
  /** Whether every job was read, and not only the first of them. */
  complete = $state(false);
  /** Whether there are more jobs than are listed. */
  cut = $state(false);
  /** Tells the time to what counts it; once a second. */
  now = $state(Date.now());

  #jobs = new Map<JobId, JobSummary>();
  #workers = new Map<WorkerId, WorkerStatus>();
  #listeners = new Set<Listener>();
  #source: EventSource | null = null;
  /** The newest event that was heard. Of what came after none the manager says that everything is to be read. */
  #seen = 0;
  #wait = AGAIN_MS;
  #timer: number | undefined;
  #drawing: number | undefined;
  /** What happened while everything was read: it is older or newer than what was read, and applied after it either way. */
  #meanwhile: FarmEvent[] | null = null;

  start(): void {
    setInterval(() => (this.now = Date.now()), 1000);
    let sleep: number | undefined;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(sleep);
      if (document.hidden) sleep = window.setTimeout(() => this.#source?.close(), ASLEEP_AFTER_MS);
      else if (this.#source?.readyState === EventSource.CLOSED) this.#again(0);
    });
    this.#connect();
  }

  /** Hears of frames. What it returns ends that. */
  onFrames(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  job(id: JobId): JobSummary | undefined {
    return this.jobs.length ? this.#jobs.get(id) : undefined;
  }

  workerName(id: WorkerId): string {
    return (this.workers.length ? this.#workers.get(id)?.name : undefined) ?? `worker ${id}`;
  }

  /** What an action answered is there at once; the event that says the same comes after it. */
  putWorker(worker: WorkerStatus): void {
    this.#workers.set(worker.id, worker);
    this.#draw();
  }

  get mayChangeFarm(): boolean {
    return this.farm?.role === "admin";
  }

  get maySubmit(): boolean {
    return this.farm !== null && this.farm.role !== "viewer";
  }

  mayChangeJob(job: { owner: string }): boolean {
    return this.farm !== null && (this.farm.role === "admin" || (this.farm.role === "artist" && this.farm.user === job.owner));
  }

  async readWorkers(): Promise<void> {
    const page = await api.workers();
    this.#workers = new Map(page.items.map((worker) => [worker.id, worker]));
    this.#draw();
  }

  async readFarm(): Promise<void> {
    this.farm = await api.farm();
  }

  #connect(): void {
    this.#source?.close();
    const source = new EventSource(`/api/v1/events?since=${this.#seen}`);
    this.#source = source;
    source.onopen = () => {
      if (this.complete) this.#back();
    };
    source.onmessage = ({ data }: MessageEvent<string>) => {
      const event = JSON.parse(data) as FarmEvent;
      this.#seen = event.seq;
      if (event.type === "resync") void this.#readAll();
      else if (this.#meanwhile) this.#meanwhile.push(event);
      else this.#apply(event);
    };
    source.onerror = () => {
      source.close();
      void this.#lost(null);
    };
  }

  #back(): void {
    this.#wait = AGAIN_MS;
    this.link = "live";
  }

  /** A stream says nothing of why it ended: the farm is asked. */
  async #lost(error: unknown): Promise<void> {
    this.#source?.close();
    if (this.link === "live") {
      this.lostAt = Date.now();
      this.link = "lost";
    }
    try {
      if (error) throw error;
      await api.farm();
      this.link = "lost";
    } catch (reason) {
      this.lostWhy = errorText(reason);
      this.link = reason instanceof ApiError && reason.isLocked ? "locked" : "lost";
    }
    this.#again(this.#wait);
    this.#wait = Math.min(this.#wait * 2, AGAIN_MAX_MS);
  }

  #again(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#connect(), wait);
  }

  async #readAll(): Promise<void> {
    if (this.#meanwhile) return;
    this.#meanwhile = [];
    try {
      const [farm, settings, workers] = await Promise.all([api.farm(), api.settings(), api.workers()]);
      this.farm = farm;
      this.settings = settings;
      this.#workers = new Map(workers.items.map((worker) => [worker.id, worker]));
      const jobs = new Map<JobId, JobSummary>();
      let after: number | null | undefined;
      do {
        const page = await api.jobs(after);
        for (const job of page.items) jobs.set(job.id, job);
        after = page.next;
        // The newest are shown while the rest is read.
        if (!this.complete) {
          this.#jobs = jobs;
          this.#draw();
        }
      } while (typeof after === "number" && jobs.size < JOBS_MAX);
      this.#jobs = jobs;
      this.cut = typeof after === "number";
      const meanwhile = this.#meanwhile;
      this.#meanwhile = null;
      for (const event of meanwhile) this.#apply(event);
      this.#drawNow();
      this.complete = true;
      this.#back();
      for (const listener of this.#listeners) listener({ type: "resync" });
    } catch (error) {
      this.#meanwhile = null;
      // What happened meanwhile is not known: all of it is read when the link is back.
      this.#seen = 0;
      await this.#lost(error);
    }
  }

  #apply(event: FarmEvent): void {
    switch (event.type) {
      case "job":
        this.#jobs.set(event.job.id, event.job);
        break;
      case "job_removed":
        this.#jobs.delete(event.job);
        break;
      case "worker":
        this.#workers.set(event.worker.id, event.worker);
        break;
      case "worker_removed":
        this.#workers.delete(event.worker);
        break;
      case "settings":
        this.settings = event.settings;
        return;
      case "resync":
        return;
      default:
        for (const listener of this.#listeners) listener(event);
        return;
    }
    this.#draw();
  }

  #draw(): void {
    this.#drawing ??= window.setTimeout(() => this.#drawNow(), DRAW_MS);
  }

  #drawNow(): void {
    clearTimeout(this.#drawing);
    this.#drawing = undefined;
    this.jobs = [...this.#jobs.values()].sort((a, b) => b.id - a.id);
    this.workers = [...this.#workers.values()].sort((a, b) => a.name.localeCompare(b.name) || a.id - b.id);
  }
}

export const live = new Live();
