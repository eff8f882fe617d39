import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { Light } from "./light";
import { type Channel, coloursOf, type Head, levelsOf, mainPass, type Pass, readHead, unpacked } from "./pyramid";

const RGBA: Channel[] = ["A", "B", "G", "R"].map((name) => ({ name, type: "half" }));

/** The bytes of a tile, as a worker writes them: each rank of all samples, as differences. */
function packed(planes: (Uint16Array | Float32Array | Uint32Array)[]): Uint8Array {
  const out: number[] = [];
  for (const plane of planes) {
    const bytes = new Uint8Array(plane.buffer);
    for (let rank = 0; rank < plane.BYTES_PER_ELEMENT; rank += 1) {
      let before = 0;
      for (let at = rank; at < bytes.length; at += plane.BYTES_PER_ELEMENT) {
        const byte = bytes[at] ?? 0;
        out.push((byte - before) & 0xff);
        before = byte;
      }
    }
  }
  return Uint8Array.from(out);
}

const pass = (name: string, channels = RGBA): Pass => ({ layer: "V", pass: name, view: "", channels, first: false, table: [0, 0] });

/** A file of one pass of a float, of 3 by 2 pixels in tiles of 2 by 2. */
function file(values: Float32Array): Uint8Array {
  const tiles = [[0, 1, 3, 4], [2, 5], [0, 2]].map((places) => deflateSync(packed([Float32Array.from(places, (place) => values[place] ?? 0)])));
  const table = new DataView(new ArrayBuffer(36));
  let offset = 0;
  tiles.forEach((tile, at) => {
    table.setBigUint64(12 * at, BigInt(offset), true);
    table.setUint32(12 * at + 8, tile.length, true);
    offset += tile.length;
  });
  const lie = deflateSync(new Uint8Array(table.buffer));
  const head: Head = {
    version: 1, window: [10, 20, 3, 2], display: [0, 0, 20, 30], pixel_aspect: 1, tile: [2, 2], cryptomattes: [],
    passes: [{ ...pass("Depth", [{ name: "Z", type: "float" }]), table: [offset, lie.length] }],
  };
  const text = deflateSync(JSON.stringify(head));
  const tail = new DataView(new ArrayBuffer(24));
  tail.setBigUint64(0, BigInt(offset + lie.length), true);
  tail.setUint32(8, text.length, true);
  new Uint8Array(tail.buffer).set(new TextEncoder().encode("tsrpyr01"), 16);
  return Uint8Array.from([...tiles.flatMap((tile) => [...tile]), ...lie, ...text, ...new Uint8Array(tail.buffer)]);
}

test("samples come back to the bit", () => {
  const planes = [Uint16Array.from([0, 0x3c00, 0xffff, 1]), Float32Array.from([NaN, -0, 3e38, 1e-40]), Uint32Array.from([0xffffffff, 0, 7, 1 << 31])];
  const channels: Channel[] = [{ name: "a", type: "half" }, { name: "b", type: "float" }, { name: "c", type: "uint" }];
  const found = unpacked(packed(planes), 4, channels);
  const bytes = (plane: Uint16Array | Float32Array | Uint32Array) => [...new Uint8Array(plane.buffer, plane.byteOffset, plane.byteLength)];
  expect(found.map(bytes)).toEqual(planes.map(bytes));
});

test("levels fall by half until one fits into a tile", () => {
  const head = { window: [0, 0, 701, 515], tile: [256, 256] } as unknown as Head;
  expect(levelsOf(head).map(({ width, height, begin }) => [width, height, begin])).toEqual([[701, 515, 0], [351, 258, 9], [176, 129, 13]]);
});

test("a file is read from its end, and of its tiles only what is wanted", async () => {
  const bytes = file(Float32Array.from([1, 2, 3, 4, 5, 0.1]));
  const asked: number[] = [];
  const fetch = async (from: number, length: number) => {
    asked.push(length);
    return bytes.slice(from, from + length);
  };
  let came = () => {};
  const next = () => new Promise<void>((resolve) => (came = resolve));
  const light = await Light.open(bytes.length, fetch, () => came(), () => {});
  expect(light.valuesAt(0, 3, 0)).toBe(undefined);
  expect(light.valuesAt(0, 2, 1)).toBe(null);
  await next();
  expect(light.valuesAt(0, 2, 1)).toBe(null);
  await next();
  expect(light.valuesAt(0, 2, 1)).toEqual([{ name: "Z", type: "float", value: Math.fround(0.1) }]);
  expect(asked.length).toBe(3);
  await expect(readHead(8, async () => new Uint8Array(8))).rejects.toThrow("reload");
});

test("what cannot be fetched is said, and asked for again only when told to", async () => {
  const bytes = file(new Float32Array(6));
  let works = true;
  let asked = 0;
  let came = () => {};
  const fetch = async (from: number, length: number) => {
    asked += 1;
    if (!works) throw new Error("gone");
    return bytes.slice(from, from + length);
  };
  const light = await Light.open(bytes.length, fetch, () => came(), () => {});
  works = false;
  const told = new Promise<void>((resolve) => (came = resolve));
  light.valuesAt(0, 0, 0);
  await told;
  expect(light.error).toBe("gone");
  light.valuesAt(0, 0, 0);
  expect(asked).toBe(2);
  works = true;
  light.retry();
  light.valuesAt(0, 0, 0);
  expect(asked).toBe(3);
});

test("channels are colours by their names", () => {
  const named = (...names: string[]) => coloursOf(names.map((name) => ({ name, type: "half" })));
  expect(named("A", "B", "G", "R")).toEqual({ slots: [3, 2, 1, 0], grey: false });
  expect(named("X", "Y", "Z")).toEqual({ slots: [0, 1, 2, -1], grey: false });
  expect(named("Z")).toEqual({ slots: [0, -1, -1, -1], grey: true });
  expect(named("a", "b", "g", "r").slots).toEqual([3, 2, 1, 0]);
  expect(mainPass([pass("Albedo"), pass("Combined"), pass("Depth", [{ name: "Z", type: "float" }])])).toBe(1);
});
