import { describe, expect, it } from "vitest";
import { read, SETTINGS, write } from "./settings";

const all = SETTINGS.flatMap((group) => group.settings);
const named = (name: string) => all.find((setting) => setting.name === name) ?? all[0]!;

describe("settings that are typed", () => {
  it.each([
    ["cap_percent", "50", 50],
    ["sample_ms", "10 s", 10_000],
    ["results_keep_ms", "14d", 1_209_600_000],
    ["results_keep_ms", "0", 0],
    ["store_quota_bytes", "2TB", 2e12],
  ])("%s %s", (name, text, value) => {
    expect(read(named(name), text)).toEqual({ value });
  });
  it.each([
    ["cap_percent", "0", "1 to 100"],
    ["cap_percent", "1.5", "whole number"],
    ["sample_ms", "10", "a time"],
    ["sample_ms", "1 ms", "100 ms to 1 d"],
    ["store_quota_bytes", "much", "a size"],
  ])("%s cannot be %s", (name, text, words) => {
    expect(read(named(name), text)).toEqual({ error: expect.stringContaining(words) as string });
  });
  it.each(all.map((setting) => [setting.name, setting] as const))("the bounds of %s read back", (_, setting) => {
    for (const value of [setting.min, setting.max]) expect(read(setting, write(setting.form, value))).toEqual({ value });
  });
});
