import { describe, expect, it } from "vitest";
import type { JobSummary } from "./api/types";
import { choose, progress, type Wanted } from "./jobs";
import { parse } from "./route";

function job(id: number, name: string, more: Partial<JobSummary> = {}): JobSummary {
  const settings = { name, category: "film", priority: 100, tags: ["gpu"], comment: "", chunk: 1, max_attempts: 3, requirement: {}, preempt: false };
  return {
    id, owner: "ada", settings, state: "active", phase: "waiting", frames: 10, done: 0, failed: 0, places: 0, places_done: 0, leased: 0,
    build: null, submitted_at: id, ...more,
  };
}

const ALL: Wanted = { text: "", group: "all", owner: "", sort: "id", down: true };
const JOBS = [
  job(3, "Sky", { owner: "ben", done: 5 }),
  job(2, "Amphora close", { state: "done", phase: "done", done: 10 }),
  job(1, "Amphora wide", { state: "failed", phase: "failed", failed: 2 }),
];

describe("jobs of a list", () => {
  it.each<[Partial<Wanted>, number[]]>([
    [{}, [3, 2, 1]],
    [{ text: "amphora" }, [2, 1]],
    [{ text: "WIDE amph" }, [1]],
    [{ text: "ben" }, [3]],
    [{ group: "open" }, [3]],
    [{ owner: "ada", group: "failed" }, [1]],
    [{ sort: "name", down: false }, [2, 1, 3]],
    [{ sort: "progress" }, [2, 3, 1]],
    [{ sort: "phase", down: false }, [3, 1, 2]],
    [{ text: "nowhere" }, []],
  ])("%j", (wanted, ids) => {
    expect(choose(JOBS, { ...ALL, ...wanted }).map(({ id }) => id)).toEqual(ids);
  });

  it("counts the parts of a still", () => {
    expect(progress(job(1, "still", { frames: 1, places: 64, places_done: 16 }))).toBe(0.25);
    expect(progress(job(1, "frames", { done: 5 }))).toBe(0.5);
    expect(progress(job(1, "none", { frames: 0 }))).toBe(0);
  });
});

describe("addresses", () => {
  it.each([
    ["", "farm", ""],
    ["#/", "farm", ""],
    ["#/jobs", "jobs", ""],
    ["#/jobs/7?frame=12", "job", "7"],
    ["#/jobs/x", "lost", "x"],
    ["#/settings/access", "settings", "access"],
    ["#/settings/notifications", "settings", "notifications"],
    ["#/settings/none", "lost", "none"],
    ["#/jobs/7/8", "lost", "7"],
    ["#/else", "lost", ""],
  ])("%s", (hash, page, id) => {
    expect(parse(hash)).toMatchObject({ page, id });
  });
});
