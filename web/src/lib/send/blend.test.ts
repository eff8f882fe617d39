import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseHead, readHead } from "./blend";

interface Scene {
  first: number;
  last: number;
  name: string;
}

const SHOT: Scene = { first: 1, last: 48, name: "Küche" };
const CUT: Scene = { first: -10, last: 200, name: "Cut" };

function text(from: string, length = from.length): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.write(from);
  return bytes;
}

function i32(number: number, isLow: boolean): Buffer {
  const bytes = Buffer.alloc(4);
  if (isLow) bytes.writeInt32LE(number);
  else bytes.writeInt32BE(number);
  return bytes;
}

/** As Blender wrote it until 4.5. */
function old(header: string, scenes: Scene[]): Buffer {
  const isLow = header[8] === "v";
  const blocks = scenes.map(({ first, last, name }) => {
    const data = Buffer.concat([i32(first, isLow), i32(last, isLow), text(name, 64)]);
    return Buffer.concat([text("REND"), i32(data.length, isLow), Buffer.alloc(header[7] === "-" ? 16 : 12), data]);
  });
  return Buffer.concat([text(header), ...blocks, text("GLOB", 40)]);
}

/** As Blender writes it since 5.0. */
function large(scenes: Scene[]): Buffer {
  const blocks = scenes.map(({ first, last, name }) => {
    const data = Buffer.concat([i32(first, true), i32(last, true), text(name, 256)]);
    const head = Buffer.alloc(32);
    head.write("REND");
    head.writeBigInt64LE(BigInt(data.length), 16);
    return Buffer.concat([head, data]);
  });
  return Buffer.concat([text("BLENDER17-01v0500"), ...blocks, text("GLOB", 40)]);
}

describe("what a .blend says of itself", () => {
  it.each([
    ["BLENDER-v304", "3.4"],
    ["BLENDER_v279", "2.79"],
    ["BLENDER-V405", "4.5"],
  ])("%s", (header, series) => {
    expect(parseHead(old(header, [SHOT, CUT]))).toEqual({ series, scenes: [SHOT, CUT] });
  });

  it("since 5.0", () => {
    expect(parseHead(large([SHOT, CUT]))).toEqual({ series: "5.0", scenes: [SHOT, CUT] });
    expect(parseHead(large([]))).toEqual({ series: "5.0", scenes: [] });
  });

  it("as far as it goes", () => {
    const whole = large([SHOT, CUT]);
    for (let end = 17; end < whole.length; end += 1) {
      const { series, scenes } = parseHead(whole.subarray(0, end));
      expect(series).toBe("5.0");
      expect([SHOT, CUT].slice(0, scenes.length)).toEqual(scenes);
    }
    const absurd = large([SHOT]);
    for (const size of [-1n, 1n, 1n << 62n]) {
      absurd.writeBigInt64LE(size, 17 + 16);
      expect(parseHead(absurd).scenes).toEqual([]);
    }
  });

  it.each([
    ["", /not a .blend/],
    ["\x89PNG\r\n", /not a .blend/],
    ["BLENDER18-02v0600", /does not know/],
  ])("%j is none", (bytes, why) => {
    expect(() => parseHead(text(bytes))).toThrow(why);
  });

  it("compressed by gzip", async () => {
    const packed = gzipSync(Buffer.concat([old("BLENDER-v293", [SHOT]), randomBytes(600_000)]));
    expect(packed.length).toBeGreaterThan(256 << 10);
    expect(await readHead(new Blob([packed]))).toEqual({ series: "2.93", scenes: [SHOT] });
    await expect(readHead(new Blob([packed.subarray(0, 3)]))).rejects.toThrow(/damaged/);
  });

  it("compressed by zstd", async () => {
    const packed = Buffer.from(
      "KLUv/QAAjQIAJANCTEVOREVSMTctMDF2MDUwMFJFTkQACAEAMAAAAEvDvGNoZWQAAADIAAAAQ3V0R0xPQgsAOQQAjuAAbY+lfGXh0QYULLW40kDFASAGAzQB",
      "base64",
    );
    expect(await readHead(new Blob([packed]))).toEqual({ series: "5.0", scenes: [SHOT, { ...CUT, first: 100 }] });
    await expect(readHead(new Blob([packed.subarray(0, 20)]))).rejects.toThrow(/damaged/);
  });
});
