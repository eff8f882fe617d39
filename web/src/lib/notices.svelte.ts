// Short words about what was done, or why it was not. They go by themselves, errors when they are dismissed.

export interface Notice {
  id: number;
  kind: "done" | "error";
  text: string;
}

/** How long a good word stays. */
const STAYS_MS = 5_000;

/** Notices at once: more hide the page. */
const NOTICES_MAX = 4;

class Notices {
  list = $state.raw<Notice[]>([]);
  #next = 1;

  say(text: string): void {
    const id = this.#put("done", text);
    setTimeout(() => this.dismiss(id), STAYS_MS);
  }

  fail(text: string): void {
    this.#put("error", text);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  #put(kind: Notice["kind"], text: string): number {
    const id = this.#next++;
    this.list = [...this.list, { id, kind, text }].slice(-NOTICES_MAX);
    return id;
  }
}

export const notices = new Notices();
