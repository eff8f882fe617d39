import { expect, test } from "vitest";
import { idAt, matteOf, namesOf, ranksOf } from "./cryptomatte";
import type { Channel, Head, Tile } from "./pyramid";

const CHANNELS: Channel[] = ["a", "b", "g", "r"].map((name) => ({ name, type: "float" }));
const asFloat = (...ids: number[]) => new Float32Array(Uint32Array.from(ids).buffer);

/** Two ranks of three pixels: ids and how much they cover. */
const TILE: Tile = {
  level: 0, x: 0, y: 0, width: 3, height: 1, bytes: 0,
  planes: [Float32Array.of(0.25, 0.5, 0), asFloat(2, 3, 0), Float32Array.of(0.75, 0.5, 0), asFloat(1, 2, 0)],
};
const RANKS = [{ channels: CHANNELS, tile: TILE }];

test("the id with the greatest coverage is the pixel's", () => {
  expect(idAt(RANKS, 0)).toEqual({ id: 1, coverage: 0.75 });
  expect(idAt(RANKS, 1)).toEqual({ id: 2, coverage: 0.5 });
  expect(idAt(RANKS, 2)).toBe(null);
});

test("a matte is what all that is picked covers", () => {
  expect([...matteOf(RANKS, new Set([2]))]).toEqual([64, 128, 0]);
  expect([...matteOf(RANKS, new Set([2, 3, 1]))]).toEqual([255, 255, 0]);
});

test("names and ranks are found", () => {
  const layer = { key: "k", name: "V.Crypto", manifest: '{"Monkey": "80000001", "odd": 7}' };
  expect([...namesOf(layer)]).toEqual([[0x80000001, "Monkey"]]);
  expect(namesOf({ ...layer, manifest: "{" }).size).toBe(0);
  const pass = (layer: string, pass: string, view = "") => ({ layer, pass, view });
  const head = { passes: [pass("V", "Combined"), pass("V", "Crypto01"), pass("V", "Crypto00"), pass("V", "CryptoAsset00"), pass("V", "Crypto00", "left"), pass("W", "Crypto00")] } as Head;
  expect(ranksOf(head, layer, "")).toEqual([2, 1]);
  expect(ranksOf(head, layer, "left")).toEqual([4]);
});
