import { expect, it } from "vitest";
import { timeLeft } from "./left";

it.each<[string, number[], number, number, number | null]>([
  ["nothing is left", [], 0, 0, 0],
  ["too few to tell", [1000, 2000], 5, 2000, null],
  ["a frame a second", [1000, 2000, 3000, 4000], 10, 4000, 10_000],
  ["in any order", [4000, 1000, 3000, 2000], 10, 4000, 10_000],
  ["a slow start is forgotten", [100_000, 200_000, 201_000, 202_000], 10, 202_000, 10_000],
  ["it counts down", [1000, 2000, 3000, 4000], 10, 4500, 9500],
  ["but not while a frame is late", [1000, 2000, 3000, 4000], 10, 60_000, 9000],
  ["all at one moment", [5, 5, 5, 5], 10, 5, null],
])("%s", (_, done, remaining, now, left) => {
  expect(timeLeft(done, remaining, now)).toBe(left);
});
