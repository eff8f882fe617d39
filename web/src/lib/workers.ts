// Workers in a list: what they are in a word, what their machines have, and how much of that is in use.

import type { GpuLoad, Machine, UtilisationSample, WorkerFacts, WorkerStatus } from "./api/types";
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

/** How much of something is in use. */
export interface Load {
  name: string;
  /** 0 to 1; none where the whole is not told. */
  share: number | null;
  text: string;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function shareOf(part: number, whole: number | null | undefined): number | null {
  return whole ? Math.min(1, part / whole) : null;
}

function outOf(part: number, whole: number | null | undefined): string {
  return whole ? `${bytes(part)} of ${bytes(whole)}` : bytes(part);
}

function gpuLoad(gpu: GpuLoad): Load {
  const memory = outOf(gpu.memory_bytes, gpu.memory_total_bytes);
  const busy = typeof gpu.busy === "number" ? gpu.busy : null;
  const parts = [busy === null ? "" : `${percent(busy)} busy`, memory, typeof gpu.celsius === "number" ? `${gpu.celsius} °C` : ""];
  return { name: gpu.name, share: busy ?? shareOf(gpu.memory_bytes, gpu.memory_total_bytes), text: parts.filter(Boolean).join(", ") };
}

/** How many frames a farm could render at once, and how many it did. */
export interface Use {
  slots: number;
  busy: number;
}

/** Means of looks at the farm over equal spans that end with the last of them. */
export function useOverTime(samples: UtilisationSample[], spans: number, span: number): (Use | null)[] {
  const end = samples[samples.length - 1]?.at ?? 0;
  const sums = Array.from({ length: spans }, () => ({ looks: 0, slots: 0, busy: 0 }));
  for (const { at, slots, busy } of samples) {
    const sum = sums[spans - 1 - Math.floor((end - at) / span)];
    if (!sum) continue;
    sum.looks += 1;
    sum.slots += slots;
    sum.busy += busy;
  }
  return sums.map(({ looks, slots, busy }) => (looks ? { slots: slots / looks, busy: busy / looks } : null));
}

/** How a machine is, part by part. */
export function loads(machine: Machine): Load[] {
  const { cpu, memory_bytes, memory_total_bytes, blenders_bytes, disk_free_bytes, disk_total_bytes } = machine;
  const blender = typeof blenders_bytes === "number" ? `, ${bytes(blenders_bytes)} by Blender` : "";
  const free = disk_total_bytes ? ` of ${bytes(disk_total_bytes)}` : "";
  return [
    { name: "Processors", share: cpu, text: `${percent(cpu)} in use` },
    { name: "Memory", share: shareOf(memory_bytes, memory_total_bytes), text: `${outOf(memory_bytes, memory_total_bytes)} in use${blender}` },
    { name: "Disk", share: disk_total_bytes ? shareOf(disk_total_bytes - disk_free_bytes, disk_total_bytes) : null, text: `${bytes(disk_free_bytes)} free${free}` },
    ...(machine.gpus ?? []).map(gpuLoad),
  ];
}

/** The same for a row: of several GPUs the busiest. */
export function briefLoads(machine: Machine): Load[] {
  const memory = shareOf(machine.memory_bytes, machine.memory_total_bytes);
  const brief: Load[] = [
    { name: "CPU", share: machine.cpu, text: percent(machine.cpu) },
    { name: "Memory", share: memory, text: memory === null ? bytes(machine.memory_bytes) : percent(memory) },
  ];
  const busy = (machine.gpus ?? []).flatMap((gpu) => (typeof gpu.busy === "number" ? [gpu.busy] : []));
  if (busy.length) brief.push({ name: "GPU", share: Math.max(...busy), text: percent(Math.max(...busy)) });
  return brief;
}
