// Draws tiles of light, and pictures, by WebGL2: what is shown of a value is worked out for each pixel, so exposure costs no fetching.

import { type Camera, originOf } from "./camera";
import { HALF_ONE } from "./half";
import type { Look } from "./look";
import { coloursOf, type Channel, type Tile } from "./pyramid";

/** How mattes are shown. */
export type Matting = "none" | "over" | "alone";

const CORNERS = `#version 300 es
uniform vec4 box;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(mix(box.xy, box.zw, corner), 0.0, 1.0);
}`;

// `look.ts` shows values in the same way. A pixel of the screen for which there are several of the tile is the mean of four of them.
const PIXELS = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
uniform sampler2D tile;
uniform sampler2D matte;
uniform vec2 zero;
uniform vec2 scale;
uniform float high;
uniform vec2 origin;
uniform float texel;
uniform vec2 extent;
uniform float exposure;
uniform float gamma;
uniform int view;
uniform int solo;
uniform int matting;
uniform bool grey;
out vec4 colour;
ivec2 place(vec2 at) { return clamp(ivec2(floor(at)), ivec2(0), textureSize(tile, 0) - 1); }
vec4 mean(vec2 at, vec2 by) {
  vec4 sum = vec4(0.0);
  for (int corner = 0; corner < 4; corner += 1) {
    vec2 way = vec2(corner & 1, corner >> 1) * 2.0 - 1.0;
    sum += texelFetch(tile, place(at + by * way), 0);
  }
  return sum / 4.0;
}
vec3 srgb(vec3 lit) { return mix(12.92 * lit, 1.055 * pow(lit, vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), lit)); }
void main() {
  vec2 at = (vec2(gl_FragCoord.x, high - gl_FragCoord.y) - zero) / scale - origin;
  vec4 found;
  if (view == 2) found = texture(tile, at / extent);
  else {
    vec2 reach = 1.0 / (scale * texel);
    found = max(reach.x, reach.y) > 1.0 ? mean(at / texel, reach * 0.25) : texelFetch(tile, place(at / texel), 0);
  }
  if (grey) found.rgb = found.rrr;
  if (solo == 1) found.rgb = found.rrr;
  if (solo == 2) found.rgb = found.ggg;
  if (solo == 3) found.rgb = found.bbb;
  if (solo == 4) found.rgb = found.aaa;
  if (solo == 5) found.rgb = vec3(dot(found.rgb, vec3(0.2126, 0.7152, 0.0722)));
  vec3 shown = found.rgb;
  if (view < 2) {
    shown = clamp(shown * exposure, 0.0, 1.0);
    shown = mix(shown, vec3(0.0), vec3(isnan(found.rgb)));
    if (view == 0) shown = srgb(shown);
    shown = pow(shown, vec3(gamma));
  }
  if (matting != 0) {
    float covered = texelFetch(matte, place(at / texel), 0).r;
    shown = matting == 2 ? vec3(covered) : mix(shown * 0.4, mix(shown, vec3(1.0, 0.55, 0.1), 0.5), covered);
  }
  colour = vec4(shown, 1.0);
}`;

const UNIFORMS = ["box", "tile", "matte", "zero", "scale", "high", "origin", "texel", "extent", "exposure", "gamma", "view", "solo", "matting", "grey"] as const;

export class Painter {
  readonly #gl: WebGL2RenderingContext;
  readonly #places: Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;
  readonly #textures = new Map<object, WebGLTexture>();

  /** Fails where the browser has no WebGL2. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    // What was drawn stays, for whoever copies the canvas.
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser draws no WebGL2, which a frame's light needs");
    this.#gl = gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, PIXELS]] as const) {
      const shader = gl.createShader(kind);
      if (!shader) throw new Error("this browser's WebGL2 is gone: reload the page");
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(`this browser's WebGL2 cannot show light: ${gl.getProgramInfoLog(program)}`);
    gl.useProgram(program);
    this.#places = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)])) as Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;
    gl.uniform1i(this.#places.tile, 0);
    gl.uniform1i(this.#places.matte, 1);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.bindVertexArray(gl.createVertexArray());
  }

  /** Nothing of what was drawn is needed any more. */
  forget(what: object): void {
    this.#gl.deleteTexture(this.#textures.get(what) ?? null);
    this.#textures.delete(what);
  }

  end(): void {
    for (const texture of this.#textures.values()) this.#gl.deleteTexture(texture);
    this.#textures.clear();
  }

  clear(): void {
    const gl = this.#gl;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0.02, 0.02, 0.02, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /** What is drawn from now on is seen in these columns alone. */
  within(from: number, to: number): void {
    const gl = this.#gl;
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(from, 0, Math.max(0, to - from), this.canvas.height);
  }

  /** A tile of a level, whose window begins there in the frame and has so many pixels. */
  tile(tile: Tile, channels: Channel[], [x, y, width, height]: readonly [number, number, number, number], camera: Camera, look: Look, matte: Uint8Array | null, matting: Matting): void {
    const texel = 2 ** tile.level;
    const { slots, grey } = coloursOf(channels);
    this.#bind(0, tile, () => this.#light(tile, slots));
    if (matte) this.#bind(1, matte, () => this.#matte(tile, matte));
    const [left, top] = [x + tile.x * texel, y + tile.y * texel];
    const right = Math.min(left + tile.width * texel, x + width);
    const bottom = Math.min(top + tile.height * texel, y + height);
    this.#draw([left, top, right, bottom], texel, camera, look, look.view === "raw" ? 1 : 0, grey, matte ? matting : "none");
  }

  /** A picture that a screen shows as it is, over all of that rectangle. */
  picture(picture: ImageBitmap, [x, y, width, height]: readonly [number, number, number, number], camera: Camera, look: Look): void {
    this.#bind(0, picture, () => this.#picture(picture));
    this.#draw([x, y, x + width, y + height], 1, camera, look, 2, false, "none");
  }

  #bind(unit: number, what: object, make: () => void): void {
    const gl = this.#gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    const known = this.#textures.get(what);
    if (known) return gl.bindTexture(gl.TEXTURE_2D, known);
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    make();
    this.#textures.set(what, texture);
  }

  #light({ planes, width, height }: Tile, slots: number[]): void {
    const gl = this.#gl;
    const halves = slots.every((slot) => slot < 0 || planes[slot] instanceof Uint16Array);
    const pixels = halves ? new Uint16Array(4 * width * height) : new Float32Array(4 * width * height);
    slots.forEach((slot, channel) => {
      const plane = planes[slot];
      const none = channel < 3 ? 0 : halves ? HALF_ONE : 1;
      for (let at = 0; at < width * height; at += 1) pixels[4 * at + channel] = plane ? (plane[at] ?? 0) : none;
    });
    if (halves) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, width, height, 0, gl.RGBA, gl.HALF_FLOAT, pixels);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, pixels);
  }

  #matte({ width, height }: Tile, matte: Uint8Array): void {
    const gl = this.#gl;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, width, height, 0, gl.RED, gl.UNSIGNED_BYTE, matte);
  }

  #picture(picture: ImageBitmap): void {
    const gl = this.#gl;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  }

  #draw([left, top, right, bottom]: [number, number, number, number], texel: number, camera: Camera, look: Look, view: number, grey: boolean, matting: Matting): void {
    const gl = this.#gl;
    const { width, height } = this.canvas;
    const zero = originOf(camera, [width, height]);
    const scale = [camera.scale * camera.aspect, camera.scale] as const;
    const across = (at: number) => ((at * scale[0] + zero[0]) / width) * 2 - 1;
    const down = (at: number) => 1 - ((at * scale[1] + zero[1]) / height) * 2;
    const places = this.#places;
    gl.uniform4f(places.box, across(left), down(top), across(right), down(bottom));
    gl.uniform2f(places.zero, ...zero);
    gl.uniform2f(places.scale, ...scale);
    gl.uniform1f(places.high, height);
    gl.uniform2f(places.origin, left, top);
    gl.uniform1f(places.texel, texel);
    gl.uniform2f(places.extent, right - left, bottom - top);
    gl.uniform1f(places.exposure, 2 ** look.exposure);
    gl.uniform1f(places.gamma, 1 / look.gamma);
    gl.uniform1i(places.view, view);
    gl.uniform1i(places.solo, ["all", "R", "G", "B", "A", "L"].indexOf(look.solo));
    gl.uniform1i(places.matting, ["none", "over", "alone"].indexOf(matting));
    gl.uniform1i(places.grey, grey ? 1 : 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}
