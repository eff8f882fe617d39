// A browser that lets nothing pass: errors of the console, of the page and of its policy are all failures.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";
import { type Browser, chromium, type Page } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const DESKTOP = { width: 1360, height: 860 };
const PHONE = { width: 390, height: 844 };

/** Where pictures of all that is looked at go, if they are wanted. */
const PICTURES = process.env.TESSERA_PICTURES;

/** Of the screen, times how far in parts of its height: browsers call a page good below five times as much. */
const JUMPS_MAX = 0.02;

/** Longest that anything on the page may take to come true. */
const COMES_TRUE_MS = 30_000;

export class View {
  /** What was complained of since it was last looked at. */
  complaints: string[] = [];

  private constructor(readonly page: Page) {
    page.setDefaultTimeout(COMES_TRUE_MS);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(`console: ${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => this.complaints.push(`page: ${error.message}`));
    page.on("dialog", (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  static async open(browser: Browser, url: string): Promise<View> {
    const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "light", reducedMotion: "reduce" });
    const page = await context.newPage();
    const view = new View(page);
    await page.exposeFunction("complain", (text: string) => view.complaints.push(text));
    await page.addInitScript(() => {
      // How far things jumped by themselves, as browsers measure it (Layout Instability: part of the screen by part of its height).
      const told = window as unknown as { jumped: number; moved: string[] };
      told.jumped = 0;
      told.moved = [];
      type Shift = PerformanceEntry & { value: number; hadRecentInput: boolean; sources: { node?: Element; previousRect: DOMRect; currentRect: DOMRect }[] };
      new PerformanceObserver((list) => {
        for (const { value, hadRecentInput, sources } of list.getEntries() as Shift[]) {
          // A row of the newest pictures moves on with each of them: it says so itself, and holds still for who points at it.
          const flows = sources.every(({ node }) => (node instanceof Element ? node : null)?.closest("[data-flows]"));
          if (hadRecentInput || (sources.length && flows)) continue;
          told.jumped += value;
          const place = ({ x, y }: DOMRect) => `${Math.round(x)},${Math.round(y)}`;
          told.moved.push(...sources.map(({ node, previousRect, currentRect }) => `${node?.nodeName} '${node?.textContent?.trim().slice(0, 30)}' from ${place(previousRect)} to ${place(currentRect)}`));
        }
      }).observe({ type: "layout-shift" });
      addEventListener("securitypolicyviolation", (event) => {
        (window as unknown as { complain: (text: string) => void }).complain(`policy: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    await page.goto(url);
    await page.getByText("live", { exact: true }).waitFor();
    return view;
  }

  async go(hash: string): Promise<void> {
    await this.page.evaluate((to) => (location.hash = to), hash);
  }

  /** Presses the button of this name, in the open window if there is one. */
  async press(name: string | RegExp, exact = true): Promise<void> {
    const dialog = this.page.getByRole("dialog");
    const place = (await dialog.count()) ? dialog.last() : this.page;
    await place.getByRole("button", { name, exact }).first().click();
  }

  /** Nothing is amiss with what shows now: in light, in dark, and on a phone, where all of it has room. */
  async isSound(what: string): Promise<void> {
    await this.isAccessible(what);
    await this.fits(what);
    const pictures = PICTURES ? [await this.picture("light"), await this.picture("dark")] : [];
    await this.page.setViewportSize(PHONE);
    await this.fits(`${what}, on a phone`);
    assert.deepEqual(await this.axe({}), [], `${what}, on a phone`);
    if (PICTURES) await this.sheet(what, [...pictures, await this.picture("light")]);
    await this.page.setViewportSize(DESKTOP);
  }

  /** Nothing is wider than the window, and nothing in an open window wider than that. */
  private async fits(what: string): Promise<void> {
    const wide = await this.page.evaluate(() =>
      [document.documentElement, ...document.querySelectorAll("dialog[open]")].filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ tagName, scrollWidth, clientWidth }) => `${tagName} has ${scrollWidth} pixels in ${clientWidth}`),
    );
    assert.deepEqual(wide, [], what);
  }

  /** The keys reach everything in the order in which it stands, and what is reached shows. */
  async isInOrder(what: string): Promise<void> {
    // From the top: what was focused or clicked last is where keys would go on.
    await this.page.evaluate(() => {
      document.body.tabIndex = -1;
      document.body.focus();
      document.body.removeAttribute("tabindex");
    });
    const reached = await this.page.evaluateHandle(() => [] as Element[]);
    for (let steps = 0; steps < 300; steps += 1) {
      await this.page.keyboard.press("Tab");
      const found = await this.page.evaluate((reached) => {
        const now = document.activeElement;
        if (!now || now === document.body || now === reached[0]) return "end";
        const before = reached[reached.length - 1];
        if (before === now) return "end";
        reached.push(now);
        const { width, height, bottom, top } = now.getBoundingClientRect();
        const name = now.getAttribute("aria-label") ?? now.textContent?.trim().slice(0, 40);
        if (width * height === 0 && !now.closest("label")) return `${now.tagName} '${name}' does not show`;
        if (bottom < 0 || top > innerHeight) return `${now.tagName} '${name}' is out of sight`;
        if (before && !(before.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING)) return `${now.tagName} '${name}' comes too late`;
        return "";
      }, reached);
      if (found === "end") {
        assert.ok(steps > 4, `${what}: only ${steps} things are reached by keys`);
        return;
      }
      assert.equal(found, "", what);
    }
    assert.fail(`${what}: keys reach more than 300 things`);
  }

  /** What shows hardly jumps by itself while this goes on. */
  async isSteady(what: string, during: () => Promise<void>): Promise<void> {
    const read = () => this.page.evaluate(() => (({ jumped, moved }) => ({ jumped, moved }))(window as unknown as { jumped: number; moved: string[] }));
    const before = await read();
    await during();
    const { jumped, moved } = await read();
    assert.ok(jumped - before.jumped < JUMPS_MAX, `${what} jumps by ${jumped - before.jumped}: ${moved.slice(before.moved.length).join("; ")}`);
  }

  private async picture(colorScheme: "light" | "dark"): Promise<Buffer> {
    await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const picture = await this.page.screenshot();
    await this.page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    return picture;
  }

  /** Writes pictures beside each other into one. The browser is the one who can make WebP. */
  private async sheet(what: string, pictures: Buffer[]): Promise<void> {
    const page = await this.page.context().newPage();
    const made = await page.evaluate(async (pictures) => {
      const images = await Promise.all(pictures.map(async (base64) => createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob())));
      const canvas = new OffscreenCanvas(images.reduce((sum, { width }) => sum + width + 10, -10), Math.max(...images.map(({ height }) => height)));
      const pen = canvas.getContext("2d");
      let left = 0;
      for (const image of images) {
        pen?.drawImage(image, left, 0);
        left += image.width + 10;
      }
      const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/webp", quality: 0.75 })).arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }, pictures.map((picture) => picture.toString("base64")));
    await page.close();
    mkdirSync(PICTURES ?? "", { recursive: true });
    writeFileSync(`${PICTURES}/${what.replace(/[^a-z0-9]+/gi, "-")}.webp`, Buffer.from(made, "base64"));
  }

  /** Nothing is amiss with what shows now, in light and in dark. */
  async isAccessible(what: string): Promise<void> {
    for (const colorScheme of ["light", "dark"] as const) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      // Only contrast depends on the colours.
      const found = await this.axe(colorScheme === "light" ? {} : { runOnly: { type: "rule", values: ["color-contrast"] } });
      assert.deepEqual(found, [], `${what}, ${colorScheme}:\n${found.join("\n")}`);
    }
    await this.page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  }

  private async axe(options: object): Promise<string[]> {
    await this.page.evaluate(axe);
    return this.page.evaluate(async (options) => {
      const { axe } = window as unknown as { axe: { run: (options: object) => Promise<{ passes: object[]; violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[] }> } };
      const { violations, passes } = await axe.run(options);
      if (passes.length === 0) return ["it was not looked at"];
      return violations.map(({ id, help, nodes }) => `${id}: ${help}\n    ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ""}`).slice(0, 3).join("\n    ")}`);
    }, options);
  }

  /** Nothing was complained of. */
  isQuiet(what: string): void {
    assert.deepEqual(this.complaints, [], `${what}: ${this.complaints.join("; ")}`);
  }
}

export function launch(): Promise<Browser> {
  const program = process.env.TESSERA_CHROMIUM ?? "/usr/bin/chromium";
  // Chromium's own sandbox does not start for root, as which tests run in containers.
  return chromium.launch({ executablePath: program, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}
