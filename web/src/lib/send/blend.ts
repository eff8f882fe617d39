// What a .blend says of itself in its first bytes: the Blender that saved it, and the frames of the scene it was saved with.
//
// A .blend begins with `BLENDER`, or is that compressed by gzip (until 2.9) or zstd (since 3.0). Until 4.5 there follow `-` or `_`
// (pointers of 8 or 4 bytes), `v` or `V` (low or high byte first) and three digits; since 5.0 the header's length in two digits, `-`,
// the format's version in two digits, `v` and four digits. Then come blocks, each with a head: the first of them, `REND`, have the first
// and the last frame of a scene (i32 each) and its name, ended by a zero.

import { Decompress } from "fzstd";

export interface Scene {
  name: string;
  first: number;
  last: number;
}

export interface BlendHead {
  /** Of Blender, "4.5". */
  series: string;
  /** None if it was saved without a window. */
  scenes: Scene[];
}

/** So much of a file is read: more than one block of any compression, unpacked to more than all scenes' heads. */
const READ_BYTES = 256 << 10;

export async function readHead(file: Blob): Promise<BlendHead> {
  const packed = new Uint8Array(await file.slice(0, READ_BYTES).arrayBuffer());
  return parseHead(await unpack(packed));
}

async function unpack(packed: Uint8Array): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const begins = (...magic: number[]) => magic.every((byte, at) => packed[at] === byte);
  try {
    if (begins(0x1f, 0x8b)) await inflate(packed, pieces);
    else if (begins(0x28, 0xb5, 0x2f, 0xfd)) new Decompress((piece) => pieces.push(piece.slice())).push(packed);
    else return packed;
  } catch {
    // What was read of the file ends somewhere in it: all that was whole before is there.
  }
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  if (whole.length === 0) throw new Error("it is damaged: its first bytes cannot be unpacked");
  return whole;
}

async function inflate(packed: Uint8Array, into: Uint8Array[]): Promise<void> {
  const stream = new Blob([packed as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    into.push(value);
  }
}

/** How the head of a block lies: where its length and its data begin. */
interface Blocks {
  from: number;
  isLow: boolean;
  length: (view: DataView, at: number) => number;
  head: number;
}

/** Of the unpacked first bytes. */
export function parseHead(bytes: Uint8Array): BlendHead {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 17));
  const old = /^BLENDER([-_])([vV])(\d)(\d\d)/.exec(text);
  if (old) {
    const isLow = old[2] === "v";
    const length = (view: DataView, at: number) => view.getInt32(at + 4, isLow);
    const blocks = { from: 12, isLow, length, head: old[1] === "-" ? 24 : 20 };
    return { series: `${old[3]}.${Number(old[4])}`, scenes: scenes(bytes, blocks) };
  }
  const large = /^BLENDER17-01v(\d\d)(\d\d)/.exec(text);
  if (large) {
    const length = (view: DataView, at: number) => Number(view.getBigInt64(at + 16, true));
    const blocks = { from: 17, isLow: true, length, head: 32 };
    return { series: `${Number(large[1])}.${Number(large[2])}`, scenes: scenes(bytes, blocks) };
  }
  if (text.startsWith("BLENDER")) throw new Error("it comes from a Blender that this page does not know");
  throw new Error("it is not a .blend file: it does not begin as one");
}

function scenes(bytes: Uint8Array, { from, isLow, length, head }: Blocks): Scene[] {
  const found: Scene[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = from; at + head <= bytes.length; ) {
    const code = String.fromCharCode(...bytes.subarray(at, at + 4));
    const size = length(view, at);
    const data = at + head;
    if (code !== "REND" || size < 9 || data + size > bytes.length) break;
    const name = new TextDecoder().decode(bytes.subarray(data + 8, data + size)).split("\0", 1)[0] ?? "";
    found.push({ name, first: view.getInt32(data, isLow), last: view.getInt32(data + 4, isLow) });
    at = data + size;
  }
  return found;
}
