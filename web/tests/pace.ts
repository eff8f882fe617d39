// How fast the page of a job is there, and how evenly it draws while much happens. Started by `xtask/src/bench/manager/page.rs` with the link of
// `tessera web` and the job's address; prints one JSON document.

import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { launch } from "./browser";

const [url = "", hash = ""] = process.argv.slice(2);
const OPENED = 5;
const COUNTED_MS = 10_000;

const middle = (numbers: number[], part: number) => [...numbers].sort((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))] ?? NaN;

const browser = await launch();
try {
  const size = { width: 1360, height: 860 };
  const entry = await browser.newContext({ viewport: size });
  await (await entry.newPage()).goto(url);
  const cookies = await entry.cookies();
  const address = new URL(url).origin + "/";
  await entry.close();

  const usable: number[] = [];
  let last: Page | undefined;
  for (let time = 0; time < OPENED; time += 1) {
    const context = await browser.newContext({ viewport: size });
    await context.addCookies(cookies);
    const page = await context.newPage();
    await page.addInitScript(() => {
      const look = () => {
        const wall = document.querySelector<HTMLElement>('[role=listbox][aria-busy="false"]');
        const canvas = wall?.querySelector("canvas") ?? document.querySelector("canvas");
        if (!wall || !canvas) return void requestAnimationFrame(look);
        const { left, top } = wall.getBoundingClientRect();
        for (const type of ["pointerdown", "mousedown", "pointerup", "mouseup", "click"]) {
          (document.elementFromPoint(left + 20, top + 20) ?? wall).dispatchEvent(new MouseEvent(type, { clientX: left + 20, clientY: top + 20, bubbles: true }));
        }
        const answered = () => {
          const isThere = [...document.querySelectorAll("h2, h3")].some(({ textContent }) => /^Frame \d+$/.test(textContent?.trim() ?? ""));
          if (isThere) (window as unknown as { usable: number }).usable = performance.now();
          else requestAnimationFrame(answered);
        };
        requestAnimationFrame(answered);
      };
      requestAnimationFrame(look);
    });
    await page.goto(address + hash);
    await page.waitForFunction(() => "usable" in window);
    usable.push(await page.evaluate(() => (window as unknown as { usable: number }).usable));
    last = page;
    if (time + 1 < OPENED) await context.close();
  }

  if (!last) throw new Error("it was not opened");
  // Tiles that are large enough for pictures.
  await last.getByRole("slider", { name: "Size" }).fill("3");
  // Events are counted on a stream of the browser's own, beside the page's.
  const counted = await last.evaluate(async (ms) => {
    const stop = new AbortController();
    let events = 0;
    const listening = (async () => {
      const response = await fetch("/api/v1/events", { signal: stop.signal });
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = (await reader?.read()) ?? { done: true, value: "" };
        if (done) return;
        events += value.split("\ndata:").length - 1;
      }
    })().catch(() => undefined);
    await new Promise((done) => setTimeout(done, 1000));
    const [events0, requests0] = [events, performance.getEntriesByType("resource").length];
    performance.setResourceTimingBufferSize(100_000);
    // What is being rendered is kept in sight.
    const wall = document.querySelector("[role=listbox]");
    const following = setInterval(() => {
      const done = Number(/([\d,]+) of 10,000 frames/.exec(document.body.textContent ?? "")?.[1]?.replace(",", "") ?? 0);
      if (wall) wall.scrollTop = (done / 10_000) * wall.scrollHeight - wall.clientHeight / 2;
    }, 500);
    const gaps: number[] = [];
    const begun = performance.now();
    await new Promise<void>((done) => {
      let before = begun;
      const tick = (now: number) => {
        if (now > before) gaps.push(now - before);
        before = now;
        if (now - begun < ms) requestAnimationFrame(tick);
        else done();
      };
      requestAnimationFrame(tick);
    });
    clearInterval(following);
    const seconds = (performance.now() - begun) / 1000;
    const told = { gaps, events: (events - events0) / seconds, requests: (performance.getEntriesByType("resource").length - requests0) / seconds };
    stop.abort();
    await listening;
    return told;
  }, COUNTED_MS);

  // What the page is made of: its document, and whatever scripts and styles name each other.
  const seen = new Map<string, number>();
  const queue = ["/"];
  for (const path of queue) {
    if (seen.has(path)) continue;
    const response = await last.context().request.get(new URL(path, address).href);
    const body = await response.body();
    seen.set(path, gzipSync(body, { level: 9 }).length);
    for (const [, name] of body.toString("utf8").matchAll(/["'(](?:\/?assets\/|\.\/)([\w.-]+\.(?:js|css))["')]/g)) queue.push(`/assets/${name}`);
  }

  console.log(
    JSON.stringify({
      usable_ms: middle(usable, 0.5),
      usable_longest_ms: Math.max(...usable),
      frame_median_ms: middle(counted.gaps, 0.5),
      frame_p99_ms: middle(counted.gaps, 0.99),
      frame_longest_ms: Math.max(...counted.gaps),
      events_per_s: counted.events,
      requests_per_s: counted.requests,
      gzip_bytes: [...seen.values()].reduce((sum, size) => sum + size, 0),
    }),
  );
} finally {
  await browser.close();
}
