// The frames of one job: their states in order, and what came back of them. Held in flat arrays, so that ten thousand of them cost
// nothing to draw; `version` counts changes for those who draw.

import { api, cursor, errorText, PAGE_MAX } from "./api/client";
import type { FrameError, FramePhase, FrameResult, FrameStatus, JobDetail, JobId, Page, WorkerId } from "./api/types";
import { live } from "./live.svelte";

/** Most frames that are shown: more would take the browser's memory. */
export const FRAMES_MAX = 50_000;

/** How often the frames that are seen are looked at again while the job runs: no event tells of those that went back to waiting. */
const LOOK_MS = 3_000;

/** Requests at once: the browser has six connections to one address, and the events use one. */
const AT_ONCE = 4;

export const PHASES: FramePhase[] = ["waiting", "queued", "rendering", "done", "failed"];

/** What pages show of a result. */
export interface Result {
  frame: number;
  worker: WorkerId;
  at: number;
  device: string;
  blender: string;
  files: { name: string; bytes: number }[];
  notes: string[];
  /** Digest of its thumbnail; none where there is no picture. */
  picture: string | null;
  /** Microseconds: bringing files and loading, updating the scene, rendering, writing. */
  times: [number, number, number, number];
}

export const TIME_NAMES = ["Files and loading", "Scene update", "Rendering", "Writing"] as const;

export function total(result: Result): number {
  return result.times.reduce((sum, time) => sum + time, 0);
}

function resultOf(result: FrameResult): Result {
  const { timings } = result;
  return {
    frame: result.frame,
    worker: result.worker,
    at: result.at,
    device: result.device,
    blender: result.build.version,
    files: result.files.map(({ name, blob }) => ({ name, bytes: Number(blob.split(":")[1]) })),
    notes: result.notes ?? [],
    picture: result.previews?.thumbnail.split(":")[0] ?? null,
    times: [timings.transfer_us + timings.load_us, timings.sync_us, timings.render_us, timings.write_us],
  };
}

/** The steps that make the frames that are waited for: not parts of frames, nor frames that are made anew. */
function makers(detail: JobDetail): number[] {
  return detail.steps.flatMap((step, index) => ("slices" in step.kind || step.replaced ? [] : [index]));
}

export class Frames {
  /** Counts every change. */
  version = $state(0);
  length = $state(0);
  loading = $state(true);
  error = $state("");
  /** Whether there are more frames than are shown. */
  cut = $state(false);
  errors = $state.raw<FrameError[]>([]);

  numbers = new Int32Array(0);
  phases = new Uint8Array(0);
  workers = new Uint32Array(0);
  failures = new Uint16Array(0);
  /** By index. */
  results = new Map<number, Result>();

  #steps: number[] = [];
  /** Index of each step's first frame. */
  #starts = new Map<number, number>();
  #byNumber = new Map<number, number>();
  #seen: [number, number] = [0, 0];
  #end: (() => void)[] = [];
  #drawing: number | undefined;
  #ended = false;
  #reading = false;
  #asked = false;

  constructor(readonly job: JobId) {
    this.#end.push(
      live.onFrames((event) => {
        switch (event.type) {
          case "resync":
            void this.read();
            break;
          case "frame_started":
            if (event.job === job) this.#begin(event.step, event.frame, event.worker);
            break;
          case "frame_done":
            if (event.result.lease.unit.job === job) this.#done(event.result);
            break;
          case "frame_failed":
            if (event.error.lease.unit.job === job) this.#failed(event.error, event.given_up);
            break;
        }
      }),
    );
    const timer = setInterval(() => void this.#lookAgain(), LOOK_MS);
    this.#end.push(() => clearInterval(timer));
  }

  end(): void {
    this.#ended = true;
    for (const end of this.#end) end();
  }

  indexOf(frame: number): number | undefined {
    return this.#byNumber.get(frame);
  }

  phaseOf(index: number): FramePhase {
    return PHASES[this.phases[index] ?? 0] ?? "waiting";
  }

  /** The frames that are on the screen, for which it matters that nothing is missed. */
  see(from: number, to: number): void {
    this.#seen = [from, to];
  }

  /** Indexes of finished frames that have a picture, by their number in Blender. */
  pictures(): number[] {
    const found: number[] = [];
    for (const [index, result] of this.results) if (result.picture !== null) found.push(index);
    return found.sort((a, b) => (this.numbers[a] ?? 0) - (this.numbers[b] ?? 0));
  }

  async read(): Promise<void> {
    this.#asked = true;
    if (this.#reading) return;
    this.#reading = true;
    // Asked for meanwhile, it is read once more.
    while (this.#asked && !this.#ended) {
      this.#asked = false;
      await this.#readAll();
    }
    this.#reading = false;
  }

  async #readAll(): Promise<void> {
    try {
      const detail = await api.job(this.job);
      this.#layOut(detail);
      this.cut = detail.frames > FRAMES_MAX;
      const [step = 0, ...others] = makers(detail);
      await (others.length ? this.#readOn(0, 0, this.length) : this.#readAtOnce(step));
      this.loading = false;
      this.error = "";
      this.errors = (await api.errors(this.job)).items;
      let next: number | null | undefined = 0;
      let read = 0;
      while (typeof next === "number" && read < FRAMES_MAX && !this.#ended) {
        const page: Page<FrameResult> = await api.results(this.job, next);
        for (const result of page.items) this.#put(result);
        read += page.items.length;
        next = page.next;
        this.#changed();
      }
    } catch (error) {
      this.error = errorText(error);
      this.loading = false;
    }
  }

  /** Frames of one step: where each part of them begins is known, so some are asked for at once. */
  async #readAtOnce(step: number): Promise<void> {
    this.#starts.set(step, 0);
    const parts = Array.from({ length: Math.ceil(this.length / PAGE_MAX) }, (_, part) => part * PAGE_MAX).values();
    const hand = async () => {
      for (const at of parts) await this.#readOn(cursor(step, at), at, Math.min(at + PAGE_MAX, this.length));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, hand));
  }

  /** Reads frames from an index up to another, if there are so many. */
  async #readOn(first: number, at: number, to: number): Promise<void> {
    let from: number | null | undefined = first;
    while (typeof from === "number" && at < to && !this.#ended) {
      const page: Page<FrameStatus> = await api.frames(this.job, from);
      at = this.#take(page.items, at);
      from = page.next;
      this.#changed();
    }
  }

  /** Reads anew if other steps than were read make the job's frames: samples were added to them. */
  follow(detail: JobDetail): void {
    if (!this.loading && String(makers(detail)) !== String(this.#steps)) void this.read();
  }

  /** Room for the frames of all steps that make frames. */
  #layOut(detail: JobDetail): void {
    const length = Math.min(detail.frames, FRAMES_MAX);
    const steps = makers(detail);
    if (length === this.length && String(steps) === String(this.#steps)) return;
    this.#steps = steps;
    this.numbers = new Int32Array(length);
    this.phases = new Uint8Array(length);
    this.workers = new Uint32Array(length);
    this.failures = new Uint16Array(length);
    this.#byNumber.clear();
    this.#starts.clear();
    this.results.clear();
    this.length = length;
  }

  #take(items: FrameStatus[], at: number): number {
    for (const item of items) {
      if (at >= this.length) break;
      if (item.position === 0) this.#starts.set(item.step, at);
      this.numbers[at] = item.frame;
      this.phases[at] = PHASES.indexOf(item.phase);
      this.workers[at] = item.worker ?? 0;
      this.failures[at] = item.failures;
      this.#byNumber.set(item.frame, at);
      at += 1;
    }
    return at;
  }

  #index(step: number, position: number): number | undefined {
    const start = this.#starts.get(step);
    const index = start === undefined ? undefined : start + position;
    return index !== undefined && index < this.length ? index : undefined;
  }

  #changed(): void {
    this.#drawing ??= window.setTimeout(() => {
      this.#drawing = undefined;
      this.version += 1;
    }, 50);
  }

  #set(index: number, phase: FramePhase, worker: WorkerId): void {
    this.phases[index] = PHASES.indexOf(phase);
    this.workers[index] = worker;
    this.#changed();
  }

  #begin(step: number, frame: number, worker: WorkerId): void {
    // Parts of a frame are begun in a step of their own: the frame is being rendered all the same.
    const index = this.#byNumber.get(frame);
    if (index !== undefined && (this.#steps.includes(step) || this.phaseOf(index) === "waiting")) this.#set(index, "rendering", worker);
  }

  #put(result: FrameResult): number | undefined {
    const index = this.#index(result.lease.unit.step, result.position);
    if (index === undefined) return undefined;
    this.results.set(index, resultOf(result));
    this.workers[index] = result.worker;
    return index;
  }

  #done(result: FrameResult): void {
    const index = this.#put(result);
    if (index !== undefined) this.#set(index, "done", result.worker);
  }

  #failed(error: FrameError, givenUp: boolean): void {
    this.errors = [error, ...this.errors];
    const index = this.#byNumber.get(error.frame);
    if (index === undefined) return;
    this.failures[index] = (this.failures[index] ?? 0) + 1;
    this.#set(index, givenUp ? "failed" : "waiting", 0);
  }

  async #lookAgain(): Promise<void> {
    const job = live.job(this.job);
    const [from, to] = this.#seen;
    if (document.hidden || this.loading || live.link !== "live" || !job || (job.leased === 0 && job.state !== "active") || to <= from) return;
    const [step, start] = [...this.#starts].reverse().find(([, start]) => start <= from) ?? [0, 0];
    try {
      const page = await api.frames(this.job, cursor(step, from - start), Math.min(to - from, 1000));
      const version = this.version;
      for (const item of page.items) {
        const index = this.#index(item.step, item.position);
        // What an event said meanwhile is newer.
        if (index === undefined || this.version !== version) continue;
        const parts = this.phaseOf(index) === "rendering" && item.phase === "waiting" && job.places > job.places_done;
        const phase = parts ? "rendering" : item.phase;
        if (this.phaseOf(index) !== phase || this.workers[index] !== (item.worker ?? this.workers[index])) this.#set(index, phase, item.worker ?? this.workers[index] ?? 0);
      }
    } catch {
      // The link's own state says that nobody answers.
    }
  }
}
