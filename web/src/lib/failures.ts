// Failed attempts, the same ones together.

import type { FrameError, FrameErrorKind, WorkerId } from "./api/types";

export interface Failure {
  kind: FrameErrorKind;
  message: string;
  attempts: number;
  /** In order. */
  frames: number[];
  workers: WorkerId[];
}

/** The commonest first. Numbers in messages differ from frame to frame and do not make another failure. */
export function grouped(errors: FrameError[]): Failure[] {
  const groups = new Map<string, FrameError[]>();
  for (const error of errors) {
    const key = `${error.kind} ${error.message.replace(/\d+/g, "#")}`;
    groups.set(key, [...(groups.get(key) ?? []), error]);
  }
  const unique = (numbers: number[]) => [...new Set(numbers)].sort((a, b) => a - b);
  return [...groups.values()]
    .map((same) => ({
      kind: same[0]?.kind ?? "worker",
      message: same[0]?.message ?? "",
      attempts: same.length,
      frames: unique(same.map(({ frame }) => frame)),
      workers: unique(same.map(({ worker }) => worker)),
    }))
    .sort((a, b) => b.attempts - a.attempts);
}
