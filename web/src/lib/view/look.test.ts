import { expect, test } from "vitest";
import { fromHalf } from "./half";
import { AS_IT_IS, shown, text } from "./look";

test("halves are read", () => {
  const cases: [number, number][] = [[0, 0], [0x3c00, 1], [0xc000, -2], [0x7bff, 65504], [0x0001, 2 ** -24], [0x0400, 2 ** -14], [0x7c00, Infinity], [0x3555, 0.333251953125]];
  for (const [bits, value] of cases) expect(fromHalf(bits)).toBe(value);
  expect(Object.is(fromHalf(0x8000), -0)).toBe(true);
  expect(fromHalf(0x7e00)).toBeNaN();
});

test("light is shown as sRGB has it, exposed in stops", () => {
  expect(shown(0.18, AS_IT_IS)).toBeCloseTo(0.4614, 4);
  expect(shown(0.09, { ...AS_IT_IS, exposure: 1 })).toBeCloseTo(0.4614, 4);
  expect(shown(0.001, AS_IT_IS)).toBeCloseTo(0.01292, 6);
  expect(shown(0.25, { ...AS_IT_IS, view: "raw", gamma: 2 })).toBe(0.5);
  expect(shown(-1, AS_IT_IS)).toBe(0);
  expect(shown(7, AS_IT_IS)).toBeCloseTo(1, 12);
});

test("values are written as short as they are exact", () => {
  expect(text(Math.fround(0.1), "float")).toBe("0.1");
  expect(text(Math.fround(1 / 3), "float")).toBe("0.33333334");
  expect(text(fromHalf(0x3555), "half")).toBe("0.3333");
  expect(text(fromHalf(1), "half")).toBe("6e-8");
  expect(text(4294967295, "uint")).toBe("4294967295");
  expect(text(NaN, "half")).toBe("NaN");
});
