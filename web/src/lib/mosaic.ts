// Where the parts of a divided frame lie in its picture. The manager says how pictures of parts are made: see the route `preview`.

import type { FrameResult, Split, Window } from "./api/types";

/** Longest side of a picture. */
const SIDE_MAX = 1920;

export interface Size {
  width: number;
  height: number;
}

export interface Part {
  window: Window;
  samples: number;
}

/** Of the picture of a whole frame. */
export function pictureSize({ width, height }: Size): Size {
  const longest = Math.max(width, height);
  if (longest <= SIDE_MAX) return { width, height };
  const scaled = (side: number) => Math.max(1, Math.floor((side * SIDE_MAX + Math.floor(longest / 2)) / longest));
  return { width: scaled(width), height: scaled(height) };
}

/** Where a window of the frame lies in its picture. */
export function spotOf(window: Window, frame: Size, picture: Size): Window {
  const side = (begin: number, length: number, whole: number, shown: number): [number, number] => {
    const edge = (at: number) => Math.floor((Math.min(at, whole) * shown + Math.floor(whole / 2)) / whole);
    const from = Math.min(edge(begin), shown - 1);
    return [from, Math.max(edge(begin + length), from + 1) - from];
  };
  const [x, width] = side(window.x, window.width, frame.width, picture.width);
  const [y, height] = side(window.y, window.height, frame.height, picture.height);
  return { x, y, width, height };
}

/** The parts that a result holds, in the order of its picture. */
export function partsOf(result: FrameResult, split: Split): Part[] {
  return result.files.flatMap(({ role }) => {
    if (typeof role === "string" || !("slice" in role)) return [];
    const { window, samples } = role.slice.slice;
    return [{ window, samples: samples ? samples.end - samples.start : split.samples }];
  });
}
