// Numbers as people read them, and as they write them.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, "")} ${UNITS[unit]}`;
}

const STEPS: [string, number][] = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];

/** Two units at most: "2 h 5 min", "1.4 s", "80 ms". */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  let rest = Math.round(ms / 1000) * 1000;
  const parts: string[] = [];
  for (const [name, size] of STEPS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count || parts.length) parts.push(`${count} ${name}`);
    if (parts.length === 2) break;
  }
  return parts.filter((part) => !part.startsWith("0 ")).join(" ");
}

export function count(number: number): string {
  return number.toLocaleString("en");
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function time(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** "3 min ago", "in 2 d". */
export function ago(at: number, now: number): string {
  const ms = now - at;
  if (Math.abs(ms) < 5_000) return "now";
  const [name, size] = STEPS.find(([, size]) => Math.abs(ms) >= size) ?? ["s", 1000];
  const text = `${Math.floor(Math.abs(ms) / size)} ${name}`;
  return ms > 0 ? `${text} ago` : `in ${text}`;
}

const TIMES: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZES: Record<string, number> = { "": 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, pb: 1e15, k: 1e3, m: 1e6, g: 1e9, t: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 };

function written(text: string, units: Record<string, number>): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const size = match && units[(match[2] ?? "").toLowerCase()];
  return match && size ? Math.round(Number(match[1]) * size) : null;
}

/** Milliseconds of "10s", "2 min", "14d"; a bare 0 is none. */
export function parseDuration(text: string): number | null {
  return text.trim() === "0" ? 0 : written(text, TIMES);
}

/** Bytes of "2 TB", "500MB". */
export function parseBytes(text: string): number | null {
  return written(text, SIZES);
}

/** So that it reads back as the same number. */
export function writeDuration(ms: number): string {
  const unit = ["d", "h", "min", "s"].find((name) => ms >= (TIMES[name] ?? 1) && ms % (TIMES[name] ?? 1) === 0);
  return ms === 0 ? "0" : unit ? `${ms / (TIMES[unit] ?? 1)} ${unit}` : `${ms} ms`;
}

/** So that it reads back as the same number. */
export function writeBytes(count: number): string {
  const unit = ["PB", "TB", "GB", "MB", "kB"].find((name) => {
    const size = SIZES[name.toLowerCase()] ?? 1;
    return count >= size && count % (size / 1000) === 0;
  });
  return count === 0 ? "0" : unit ? `${count / (SIZES[unit.toLowerCase()] ?? 1)} ${unit}` : `${count} B`;
}
