// The farm that the browser is tried on, as its own commands see it: they share nothing with the page.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";

export interface Site {
  url: string;
  viewer: { url: string };
  tessera: string;
  home: string;
  newHome: string;
  manager: { pid: number; address: string };
  jobs: { film: number; failing: number; markup: number; shots: number[]; many: number };
  markup: string;
  still: string;
  sampled: string;
  textured: string;
  /** The pages of two other farms: one that nobody has used, and one with ten thousand jobs. */
  empty: string;
  crowded: string;
}

export const site = JSON.parse(process.env.FARM ?? "null") as Site;

type Line = Record<string, unknown> & { type: string };

export function cli(...words: string[]): Line[] {
  const env = { ...process.env, TESSERA_HOME: site.home };
  const text = execFileSync(site.tessera, [...words, "--json"], { env, encoding: "utf8" });
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Line);
}

function objects<T>(name: string, ...words: string[]): T[] {
  return cli(...words).flatMap((line) => (name in line ? [line[name] as T] : []));
}

interface Worker { name: string; mode: string; linked: boolean; note?: string; machine?: { memory_total_bytes: number; disk_total_bytes: number } }

export const workers = () => objects<Worker>("worker", "workers");
export const worker = (name: string) => workers().find((one) => one.name === name);
export const job = (id: number) => objects<{ state: string; blocked_workers: number[]; done: number; failed: number; frames: number; leased: number; places: number; settings: { name: string; priority: number; tags: string[]; category: string; comment: string; requirement: object; after?: object[] } }>("job", "job", "show", String(id))[0];
export const jobs = () => objects<{ id: number }>("job", "jobs").map(({ id }) => id);
export const settings = () => objects<Record<string, unknown>>("settings", "settings")[0] ?? {};
export const tokens = () => objects<{ id: string; user: string; role: string }>("token", "token", "list");
export const certificates = () => objects<{ worker_name: string; revoked: boolean }>("certificate", "cert", "list");

export const receivers = () => objects<{ name: string; events: string[]; jobs: unknown }>("receiver", "notify", "list");

const started: ChildProcess[] = [];

/** A program of the farm that goes on until the test ends. */
export function start(home: string, ...words: string[]): ChildProcess {
  const child = spawn(site.tessera, [...words, "--json"], { env: { ...process.env, TESSERA_HOME: home }, stdio: "ignore" });
  started.push(child);
  return child;
}

export function endAll(): void {
  for (const child of started) child.kill("SIGKILL");
}
