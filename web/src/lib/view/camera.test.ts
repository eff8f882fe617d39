import { expect, test } from "vitest";
import { type Camera, fitted, levelFor, moved, originOf, pointAt, zoomed } from "./camera";

test("all of a frame fits, with pixels of any shape", () => {
  expect(fitted([0, 0, 1920, 1080], 1, [960, 600])).toEqual({ x: 960, y: 540, scale: 0.5, aspect: 1 });
  expect(fitted([10, 20, 100, 100], 2, [400, 400])).toEqual({ x: 60, y: 70, scale: 2, aspect: 2 });
});

test("what is below the pointer stays there", () => {
  const camera: Camera = { x: 50, y: 40, scale: 1, aspect: 1 };
  const canvas: [number, number] = [200, 100];
  const at: [number, number] = [150, 20];
  const near = zoomed(camera, canvas, at, 8);
  expect(near.scale).toBe(8);
  expect(pointAt(near, canvas, at)).toEqual(pointAt(camera, canvas, at));
  expect(zoomed(camera, canvas, at, 1e9).scale).toBe(64);
  expect(moved(near, 16, -8)).toMatchObject({ x: near.x + 2, y: near.y - 1 });
  // Pixels of the frame begin where pixels of the screen do.
  expect(originOf({ ...camera, x: 50.3 }, canvas)).toEqual([50, 10]);
});

test("a level has a pixel for each of the screen's", () => {
  expect([4, 1, 0.9, 0.5, 0.3, 0.25, 0.001].map((scale) => levelFor(scale, 4))).toEqual([0, 0, 0, 1, 1, 2, 3]);
});
