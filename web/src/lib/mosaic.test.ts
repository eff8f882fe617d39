import { expect, test } from "vitest";
import { pictureSize, spotOf } from "./mosaic";

test("a picture keeps the proportions of its frame", () => {
  expect(pictureSize({ width: 160, height: 90 })).toEqual({ width: 160, height: 90 });
  expect(pictureSize({ width: 7680, height: 4320 })).toEqual({ width: 1920, height: 1080 });
  expect(pictureSize({ width: 4320, height: 7680 })).toEqual({ width: 1080, height: 1920 });
  expect(pictureSize({ width: 65_536, height: 4 })).toEqual({ width: 1920, height: 1 });
});

test("tiles lie beside each other, without gaps", () => {
  for (const [width, height, columns] of [[640, 360, 4], [7680, 4320, 7], [37, 5, 3]] as const) {
    const frame = { width, height };
    const picture = pictureSize(frame);
    let next = 0;
    for (let column = 0; column < columns; column += 1) {
      const [left, right] = [Math.floor((column * width) / columns), Math.floor(((column + 1) * width) / columns)];
      const spot = spotOf({ x: left, y: 0, width: right - left, height }, frame, picture);
      expect([spot.x, spot.y, spot.height]).toEqual([next, 0, picture.height]);
      next += spot.width;
    }
    expect(next).toBe(picture.width);
  }
});
