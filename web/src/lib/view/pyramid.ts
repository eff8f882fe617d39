// Reads pyramids of frames: all of a frame in tiles of falling size, as a worker wrote them (`crates/merge/src/pyramid.rs` says how). Only
// what is shown is fetched.

export type SampleType = "half" | "float" | "uint";
export type Plane = Uint16Array | Float32Array | Uint32Array;
export type Rectangle = [x: number, y: number, width: number, height: number];

export interface Channel {
  name: string;
  type: SampleType;
}

export interface Pass {
  layer: string;
  pass: string;
  view: string;
  channels: Channel[];
  /** Whether a pixel of a smaller level is one of those it stands for and not their mean. */
  first: boolean;
  table: [offset: number, length: number];
}

export interface Cryptomatte {
  key: string;
  name: string;
  /** A JSON object of names to hexadecimal ids. */
  manifest: string;
}

export interface Head {
  version: number;
  /** Where the pixels lie, and the frame. */
  window: Rectangle;
  display: Rectangle;
  pixel_aspect: number;
  tile: [width: number, height: number];
  passes: Pass[];
  cryptomattes: Cryptomatte[];
}

/** A tile of a level of a pass: its channels, each row by row. */
export interface Tile {
  level: number;
  /** In pixels of the level. */
  x: number;
  y: number;
  width: number;
  height: number;
  planes: Plane[];
  bytes: number;
}

/** Gives bytes of the file. */
export type Fetch = (from: number, length: number) => Promise<Uint8Array>;

export interface Level {
  width: number;
  height: number;
  columns: number;
  rows: number;
  /** Of its first tile in the tables. */
  begin: number;
}

const TAIL_BYTES = 24;
const MAGIC = "tsrpyr01";
const VERSION = 1;

/** How much is fetched from the end at first: most heads and then some. */
const END_BYTES = 64 * 1024;

const SIZE: Record<SampleType, number> = { half: 2, float: 4, uint: 4 };

export async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

/** Reads the head of a file of so many bytes. */
export async function readHead(size: number, fetch: Fetch): Promise<Head> {
  const length = Math.min(size, END_BYTES);
  const end = await fetch(size - length, length);
  const tail = new DataView(end.buffer, end.byteOffset + end.length - Math.min(TAIL_BYTES, end.length));
  const magic = [...end.slice(-8)].map((code) => String.fromCharCode(code)).join("");
  if (end.length < TAIL_BYTES || magic !== MAGIC) throw new Error("what a worker made of the frame is of a kind that this page does not know: reload the page");
  const offset = Number(tail.getBigUint64(0, true));
  const packed = tail.getUint32(8, true);
  const begin = offset - (size - length);
  const head = begin >= 0 ? end.subarray(begin, begin + packed) : await fetch(offset, packed);
  const said = JSON.parse(new TextDecoder().decode(await inflated(head))) as Head;
  if (said.version !== VERSION) throw new Error("what a worker made of the frame is of another version than this page: reload the page");
  return said;
}

/** The levels of every pass, the whole size first. */
export function levelsOf(head: Head): Level[] {
  const [tileWidth, tileHeight] = head.tile;
  let [, , width, height] = head.window;
  let begin = 0;
  const levels: Level[] = [];
  for (;;) {
    const [columns, rows] = [Math.ceil(width / tileWidth), Math.ceil(height / tileHeight)];
    levels.push({ width, height, columns, rows, begin });
    if (columns * rows <= 1) return levels;
    begin += columns * rows;
    width = Math.ceil(width / 2);
    height = Math.ceil(height / 2);
  }
}

/** The channels of a tile out of its bytes: of each first the lowest bytes of all samples, each as the difference to the one before. */
export function unpacked(bytes: Uint8Array, count: number, channels: Channel[]): Plane[] {
  let from = 0;
  return channels.map(({ type }) => {
    const size = SIZE[type];
    const to = new Uint8Array(count * size);
    for (let rank = 0; rank < size; rank += 1) {
      let value = 0;
      for (let at = rank; at < to.length; at += size) {
        value = (value + (bytes[from] ?? 0)) & 0xff;
        to[at] = value;
        from += 1;
      }
    }
    return type === "half" ? new Uint16Array(to.buffer) : type === "float" ? new Float32Array(to.buffer) : new Uint32Array(to.buffer);
  });
}

/** The name of a pass for people and addresses. */
export function passName({ layer, pass, view }: Pass): string {
  return [layer, pass, view].filter(Boolean).join(".") || "image";
}

/** Which channels are shown as red, green, blue and alpha; -1 where there is none. One alone is grey. */
export function coloursOf(channels: Channel[]): { slots: [number, number, number, number]; grey: boolean } {
  const place = (...names: string[]) => channels.findIndex(({ name }) => names.includes(name.toUpperCase()));
  if (channels.length === 1) return { slots: [0, -1, -1, -1], grey: true };
  const colours = place("R") >= 0 ? ["R", "G", "B", "A"] : place("X") >= 0 ? ["X", "Y", "Z", "W"] : place("U") >= 0 ? ["U", "V", "", "A"] : [];
  if (colours.length) return { slots: colours.map((name) => place(name)) as [number, number, number, number], grey: false };
  const alpha = place("A");
  const others = channels.map((_, at) => at).filter((at) => at !== alpha);
  return { slots: [others[0] ?? -1, others[1] ?? -1, others[2] ?? -1, alpha], grey: others.length === 1 };
}

/** The pass that a frame is about: the finished picture, as previews have it. */
export function mainPass(passes: Pass[]): number {
  const rank = ({ layer, pass, channels }: Pass) =>
    (layer === "Composite" || pass === "" ? 4 : 0) + (pass === "Combined" ? 2 : 0) + (channels.some(({ name }) => "RVY".includes(name)) ? 1 : 0);
  return passes.reduce((best, pass, at) => (rank(pass) > rank(passes[best] ?? pass) ? at : best), 0);
}
