// Cryptomatte: which object covers a pixel, and how much of each pixel some objects cover.
// See the Cryptomatte specification 1.2.0, https://github.com/Psyop/Cryptomatte/blob/master/specification

import type { Channel, Cryptomatte, Head, Plane, Tile } from "./pyramid";

/** The passes of a layer in the order of their ranks, as places in the head, of one view. */
export function ranksOf(head: Head, layer: Cryptomatte, view: string): number[] {
  return head.passes
    .flatMap((pass, at) => {
      const full = pass.layer ? `${pass.layer}.${pass.pass}` : pass.pass;
      const rank = full.startsWith(layer.name) ? full.slice(layer.name.length) : "";
      return /^\d+$/.test(rank) && pass.view === view ? [{ at, rank: Number(rank) }] : [];
    })
    .sort((a, b) => a.rank - b.rank)
    .map(({ at }) => at);
}

/** Names by id. What is no manifest names nothing. */
export function namesOf({ manifest }: Cryptomatte): Map<number, string> {
  const names = new Map<number, string>();
  try {
    const said: unknown = JSON.parse(manifest);
    if (typeof said === "object" && said !== null) {
      for (const [name, id] of Object.entries(said)) if (typeof id === "string") names.set(Number.parseInt(id, 16), name);
    }
  } catch {
    // Ids are shown as numbers then.
  }
  return names;
}

export const idText = (id: number) => id.toString(16).padStart(8, "0");

/** Pairs of id and coverage of a pass: bits of ids, since as floats some are equal that are not the same. */
function pairs(channels: Channel[], planes: Plane[]): [Uint32Array, Float32Array][] {
  const plane = (name: string) => planes[channels.findIndex((channel) => channel.name.toLowerCase() === name)];
  return [["r", "g"], ["b", "a"]].flatMap(([id = "", coverage = ""]): [Uint32Array, Float32Array][] => {
    const [ids, covers] = [plane(id), plane(coverage)];
    return ids instanceof Float32Array && covers instanceof Float32Array ? [[new Uint32Array(ids.buffer, ids.byteOffset, ids.length), covers]] : [];
  });
}

/** The id that covers most of a pixel, and how much; none where nothing is. */
export function idAt(ranks: { channels: Channel[]; tile: Tile }[], at: number): { id: number; coverage: number } | null {
  let best: { id: number; coverage: number } | null = null;
  for (const { channels, tile } of ranks) {
    for (const [ids, covers] of pairs(channels, tile.planes)) {
      const [id = 0, coverage = 0] = [ids[at], covers[at]];
      if (id !== 0 && coverage > (best?.coverage ?? 0)) best = { id, coverage };
    }
  }
  return best;
}

/** How much of each pixel of a tile these ids cover, 0 to 255. */
export function matteOf(ranks: { channels: Channel[]; tile: Tile }[], picked: Set<number>): Uint8Array {
  const first = ranks[0]?.tile;
  const sums = new Float32Array(first ? first.width * first.height : 0);
  for (const { channels, tile } of ranks) {
    for (const [ids, covers] of pairs(channels, tile.planes)) {
      for (let at = 0; at < sums.length; at += 1) if (picked.has(ids[at] ?? 0)) sums[at] = (sums[at] ?? 0) + (covers[at] ?? 0);
    }
  }
  return Uint8Array.from(sums, (sum) => Math.round(Math.min(1, sum) * 255));
}
