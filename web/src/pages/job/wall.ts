// How the wall of frames is laid out and drawn. States differ by shape as well as by colour; numbers stand where there is room.

import { colours } from "../../lib/colours";
import type { Frames } from "../../lib/frames.svelte";

/** Width and height of a tile in pixels, smallest first. */
export const SIZES = [[10, 10], [26, 22], [64, 36], [112, 63], [176, 99]] as const;

/** Between tiles. */
const GAP = 4;

/** Narrower tiles show no picture. */
const PICTURE_MIN = 40;

export interface Layout {
  columns: number;
  /** A tile without the gap. */
  tile: readonly [number, number];
  /** Distance of two columns, of two lines. */
  wide: number;
  each: number;
  left: number;
  height: number;
}

export function layOut(length: number, width: number, tile: readonly [number, number]): Layout {
  const gap = tile[0] < 20 ? 2 : GAP;
  const wide = tile[0] + gap;
  const each = tile[1] + gap;
  const left = 8;
  const columns = Math.max(1, Math.floor((width - 2 * left + gap) / wide));
  return { columns, tile, wide, each, left, height: Math.ceil(length / columns) * each + gap + 4 };
}

const NAMES = ["card", "sunken", "line", "ink", "soft", "accent", "waiting", "queued", "rendering", "done", "failed", "track"] as const;
export type WallColours = Record<(typeof NAMES)[number], string>;

export function wallColours(): WallColours {
  return colours(NAMES);
}

interface Scene {
  canvas: HTMLCanvasElement;
  width: number;
  height: number;
  top: number;
  layout: Layout;
  frames: Frames;
  from: number;
  to: number;
  current: number | undefined;
  colours: WallColours;
  picture: (index: number) => ImageBitmap | undefined;
}

export function drawWall(scene: Scene): void {
  const { canvas, width, height, top, layout, from, to } = scene;
  const ratio = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  for (let index = from; index < to; index += 1) {
    const x = layout.left + (index % layout.columns) * layout.wide;
    const y = Math.floor(index / layout.columns) * layout.each - top + 4;
    drawTile(pen, scene, index, x, y);
  }
}

function drawTile(pen: CanvasRenderingContext2D, scene: Scene, index: number, x: number, y: number): void {
  const { layout, frames, colours, current } = scene;
  const [wide, high] = layout.tile;
  const phase = frames.phaseOf(index);
  const colour = colours[phase];
  const isLarge = wide >= PICTURE_MIN;
  const picture = isLarge && phase === "done" ? scene.picture(index) : undefined;
  pen.fillStyle = isLarge ? colours.sunken : colours.track;
  pen.fillRect(x, y, wide, high);
  if (picture) {
    const scale = Math.min(wide / picture.width, high / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    pen.drawImage(picture, x + (wide - w) / 2, y + (high - h) / 2, w, h);
  }
  drawMark(pen, phase, colour, x, y, wide, high, picture !== undefined);
  if (isLarge) drawNumber(pen, scene, index, x, y, picture !== undefined);
  if (index === current) {
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 2;
    pen.strokeRect(x - 1, y - 1, wide + 2, high + 2);
  }
}

/** Waiting: a dot. Queued: a ring. Rendering: a triangle on an edge of its colour. Done: filled, or the picture. Failed: a cross. */
function drawMark(pen: CanvasRenderingContext2D, phase: string, colour: string, x: number, y: number, wide: number, high: number, pictured: boolean): void {
  const [cx, cy] = [x + wide / 2, y + high / 2];
  const r = Math.max(1.5, Math.min(wide, high) / 5);
  pen.fillStyle = colour;
  pen.strokeStyle = colour;
  pen.lineWidth = Math.min(2, Math.max(1.2, r / 3));
  pen.beginPath();
  switch (phase) {
    case "waiting":
      pen.arc(cx, cy, Math.max(1, r / 3), 0, 7);
      pen.fill();
      break;
    case "queued":
      pen.arc(cx, cy, r * 0.7, 0, 7);
      pen.stroke();
      break;
    case "rendering":
      pen.strokeRect(x + 0.75, y + 0.75, wide - 1.5, high - 1.5);
      pen.moveTo(cx - r * 0.8, cy - r);
      pen.lineTo(cx + r, cy);
      pen.lineTo(cx - r * 0.8, cy + r);
      pen.fill();
      break;
    case "done":
      if (pictured) break;
      if (wide < PICTURE_MIN) {
        pen.fillRect(x, y, wide, high);
      } else {
        pen.moveTo(cx - r, cy);
        pen.lineTo(cx - r * 0.3, cy + r * 0.7);
        pen.lineTo(cx + r, cy - r * 0.7);
        pen.stroke();
      }
      break;
    case "failed":
      pen.strokeRect(x + 0.75, y + 0.75, wide - 1.5, high - 1.5);
      pen.moveTo(cx - r, cy - r);
      pen.lineTo(cx + r, cy + r);
      pen.moveTo(cx + r, cy - r);
      pen.lineTo(cx - r, cy + r);
      pen.stroke();
      break;
  }
}

function drawNumber(pen: CanvasRenderingContext2D, scene: Scene, index: number, x: number, y: number, pictured: boolean): void {
  const { layout, frames, colours } = scene;
  const text = String(frames.numbers[index]);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "bottom";
  const bottom = y + layout.tile[1] - 2;
  if (pictured) {
    pen.globalAlpha = 0.8;
    pen.fillStyle = colours.card;
    pen.fillRect(x, bottom - 12, pen.measureText(text).width + 7, 14);
    pen.globalAlpha = 1;
  }
  pen.fillStyle = pictured ? colours.ink : colours.soft;
  pen.fillText(text, x + 3, bottom);
  const failures = frames.failures[index];
  if (failures && frames.phaseOf(index) !== "failed") {
    pen.fillStyle = colours.failed;
    const told = `✕${failures}`;
    pen.fillText(told, x + layout.tile[0] - pen.measureText(told).width - 3, bottom);
  }
}
