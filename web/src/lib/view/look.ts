// How light is shown.

export type Solo = "all" | "R" | "G" | "B" | "A" | "L";

export interface Look {
  /** In stops. */
  exposure: number;
  gamma: number;
  /** For linear light of sRGB's primaries; or as it is. */
  view: "srgb" | "raw";
  solo: Solo;
}

export const AS_IT_IS: Look = { exposure: 0, gamma: 1, view: "srgb", solo: "all" };

/** What a channel's value is shown as, 0 to 1. The shader does the same. */
export function shown(value: number, { exposure, gamma, view }: Look): number {
  const lit = Math.min(1, Math.max(0, value * 2 ** exposure));
  const seen = view === "raw" ? lit : lit <= 0.0031308 ? 12.92 * lit : 1.055 * lit ** (1 / 2.4) - 0.055;
  return seen ** (1 / gamma);
}

/** A value in the fewest digits that mean this one and no other of its type. */
export function text(value: number, type: "half" | "float" | "uint"): string {
  if (type === "uint" || !Number.isFinite(value)) return String(value);
  for (let digits = 1; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    const same = type === "float" ? Math.fround(short) === value : Math.abs(short - value) <= Math.max(Math.abs(value), 2 ** -14) * 2 ** -12;
    if (same) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}
