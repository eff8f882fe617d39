// Pictures of frames for canvases: fetched a few at a time, decoded to the size they are drawn at, the newest wishes first.

import { api } from "./api/client";
import type { JobId } from "./api/types";

/** Requests at once: the browser has six connections to one address, and the events and the page's own questions need some. */
const AT_ONCE = 3;

export class Pictures {
  #ready = new Map<string, ImageBitmap>();
  #wanted = new Map<string, [JobId, number]>();
  #running = new Map<string, AbortController>();
  #failed = new Set<string>();
  #ended = false;

  /** Keeps `max` decoded pictures, each at most `side` pixels wide. `changed` is told of every new one. */
  constructor(
    private readonly size: "thumbnail" | "preview",
    private readonly side: number,
    private readonly max: number,
    private readonly changed: () => void,
  ) {}

  /** The picture if it is there; else it is brought. The digest makes another picture of the same frame another one. */
  get(job: JobId, frame: number, digest: string): ImageBitmap | undefined {
    const key = `${job}/${frame}/${digest}`;
    const ready = this.#ready.get(key);
    if (ready) {
      this.#ready.delete(key);
      this.#ready.set(key, ready);
      return ready;
    }
    if (!this.#running.has(key) && !this.#failed.has(key)) {
      this.#wanted.delete(key);
      this.#wanted.set(key, [job, frame]);
      this.#next();
    }
    return undefined;
  }

  /** What is not asked for again is not brought: the view has moved on. */
  forget(): void {
    this.#wanted.clear();
  }

  end(): void {
    this.#ended = true;
    this.#wanted.clear();
    for (const running of this.#running.values()) running.abort();
    for (const picture of this.#ready.values()) picture.close();
    this.#ready.clear();
  }

  #next(): void {
    while (this.#running.size < AT_ONCE && !this.#ended) {
      const newest = [...this.#wanted].pop();
      if (!newest) return;
      const [key, [job, frame]] = newest;
      this.#wanted.delete(key);
      const abort = new AbortController();
      this.#running.set(key, abort);
      void this.#bring(key, job, frame, abort.signal).finally(() => {
        this.#running.delete(key);
        this.#next();
      });
    }
  }

  async #bring(key: string, job: JobId, frame: number, signal: AbortSignal): Promise<void> {
    try {
      const blob = await api.picture(job, frame, this.size, signal);
      let picture = await createImageBitmap(blob);
      if (picture.width > this.side) {
        const whole = picture;
        picture = await createImageBitmap(whole, { resizeWidth: this.side, resizeQuality: "medium" });
        whole.close();
      }
      if (this.#ended) return picture.close();
      this.#ready.set(key, picture);
      for (const [old, bitmap] of this.#ready) {
        if (this.#ready.size <= this.max) break;
        this.#ready.delete(old);
        bitmap.close();
      }
      this.changed();
    } catch {
      // A picture that cannot be had is a frame without one.
      if (!signal.aborted) this.#failed.add(key);
    }
  }
}
