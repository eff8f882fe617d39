// A frame's light, as far as it was fetched: tiles come when they are asked for, and go when others need their place.

import { fromHalf } from "./half";
import { type Fetch, type Head, inflated, type Level, levelsOf, type Pass, readHead, type Tile, unpacked } from "./pyramid";

/** Most bytes of tiles that are kept. */
const KEPT_BYTES = 192 << 20;

/** Requests at once: the browser has six connections to one address, and the events and the page's own questions need some. */
const AT_ONCE = 3;

/** Most tiles of a row in one request: they lie behind each other. */
const RUN_MAX = 8;

/** How channels are told: files have them by the alphabet. */
const ORDER = ["R", "G", "B", "A", "X", "Y", "Z", "W", "U", "V"];

export interface Value {
  name: string;
  type: "half" | "float" | "uint";
  value: number;
}

export class Light {
  readonly levels: Level[];
  /** What went wrong: nothing more is fetched until `retry`. */
  error = "";
  #tiles = new Map<string, Tile>();
  #bytes = 0;
  #tables = new Map<number, DataView | null>();
  #running = new Set<string>();
  #requests = 0;
  #ended = false;

  private constructor(
    readonly head: Head,
    private readonly fetch: Fetch,
    private readonly changed: () => void,
    private readonly gone: (tile: Tile) => void,
  ) {
    this.levels = levelsOf(head);
  }

  /** `changed` is told of every tile that came, `gone` of every one that went. */
  static async open(size: number, fetch: Fetch, changed: () => void, gone: (tile: Tile) => void): Promise<Light> {
    return new Light(await readHead(size, fetch), fetch, changed, gone);
  }

  get loading(): boolean {
    return this.#requests > 0;
  }

  retry(): void {
    this.error = "";
    this.changed();
  }

  end(): void {
    this.#ended = true;
    for (const tile of this.#tiles.values()) this.gone(tile);
    this.#tiles.clear();
  }

  /** A tile if it is here. */
  tile(pass: number, level: number, column: number, row: number): Tile | undefined {
    const key = `${pass}/${level}/${column}/${row}`;
    const tile = this.#tiles.get(key);
    if (tile) {
      this.#tiles.delete(key);
      this.#tiles.set(key, tile);
    }
    return tile;
  }

  /** Has some tiles in a row brought, as far as they are lacking and others leave room: what is still wanted is asked for again by then. */
  want(pass: number, level: number, row: number, from: number, to: number): void {
    const table = this.#table(pass);
    const { columns = 0, begin = 0 } = this.levels[level] ?? {};
    if (!table) return;
    for (let column = from; column < to; ) {
      const run: number[] = [];
      while (column < to && run.length < RUN_MAX) {
        const key = `${pass}/${level}/${column}/${row}`;
        if (this.#tiles.has(key) || this.#running.has(key)) {
          column += 1;
          if (run.length) break;
          continue;
        }
        run.push(column);
        column += 1;
      }
      if (!run.length) continue;
      if (this.#requests >= AT_ONCE || this.error) return;
      const places = run.map((one) => {
        const at = (begin + row * columns + one) * 12;
        return { column: one, offset: Number(table.getBigUint64(at, true)), length: table.getUint32(at + 8, true) };
      });
      void this.#bring(pass, level, row, places);
    }
  }

  /** The values of a pixel, in coordinates of the window: undefined outside of it, null while they are brought. */
  valuesAt(pass: number, x: number, y: number): Value[] | null | undefined {
    const [, , width, height] = this.head.window;
    if (x < 0 || y < 0 || x >= width || y >= height) return undefined;
    const [tileWidth, tileHeight] = this.head.tile;
    const [column, row] = [Math.floor(x / tileWidth), Math.floor(y / tileHeight)];
    const tile = this.tile(pass, 0, column, row);
    if (!tile) {
      this.want(pass, 0, row, column, column + 1);
      return null;
    }
    const at = (y - tile.y) * tile.width + (x - tile.x);
    const found = (this.head.passes[pass]?.channels ?? []).map(({ name, type }, channel) => {
      const sample = tile.planes[channel]?.[at] ?? 0;
      return { name, type, value: type === "half" ? fromHalf(sample) : sample };
    });
    const rank = ({ name }: Value) => ORDER.indexOf(name.toUpperCase());
    return found.sort((a, b) => rank(a) - rank(b));
  }

  /** Where the tiles of a pass lie. */
  #table(pass: number): DataView | null {
    const known = this.#tables.get(pass);
    if (known !== undefined) return known;
    const place = this.head.passes[pass]?.table;
    if (!place || this.error) return null;
    this.#tables.set(pass, null);
    void this.#ask(async () => {
      try {
        const bytes = await inflated(await this.fetch(...place));
        this.#tables.set(pass, new DataView(bytes.buffer));
      } catch (error) {
        this.#tables.delete(pass);
        throw error;
      }
    });
    return null;
  }

  async #bring(pass: number, level: number, row: number, places: { column: number; offset: number; length: number }[]): Promise<void> {
    const keys = places.map(({ column }) => `${pass}/${level}/${column}/${row}`);
    for (const key of keys) this.#running.add(key);
    await this.#ask(async () => {
      const begin = places[0]?.offset ?? 0;
      const end = places.at(-1);
      const bytes = await this.fetch(begin, (end?.offset ?? 0) + (end?.length ?? 0) - begin);
      await Promise.all(
        places.map(async ({ column, offset, length }, at) => {
          const raw = await inflated(bytes.subarray(offset - begin, offset - begin + length));
          this.#keep(keys[at] ?? "", this.#unpack(this.head.passes[pass], level, column, row, raw));
        }),
      );
    });
    for (const key of keys) this.#running.delete(key);
  }

  #unpack(pass: Pass | undefined, level: number, column: number, row: number, raw: Uint8Array): Tile {
    const { width = 0, height = 0 } = this.levels[level] ?? {};
    const [x, y] = [column * this.head.tile[0], row * this.head.tile[1]];
    const [tileWidth, tileHeight] = [Math.min(this.head.tile[0], width - x), Math.min(this.head.tile[1], height - y)];
    const planes = unpacked(raw, tileWidth * tileHeight, pass?.channels ?? []);
    return { level, x, y, width: tileWidth, height: tileHeight, planes, bytes: raw.length };
  }

  #keep(key: string, tile: Tile): void {
    if (this.#ended) return;
    this.#tiles.set(key, tile);
    this.#bytes += tile.bytes;
    for (const [old, other] of this.#tiles) {
      if (this.#bytes <= KEPT_BYTES || old === key) break;
      this.#tiles.delete(old);
      this.#bytes -= other.bytes;
      this.gone(other);
    }
  }

  async #ask(what: () => Promise<void>): Promise<void> {
    this.#requests += 1;
    try {
      await what();
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    this.#requests -= 1;
    if (!this.#ended) this.changed();
  }
}
