// The viewer, in a real browser: what it says and draws of a frame is what the frame's file has. Started by
// `crates/cli/tests/e2e/looking.rs`, which read those files, and says in FARM what is in them.

import { strict as assert } from "node:assert";
import type { Page } from "playwright-core";
import { type Camera, originOf } from "../src/lib/view/camera";
import { AS_IT_IS, type Look, shown } from "../src/lib/view/look";
import { launch, View } from "./browser";
import { cli } from "./farm";

interface Pixel {
  name?: string;
  x: number;
  y: number;
  passes: Record<string, Record<string, number>>;
}

interface Farm {
  url: string;
  layers: { job: number; size: [number, number]; objects: Pixel[]; later: Pixel };
  still: { job: number; size: [number, number]; pixels: Pixel[] };
  plain: number;
}

const farm = JSON.parse(process.env.FARM ?? "null") as Farm;
const { layers, still } = farm;
const COMBINED = "ViewLayer.Combined";
const [monkey, sphere] = layers.objects;

/** What the browser's driver says of pictures that are copied out of its memory is about this test, not about the page. */
function isQuiet(view: View, what: string): void {
  view.complaints = view.complaints.filter((text) => !text.includes("GPU stall due to ReadPixels"));
  view.isQuiet(what);
}

const stage = (page: Page) => page.getByRole("application");

/** All that is to be drawn is there and drawn. */
async function settled(page: Page): Promise<void> {
  const drawings = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await drawings();
  await page.locator('canvas[aria-busy="false"]').waitFor();
  await drawings();
}

/** Where a pixel of a frame is on the canvas when its middle is in the middle, and how large. */
async function placeOf(page: Page, size: [number, number], { x, y }: Pixel, scale = 1): Promise<[number, number]> {
  const canvas = await stage(page).evaluate((element): [number, number] => [(element as HTMLCanvasElement).width, (element as HTMLCanvasElement).height]);
  const camera: Camera = { x: size[0] / 2, y: size[1] / 2, scale, aspect: 1 };
  const [left, top] = originOf(camera, canvas);
  return [left + (x + 0.5) * scale, top + (y + 0.5) * scale];
}

/** What is drawn there. */
async function drawn(page: Page, at: [number, number]): Promise<number[]> {
  await settled(page);
  return stage(page).evaluate((element, [x, y]) => {
    const canvas = element as HTMLCanvasElement;
    const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    pen?.drawImage(canvas, 0, 0);
    return [...(pen?.getImageData(Math.floor(x), Math.floor(y), 1, 1).data ?? [])].slice(0, 3);
  }, at);
}

/** A pixel is drawn as the formula says, to a step of eight bits. */
async function isDrawn(page: Page, size: [number, number], pixel: Pixel, look: Look, pass = COMBINED, channels = ["R", "G", "B"]): Promise<void> {
  const found = await drawn(page, await placeOf(page, size, pixel));
  const expected = channels.map((name) => shown(pixel.passes[pass]?.[name] ?? 0, look) * 255);
  const off = found.map((level, at) => Math.abs(level - (expected[at] ?? 0)));
  assert.ok(Math.max(...off) <= 1, `${pass} at ${pixel.x}, ${pixel.y} with ${JSON.stringify(look)}: ${found} is drawn and not ${expected}`);
}

const values = (page: Page) => page.getByRole("status", { name: "Values" });

/** The values that the page says a pixel has are those of the file, to the bit. */
async function isSaid(page: Page, { x, y, passes }: Pixel, pass: string): Promise<void> {
  await page.getByLabel("Column").fill(String(x));
  await page.getByLabel("Row").fill(String(y));
  for (const [name, value] of Object.entries(passes[pass] ?? {})) {
    const isSo = page.waitForFunction(
      ([name, value]) =>
        [...document.querySelectorAll('output[aria-label="Values"] span')].some((said) => {
          const text = said.textContent ?? "";
          return said.querySelector("strong")?.textContent === name && Math.fround(Number(text.slice(name.length))) === value;
        }),
      [name, value] as const,
    );
    await isSo.catch(async () => assert.fail(`${pass}.${name} at ${x}, ${y} is ${value}, and the page says ${await values(page).textContent()}`));
  }
}

async function choose(page: Page, pass: string): Promise<void> {
  const [layer = "", name = ""] = pass.split(".");
  const option = page.getByLabel("Pass", { exact: true }).locator(`optgroup[label="${layer}"] option`, { hasText: new RegExp(`^${name}$`) });
  await page.getByLabel("Pass", { exact: true }).selectOption((await option.getAttribute("value")) ?? "");
}

async function light(view: View): Promise<void> {
  const { page } = view;
  assert.ok(monkey && sphere);
  await view.go(`#/jobs/${layers.job}?frame=1`);
  await page.getByRole("link", { name: "Frame 1 in full" }).click();
  await settled(page);
  await view.isAccessible("a frame in full");
  await view.press("1:1");
  for (const pixel of layers.objects) {
    for (const pass of Object.keys(pixel.passes).filter((name) => /Combined|Depth|Normal|CryptoObject01/.test(name))) {
      await choose(page, pass);
      await isSaid(page, pixel, pass);
    }
    await choose(page, COMBINED);
    await isDrawn(page, layers.size, pixel, AS_IT_IS);
  }

  // Exposure and the like do what the formula says.
  await page.getByLabel("Exposure").fill("-2.5");
  await isDrawn(page, layers.size, monkey, { ...AS_IT_IS, exposure: -2.5 });
  await page.getByLabel("Gamma").fill("2");
  await isDrawn(page, layers.size, sphere, { ...AS_IT_IS, exposure: -2.5, gamma: 2 });
  await page.getByLabel("Shown", { exact: true }).selectOption("raw");
  await isDrawn(page, layers.size, sphere, { ...AS_IT_IS, exposure: -2.5, gamma: 2, view: "raw" });
  await view.press("Green alone");
  await isDrawn(page, layers.size, sphere, { ...AS_IT_IS, exposure: -2.5, gamma: 2, view: "raw" }, COMBINED, ["G", "G", "G"]);
  await view.press("As it is");
  await isDrawn(page, layers.size, sphere, AS_IT_IS);
  await choose(page, "ViewLayer.Normal");
  await isDrawn(page, layers.size, monkey, AS_IT_IS, "ViewLayer.Normal", ["X", "Y", "Z"]);
  await choose(page, COMBINED);

  // The wheel, the mouse and the keys.
  const percent = async () => Number(/(\d+) %/.exec((await page.getByRole("group", { name: "Size" }).textContent()) ?? "")?.[1]);
  const box = (await stage(page).boundingBox()) ?? { x: 0, y: 0 };
  // Events of the wheel have whole numbers alone.
  const [x = 0, y = 0] = (await placeOf(page, layers.size, monkey)).map((middle) => Math.floor(middle) + 0.2);
  await page.mouse.move(box.x + x, box.y + y);
  const under = async () => [await page.getByLabel("Column").inputValue(), await page.getByLabel("Row").inputValue()];
  assert.deepEqual(await under(), [String(monkey.x), String(monkey.y)]);
  await page.mouse.wheel(0, -800);
  await page.waitForFunction(() => document.querySelector('[aria-label="Size"]')?.textContent?.includes("400 %"));
  await page.mouse.move(box.x + x + 1, box.y + y);
  assert.deepEqual(await under(), [String(monkey.x), String(monkey.y)]);
  await page.mouse.down();
  await page.mouse.move(box.x + x + 81, box.y + y + 40, { steps: 4 });
  await page.mouse.up();
  await page.mouse.move(box.x + x + 1, box.y + y);
  assert.deepEqual(await under(), [String(monkey.x - 20), String(monkey.y - 10)]);
  await stage(page).press("1");
  await settled(page);
  assert.equal(await percent(), 100);
  await stage(page).press("+");
  await settled(page);
  assert.equal(await percent(), 141);
  await stage(page).press("f");
  await settled(page);
  assert.notEqual(await percent(), 141);
  await view.press("1:1");
  isQuiet(view, "a frame in full");
  console.log("light: every value and pixel as in the file; exposed, solo, larger and moved");
}

async function mattes(view: View): Promise<void> {
  const { page } = view;
  assert.ok(monkey && sphere);
  await page.getByLabel("Cryptomatte").selectOption("ViewLayer.CryptoObject");
  const box = (await stage(page).boundingBox()) ?? { x: 0, y: 0 };
  const [x, y] = await placeOf(page, layers.size, monkey);
  await page.mouse.click(box.x + x, box.y + y);
  const picked = page.getByRole("list", { name: "Picked" });
  await picked.getByRole("button", { name: "Leave out Suzanne" }).waitFor();
  await values(page).getByText("Suzanne").waitFor();
  await page.getByLabel("the matte alone").check();
  const level = async (pixel: Pixel) => (await drawn(page, await placeOf(page, layers.size, pixel)))[0];
  assert.deepEqual([await level(monkey), await level(sphere)], [255, 0]);
  // By keys alone, and several.
  await page.getByLabel("Column").fill(String(sphere.x));
  await page.getByLabel("Row").fill(String(sphere.y));
  await values(page).getByText("Sphere").waitFor();
  await view.press("Pick");
  await picked.getByRole("button", { name: "Leave out Sphere" }).waitFor();
  assert.deepEqual([await level(monkey), await level(sphere)], [255, 255]);
  await view.press("Leave out Suzanne");
  assert.deepEqual([await level(monkey), await level(sphere)], [0, 255]);
  await page.getByLabel("the matte alone").uncheck();
  await view.isAccessible("a matte");
  const [red = 0, green = 0] = await drawn(page, await placeOf(page, layers.size, sphere));
  assert.ok(red > green, "what is picked is marked");
  await page.getByLabel("Cryptomatte").selectOption("");
  await isDrawn(page, layers.size, sphere, AS_IT_IS);
  isQuiet(view, "mattes");
  console.log("Cryptomatte: picked by a click and by keys, named, shown");
}

async function beside(view: View): Promise<void> {
  const { page } = view;
  assert.ok(monkey);
  await page.getByLabel("Beside it").selectOption("2");
  const line = page.getByLabel("Where the other one begins");
  await line.fill("0");
  await isDrawn(page, layers.size, layers.later, AS_IT_IS);
  await line.fill("100");
  await isDrawn(page, layers.size, monkey, AS_IT_IS);
  await line.fill("50");
  await view.isAccessible("two frames in full");
  await page.getByLabel("Beside it").selectOption("preview");
  await page.getByText("Bringing", { exact: false }).waitFor({ state: "hidden" });
  await line.fill("0");
  const picture = await drawn(page, await placeOf(page, layers.size, monkey));
  assert.ok(Math.max(...picture) > 10, `${picture} is drawn of the small picture`);
  await page.getByLabel("Beside it").selectOption("");
  isQuiet(view, "one beside the other");
  console.log("beside it: another frame, and its small picture");
}

/** A frame of several tiles and sizes; and what is said while no worker can make it ready. */
async function tiles(view: View): Promise<void> {
  const { page } = view;
  await view.go(`#/jobs/${still.job}?tab=viewer&frame=1`);
  await settled(page);
  await view.press("1:1");
  for (const pixel of still.pixels) {
    await isSaid(page, pixel, COMBINED);
    await isDrawn(page, still.size, pixel, AS_IT_IS);
  }
  // Smaller than it is, by the means of its pixels: seen as the middle of what is there.
  await page.setViewportSize({ width: 390, height: 844 });
  await view.press("Smaller");
  await view.press("Smaller");
  await settled(page);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `the viewer is ${wide} pixels wide on a phone`);
  await view.isAccessible("the viewer on a phone");
  await page.setViewportSize({ width: 1360, height: 860 });

  cli("worker-admin", "pause", "anna");
  await page.getByLabel("Frame", { exact: true }).selectOption("2");
  await page.getByRole("alert").getByText("it was told to rest").waitFor();
  view.complaints = view.complaints.filter((text) => !text.includes("409"));
  await view.isAccessible("a frame that cannot be made ready");
  cli("worker-admin", "resume", "anna");
  await view.press("Try again");
  await page.getByLabel("Pass", { exact: true }).waitFor();
  await settled(page);
  isQuiet(view, "a frame of several tiles");
  console.log("tiles: of a larger frame; what cannot be is said");
}

/** Of a frame that holds no light there is the picture. */
async function picture(view: View): Promise<void> {
  const { page } = view;
  await view.go(`#/jobs/${farm.plain}?tab=viewer&frame=1`);
  await page.getByText("This frame's file is no EXR").waitFor();
  await page.getByText("Bringing the picture").waitFor({ state: "hidden" });
  const canvas = await stage(page).evaluate((element): [number, number] => [(element as HTMLCanvasElement).width / 2, (element as HTMLCanvasElement).height / 2]);
  assert.ok(Math.max(...(await drawn(page, canvas))) > 10, "the picture is not drawn");
  assert.equal(await page.getByLabel("Exposure").count(), 0);
  await view.isAccessible("a picture");
  isQuiet(view, "a picture");
  console.log("a frame without light: its picture");
}

const browser = await launch();
try {
  const view = await View.open(browser, farm.url);
  for (const part of [light, mattes, beside, tiles, picture]) {
    await part(view).catch(async (error: unknown) => {
      await view.page.screenshot({ path: `../out/viewer-${part.name}.png` });
      throw error;
    });
  }
} finally {
  await browser.close();
}
