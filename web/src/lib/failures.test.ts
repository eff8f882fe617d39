import { expect, it } from "vitest";
import type { FrameError } from "./api/types";
import { grouped } from "./failures";

const failed = (kind: FrameError["kind"], frame: number, worker: number, message: string): FrameError => ({
  at: 0, frame, kind, lease: {} as FrameError["lease"], message, position: frame - 1, stderr: null, stdout: null, worker,
});

it("failures of one sort are one, the commonest first", () => {
  const errors = [
    failed("hang", 7, 1, "nothing for 30 s"),
    failed("crash", 3, 2, "Blender 4711 ended at frame 3"),
    failed("crash", 2, 1, "Blender 12 ended at frame 2"),
    failed("crash", 3, 1, "Blender 13 ended at frame 3"),
    failed("memory", 3, 1, "Blender 13 ended at frame 3"),
  ];
  expect(grouped(errors)).toEqual([
    { kind: "crash", message: "Blender 4711 ended at frame 3", attempts: 3, frames: [2, 3], workers: [1, 2] },
    { kind: "hang", message: "nothing for 30 s", attempts: 1, frames: [7], workers: [1] },
    { kind: "memory", message: "Blender 13 ended at frame 3", attempts: 1, frames: [3], workers: [1] },
  ]);
  expect(grouped([])).toEqual([]);
});
