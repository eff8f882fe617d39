// The settings of the farm: what each is for and within which bounds, as `wire/src/farm_settings.rs` and `model/src/farm_settings.rs`
// have it. A setting that is not here is shown by its bare name.

import { count, parseBytes, parseDuration, writeBytes, writeDuration } from "./format";

export type Form = "count" | "percent" | "millis" | "bytes";

export interface Setting {
  name: string;
  form: Form;
  meaning: string;
  min: number;
  max: number;
}

export interface SettingGroup {
  title: string;
  settings: Setting[];
}

const DAY = 86_400_000;
const QUOTA_MAX = 2 ** 60;

const setting = (name: string, form: Form, meaning: string, min: number, max: number): Setting => ({ name, form, meaning, min, max });

export const SETTINGS: SettingGroup[] = [
  {
    title: "Shares",
    settings: [
      setting("cap_percent", "percent", "most slots of one job, while others have work for them", 1, 100),
      setting("sample_ms", "millis", "how often usage is measured; the past counts half each time", 100, DAY),
      setting("first_frames", "count", "jobs of which fewer frames were handed out go first", 0, 1_000_000),
      setting("starved_after_ms", "millis", "jobs that got nothing for so long go next", 100, DAY),
    ],
  },
  {
    title: "Work at workers",
    settings: [
      setting("queued_per_slot", "count", "units that lie ready behind each one that renders", 0, 16),
      setting("long_unit_ms", "millis", "of units that take longer, one lies ready and not more", 0, DAY),
      setting("duplicate_gain_ms", "millis", "a straggler is rendered twice if that saves so much; 0: never", 0, DAY),
    ],
  },
  {
    title: "Failures",
    settings: [
      setting("retry_after_ms", "millis", "a failed frame waits so long; twice as long each time", 0, DAY),
      setting("retry_after_max_ms", "millis", "but not longer than this", 0, DAY),
      setting("block_after_failures", "count", "failures of a job after which a worker gets no more of it", 1, 1000),
      setting("lost_max", "count", "a unit lost with its worker so often is given up", 1, 1000),
      setting("hopeless_after", "count", "a job of which nothing but so many failed frames came has failed", 1, 1_000_000),
    ],
  },
  {
    title: "Links",
    settings: [
      setting("closed_after_ms", "millis", "a closed link: its units are handed out again", 0, DAY),
      setting("suspect_after_ms", "millis", "a silent worker gets nothing new", 1000, DAY),
      setting("expired_after_ms", "millis", "a silent worker's units are handed out again", 1000, DAY),
      setting("restart_grace_ms", "millis", "so long a new manager waits for workers with units", 0, DAY),
      setting("unheld_after_ms", "millis", "units that a worker never took up are taken back", 1000, DAY),
    ],
  },
  {
    title: "Storage",
    settings: [
      setting("results_keep_ms", "millis", "a job that is over and fetched is removed after this; 0: never", 0, 3650 * DAY),
      setting("store_quota_bytes", "bytes", "most that the manager stores; beyond it nothing new is taken in; 0: no bound", 0, QUOTA_MAX),
      setting("store_user_quota_bytes", "bytes", "most that the jobs of each user need of it; 0: no bound", 0, QUOTA_MAX),
      setting("store_warn_percent", "percent", "part of these quotas from which on it is warned of", 1, 100),
    ],
  },
];

/** A value as it is typed and read. */
export function write(form: Form, value: number): string {
  return form === "millis" ? writeDuration(value) : form === "bytes" ? writeBytes(value) : String(value);
}

/** What was typed, or why it cannot be. */
export function read(setting: Setting, text: string): { value: number } | { error: string } {
  const { form, min, max } = setting;
  const plain = /^\s*\d+\s*$/.test(text) ? Number(text) : null;
  const value = form === "millis" ? parseDuration(text) : form === "bytes" ? parseBytes(text) : plain;
  if (value === null) {
    const example = { millis: "a time, such as 10 s, 2 min or 14 d", bytes: "a size, such as 500 GB or 2 TB", count: "a whole number", percent: "a whole number" };
    return { error: `Write ${example[form]}.` };
  }
  if (value < min || value > max) return { error: `It is ${bounds(setting)}.` };
  return { value };
}

export function bounds({ form, min, max }: Setting): string {
  const say = (value: number) => (form === "count" || form === "percent" ? count(value) : write(form, value));
  return `${say(min)} to ${max === QUOTA_MAX ? "1 EiB" : say(max)}`;
}
