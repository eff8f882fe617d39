import { describe, expect, it } from "vitest";
import { bytes, duration, parseBytes, parseDuration, writeBytes, writeDuration } from "./format";

describe("numbers for people", () => {
  it.each([[0, "0 B"], [999, "999 B"], [1000, "1 kB"], [1500, "1.5 kB"], [999_600, "1 MB"], [123_456_789, "123 MB"], [2e12, "2 TB"]])("%d bytes", (count, text) => {
    expect(bytes(count)).toBe(text);
  });
  it.each([[80, "80 ms"], [1400, "1.4 s"], [9_960, "10 s"], [59_600, "1 min"], [61_000, "1 min 1 s"], [7_500_000, "2 h 5 min"], [172_800_000, "2 d"]])("%d ms", (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
  it.each([["10s", 10_000], ["2 min", 120_000], ["14d", 1_209_600_000], ["1.5 h", 5_400_000], ["0", 0], ["5", null], ["soon", null], ["", null], ["-1 s", null]])("%s is so long", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
  it.each([["2TB", 2e12], ["500 MB", 5e8], ["1 GiB", 2 ** 30], ["12", 12], ["0", 0], ["many", null]])("%s is so much", (text, count) => {
    expect(parseBytes(text)).toBe(count);
  });
  it.each([0, 1, 80, 500, 1000, 90_000, 3_600_000, 2_592_000_000])("%d ms read back", (ms) => {
    expect(parseDuration(writeDuration(ms))).toBe(ms);
  });
  it.each([0, 1, 999, 1000, 1_500_000, 2e12, 2 ** 30])("%d bytes read back", (count) => {
    expect(parseBytes(writeBytes(count))).toBe(count);
  });
});
