// Receivers of notifications: how each kind is told, what it asks for, and what a form says of it.

import type { NoticeEvent, ReceiverInfo, ReceiverInput, WhoseJobs } from "./api/types";

export const EVENTS: Record<Exclude<NoticeEvent, "test">, string> = {
  job_done: "a job is done",
  job_failed: "a job has failed",
  first_error: "a job has its first error",
  frame_given_up: "the first frame of a job is given up",
  worker_blocked: "a worker gets no more of a job",
  worker_lost: "a worker is lost",
  store_full: "the space for files comes to its end",
};

export type Kind = ReceiverInput["way"]["kind"];

/** Name of the kind, and what its secret is. */
export const KINDS: Record<Kind, [string, string]> = {
  discord: ["Discord", "Address of the channel's webhook"],
  slack: ["Slack", "Address of the incoming webhook"],
  matrix: ["Matrix", "Access token"],
  email: ["Mail", "Password"],
  webhook: ["Webhook", "Key that messages are signed with"],
};

/** Whether a receiver of the kind is of no use without a secret. */
export const NEEDS_SECRET: readonly Kind[] = ["discord", "slack", "matrix"];

/** What is typed for a new receiver. */
export interface Typed {
  name: string;
  kind: Kind;
  secret: string;
  url: string;
  room: string;
  server: string;
  port: string;
  tls: "tls" | "starttls" | "none";
  user: string;
  from: string;
  to: string;
  events: NoticeEvent[];
  /** "all", "named", or "owner" with `owner`. */
  whose: "all" | "named" | "owner";
  owner: string;
}

export function blank(): Typed {
  const events: NoticeEvent[] = ["job_done", "job_failed", "frame_given_up", "worker_lost", "store_full"];
  return { name: "", kind: "discord", secret: "", url: "", room: "", server: "", port: "", tls: "tls", user: "", from: "", to: "", events, whose: "all", owner: "" };
}

function wayOf(typed: Typed): ReceiverInput["way"] {
  switch (typed.kind) {
    case "webhook":
      return { kind: "webhook", url: typed.url.trim() };
    case "matrix":
      return { kind: "matrix", homeserver: typed.url.trim(), room: typed.room.trim() };
    case "email": {
      const to = typed.to.split(/[;,\n]/).map((address) => address.trim()).filter(Boolean);
      const port = typed.port.trim() ? Number(typed.port) : null;
      return { kind: "email", server: typed.server.trim(), port, tls: typed.tls, user: typed.user.trim() || null, from: typed.from.trim(), to };
    }
    default:
      return { kind: typed.kind };
  }
}

export function inputOf(typed: Typed): ReceiverInput {
  const jobs: WhoseJobs = typed.whose === "owner" ? { owner: typed.owner.trim() } : typed.whose;
  return { way: wayOf(typed), events: typed.events, jobs, secret: typed.secret.trim() || null };
}

/** Where it is told, in a line. */
export function placeOf({ way, has_secret }: ReceiverInfo): string {
  switch (way.kind) {
    case "webhook":
      return `${way.url}${has_secret ? ", signed" : ""}`;
    case "email":
      return `${way.to.join(", ")} by ${way.server}`;
    case "matrix":
      return `${way.room} by ${way.homeserver}`;
    default:
      return "";
  }
}

export function whoseOf(jobs: WhoseJobs): string {
  if (typeof jobs === "object") return `of ${jobs.owner}`;
  return jobs === "all" ? "all" : "those that name it";
}

/** Whether the last that was sent did not arrive. */
export function isFailing(info: ReceiverInfo): boolean {
  return Boolean(info.error && (!info.delivered_at || info.delivered_at < info.error.at));
}
