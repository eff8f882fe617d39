// Where one looks: which point of the frame is in the middle, and how large its pixels are.

import type { Rectangle } from "./pyramid";

export interface Camera {
  /** The point of the frame in the middle of the canvas, in pixels of the frame. */
  x: number;
  y: number;
  /** Device pixels that a pixel of the frame is high. */
  scale: number;
  /** Width of a pixel of the frame over its height. */
  aspect: number;
}

export const SCALE_MIN = 1 / 64;
export const SCALE_MAX = 64;

const bounded = (scale: number) => Math.min(SCALE_MAX, Math.max(SCALE_MIN, scale));

/** All of the frame, as large as it can be. */
export function fitted([x, y, width, height]: Rectangle, aspect: number, canvas: [number, number]): Camera {
  const scale = bounded(Math.min(canvas[0] / (width * aspect), canvas[1] / height));
  return { x: x + width / 2, y: y + height / 2, scale, aspect };
}

/** Device pixels of the canvas where the frame's point 0, 0 lies: whole ones, so that pixels of 1:1 are pixels. */
export function originOf({ x, y, scale, aspect }: Camera, [width, height]: [number, number]): [number, number] {
  return [Math.round(width / 2 - x * scale * aspect), Math.round(height / 2 - y * scale)];
}

/** The point of the frame below a device pixel of the canvas. */
export function pointAt(camera: Camera, canvas: [number, number], [x, y]: [number, number]): [number, number] {
  const [left, top] = originOf(camera, canvas);
  return [(x - left) / (camera.scale * camera.aspect), (y - top) / camera.scale];
}

/** In another size, with what is in the middle staying there. */
export function scaled(camera: Camera, scale: number): Camera {
  return { ...camera, scale: bounded(scale) };
}

/** Larger or smaller by a factor, with what is below a device pixel staying there. */
export function zoomed(camera: Camera, canvas: [number, number], at: [number, number], factor: number): Camera {
  const [x, y] = pointAt(camera, canvas, at);
  const scale = bounded(camera.scale * factor);
  const [right, down] = [canvas[0] / 2 - at[0], canvas[1] / 2 - at[1]];
  return { ...camera, scale, x: x + right / (scale * camera.aspect), y: y + down / scale };
}

/** Moved by device pixels. */
export function moved(camera: Camera, right: number, down: number): Camera {
  return { ...camera, x: camera.x + right / (camera.scale * camera.aspect), y: camera.y + down / camera.scale };
}

/** The smallest level that has a pixel for each device pixel. */
export function levelFor(scale: number, count: number): number {
  return Math.min(count - 1, Math.max(0, Math.floor(Math.log2(1 / scale) + 1e-6)));
}
