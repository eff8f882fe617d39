// Workers in a list: what they are in a word, and what their machines have.

import type { WorkerFacts, WorkerStatus } from "./api/types";
import { bytes, plural } from "./format";

/** After so long without a word a worker is called silent. */
const SILENT_MS = 15_000;

export type WorkerState = "away" | "silent" | "rendering" | "resting" | "ready" | "paused" | "draining" | "blocked";

export function isRendering(worker: WorkerStatus): boolean {
  return worker.linked && worker.holds.some((held) => held.rendering);
}

export function stateOf(worker: WorkerStatus): WorkerState {
  if (!worker.linked) return "away";
  if (worker.silent_ms !== null && worker.silent_ms >= SILENT_MS) return "silent";
  if (worker.mode !== "active") return worker.mode;
  if (isRendering(worker)) return "rendering";
  return worker.facts?.rest ? "resting" : "ready";
}

export function blenders(facts: WorkerFacts): string {
  return facts.builds.length ? facts.builds.map((build) => `${build.version}${build.kind === "module" ? " (bpy)" : ""}`).join(", ") : "none found";
}

export function machine(facts: WorkerFacts): string {
  const parts = [`${plural(facts.slots, "slot")} × ${plural(facts.threads, "thread")}`, bytes(facts.memory_bytes)];
  const gpus = new Set(facts.gpus.map((gpu) => gpu.name));
  if (gpus.size) parts.push([...gpus].join(", "));
  parts.push(`Blender ${blenders(facts)}`);
  return parts.join(" · ");
}
