// What the viewer's canvas shows: one frame, or two with a line between them, from where the camera looks.

import { type Camera, fitted, levelFor, pointAt } from "./camera";
import { matteOf, ranksOf } from "./cryptomatte";
import type { Light } from "./light";
import { AS_IT_IS, type Look } from "./look";
import { type Matting, Painter } from "./painter";
import { type Cryptomatte, passName, type Rectangle, type Tile } from "./pyramid";

/** What can be looked at: light, or a picture as screens show it. */
export type Seen = { light: Light; pass: number } | { picture: ImageBitmap };

export class Stage {
  first: Seen | null = null;
  second: Seen | null = null;
  /** Where the second begins, 0 to 1 of the canvas. */
  line = 0.5;
  camera: Camera = { x: 0, y: 0, scale: 1, aspect: 1 };
  look: Look = AS_IT_IS;
  layer: Cryptomatte | null = null;
  picked = new Set<number>();
  matting: Matting = "over";
  /** Fits what is shown until the user looks elsewhere. */
  isFitted = true;
  #painter: Painter | null = null;
  #mattes = new Map<Tile, Uint8Array>();
  #mattedFor = "";
  #drawing = 0;

  /** Fails where the browser has no WebGL2. `drawn` is told of each drawing, and whether something is lacking in it. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly drawn: (lacks: boolean) => void,
  ) {
    this.#painter = new Painter(canvas);
  }

  get size(): [number, number] {
    return [this.canvas.width, this.canvas.height];
  }

  /** Where the frame lies: that of the first. */
  get frame(): Rectangle {
    return this.first ? frameOf(this.first) : [0, 0, 16, 9];
  }

  end(): void {
    cancelAnimationFrame(this.#drawing);
    this.#painter?.end();
    this.#painter = null;
  }

  /** The browser took the context away; or gives it back, and nothing is in it. */
  lost(): void {
    this.#painter = null;
  }

  restored(): void {
    this.#painter = new Painter(this.canvas);
    this.draw();
  }

  resize(width: number, height: number): void {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.draw();
  }

  forget(what: Tile | ImageBitmap): void {
    this.#painter?.forget(what);
    if ("planes" in what) this.#dropMatte(what);
  }

  /** Before the next picture on the screen, once, however often it is asked for. */
  draw(): void {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const painter = this.#painter;
    if (!painter) return;
    const aspect = this.first && "light" in this.first ? this.first.light.head.pixel_aspect || 1 : 1;
    if (this.isFitted) this.camera = fitted(this.frame, aspect, this.size);
    const mattes = `${this.layer?.key} ${[...this.picked].sort().join()}`;
    if (mattes !== this.#mattedFor) {
      for (const tile of [...this.#mattes.keys()]) this.#dropMatte(tile);
      this.#mattedFor = mattes;
    }
    painter.clear();
    const edge = this.second ? Math.round(this.line * this.canvas.width) : this.canvas.width;
    let lacks = false;
    if (this.first) {
      painter.within(0, edge);
      lacks = !this.#paint(painter, this.first, 0, edge) || lacks;
    }
    if (this.second) {
      painter.within(edge, this.canvas.width);
      lacks = !this.#paint(painter, this.second, edge, this.canvas.width) || lacks;
    }
    this.drawn(lacks);
  }

  /** Whether all of it was there. */
  #paint(painter: Painter, seen: Seen, from: number, to: number): boolean {
    if ("picture" in seen) {
      // Over the frame that it is a picture of.
      painter.picture(seen.picture, this.frame, this.camera, this.look);
      return true;
    }
    const { light, pass } = seen;
    const { head, levels } = light;
    const channels = head.passes[pass]?.channels ?? [];
    const [left, top] = pointAt(this.camera, this.size, [from, 0]);
    const [right, bottom] = pointAt(this.camera, this.size, [to, this.canvas.height]);
    const ranks = this.#ranks(light, pass);
    const wanted = levelFor(this.camera.scale, levels.length);
    let whole = true;
    // What is there of smaller levels shows until the right one is.
    for (let at = levels.length - 1; at >= wanted; at -= 1) {
      const level = levels[at];
      if (!level) continue;
      const isLast = at === wanted;
      const [columns, rows] = [this.#tiles(head.window[0], left, right, at, head.tile[0], level.columns), this.#tiles(head.window[1], top, bottom, at, head.tile[1], level.rows)];
      for (let row = rows[0]; row < rows[1]; row += 1) {
        if (isLast || at === levels.length - 1) for (const one of [pass, ...ranks]) light.want(one, at, row, ...columns);
        for (let column = columns[0]; column < columns[1]; column += 1) {
          const tile = light.tile(pass, at, column, row);
          if (!tile) {
            whole = whole && !isLast;
            continue;
          }
          const matte = this.#matte(light, ranks, at, column, row, tile);
          if (matte === undefined) whole = whole && !isLast;
          painter.tile(tile, channels, head.window, this.camera, this.look, matte ?? null, this.matting);
        }
      }
    }
    return whole;
  }

  /** Tiles of a level that lie between two points of the frame: from the first to before the last. */
  #tiles(window: number, from: number, to: number, level: number, side: number, count: number): [number, number] {
    const size = side * 2 ** level;
    const bounded = (tile: number) => Math.min(count, Math.max(0, tile));
    return [bounded(Math.floor((from - window) / size)), bounded(Math.ceil((to - window) / size))];
  }

  /** The passes that mattes of what is picked are made of. */
  #ranks(light: Light, pass: number): number[] {
    const layer = this.picked.size ? light.head.cryptomattes.find(({ name }) => name === this.layer?.name) : undefined;
    return layer ? ranksOf(light.head, layer, light.head.passes[pass]?.view ?? "") : [];
  }

  /** What the picked ids cover of a tile; none if nothing is picked, undefined while it is brought. */
  #matte(light: Light, ranks: number[], level: number, column: number, row: number, tile: Tile): Uint8Array | null | undefined {
    if (!ranks.length) return null;
    const known = this.#mattes.get(tile);
    if (known) return known;
    const tiles = ranks.flatMap((rank) => {
      const found = light.tile(rank, level, column, row);
      return found ? [{ channels: light.head.passes[rank]?.channels ?? [], tile: found }] : [];
    });
    if (tiles.length < ranks.length) return undefined;
    const matte = matteOf(tiles, this.picked);
    this.#mattes.set(tile, matte);
    return matte;
  }

  #dropMatte(tile: Tile): void {
    const matte = this.#mattes.get(tile);
    if (matte) this.#painter?.forget(matte);
    this.#mattes.delete(tile);
  }
}

export function frameOf(seen: Seen): Rectangle {
  return "picture" in seen ? [0, 0, seen.picture.width, seen.picture.height] : seen.light.head.display;
}

/** The pass of another frame that is this one, as a place in its head. */
export function samePass(light: Light, seen: Seen | null, otherwise: number): number {
  if (!seen || !("light" in seen)) return otherwise;
  const pass = seen.light.head.passes[seen.pass];
  const found = pass ? light.head.passes.findIndex((other) => passName(other) === passName(pass)) : -1;
  return found < 0 ? otherwise : found;
}
