// A line cut into what was looked for and what stands around it.

export interface Part {
  text: string;
  hit: boolean;
}

export function found(line: string, wanted: string): Part[] {
  if (wanted === "") return [{ text: line, hit: false }];
  // Letters whose small form has another length would move what follows.
  const lower = line.toLowerCase();
  const needle = wanted.toLowerCase();
  if (lower.length !== line.length) return [{ text: line, hit: lower.includes(needle) }];
  const parts: Part[] = [];
  let at = 0;
  for (let hit = lower.indexOf(needle); hit >= 0; hit = lower.indexOf(needle, at)) {
    if (hit > at) parts.push({ text: line.slice(at, hit), hit: false });
    at = hit + needle.length;
    parts.push({ text: line.slice(hit, at), hit: true });
  }
  if (at < line.length || parts.length === 0) parts.push({ text: line.slice(at), hit: false });
  return parts;
}
