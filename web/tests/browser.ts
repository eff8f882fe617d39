// A browser that lets nothing pass: errors of the console, of the page and of its policy are all failures.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";
import { type Browser, chromium, type Page } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

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
    const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, colorScheme: "light", reducedMotion: "reduce" });
    const page = await context.newPage();
    const view = new View(page);
    await page.exposeFunction("complain", (text: string) => view.complaints.push(text));
    await page.addInitScript(() => {
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

  /** Nothing is amiss with what shows now, in light and in dark. */
  async isAccessible(what: string): Promise<void> {
    for (const colorScheme of ["light", "dark"] as const) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await this.page.evaluate(axe);
      // Only contrast depends on the colours.
      const options = colorScheme === "light" ? {} : { runOnly: { type: "rule", values: ["color-contrast"] } };
      const found = await this.page.evaluate(async (options) => {
        const { axe } = window as unknown as { axe: { run: (options: object) => Promise<{ passes: object[]; violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[] }> } };
        const { violations, passes } = await axe.run(options);
        if (passes.length === 0) return ["it was not looked at"];
        return violations.map(({ id, help, nodes }) => `${id}: ${help}\n    ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ""}`).slice(0, 3).join("\n    ")}`);
      }, options);
      assert.deepEqual(found, [], `${what}, ${colorScheme}:\n${found.join("\n")}`);
    }
    await this.page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
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
