import { describe, expect, it } from "vitest";
import { briefLoads, loads, percent, useOverTime } from "./workers";

const old = { cpu: 0.366, memory_bytes: 12_100_000_000, disk_free_bytes: 5_000_000_000 };
const machine = {
  ...old, memory_total_bytes: 64_000_000_000, blenders_bytes: 9_000_000_000, disk_total_bytes: 20_000_000_000,
  gpus: [
    { name: "NVIDIA H200", busy: 0.88, memory_bytes: 12_000_000_000, memory_total_bytes: 150_000_000_000, celsius: 61 },
    { name: "part", memory_bytes: 0, memory_total_bytes: 1000 },
  ],
};

describe("how a machine is", () => {
  it("is told part by part", () => {
    expect(loads(machine)).toEqual([
      { name: "Processors", share: 0.366, text: "37 % in use" },
      { name: "Memory", share: 12.1 / 64, text: "12.1 GB of 64 GB in use, 9 GB by Blender" },
      { name: "Disk", share: 0.75, text: "5 GB free of 20 GB" },
      { name: "NVIDIA H200", share: 0.88, text: "88 % busy, 12 GB of 150 GB, 61 °C" },
      { name: "part", share: 0, text: "0 B of 1 kB" },
    ]);
    expect(briefLoads(machine)).toEqual([
      { name: "CPU", share: 0.366, text: "37 %" },
      { name: "Memory", share: 12.1 / 64, text: "19 %" },
      { name: "GPU", share: 0.88, text: "88 %" },
    ]);
  });

  it("is told as far as an older worker tells it", () => {
    expect(loads(old).map(({ share, text }) => [share, text])).toEqual([
      [0.366, "37 % in use"], [null, "12.1 GB in use"], [null, "5 GB free"],
    ]);
    expect(briefLoads(old)).toEqual([{ name: "CPU", share: 0.366, text: "37 %" }, { name: "Memory", share: null, text: "12.1 GB" }]);
    expect(percent(1)).toBe("100 %");
  });
});

it("what a farm did is told in equal spans", () => {
  const samples = [{ at: 0, slots: 9, busy: 9 }, { at: 101, slots: 2, busy: 0 }, { at: 109, slots: 4, busy: 4 }, { at: 130, slots: 4, busy: 1 }];
  expect(useOverTime(samples, 4, 10)).toEqual([null, { slots: 3, busy: 2 }, null, { slots: 4, busy: 1 }]);
  expect(useOverTime([], 2, 10)).toEqual([null, null]);
});
