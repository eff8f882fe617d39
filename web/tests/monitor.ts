// Everything that the page offers, done in a real browser and asked of the farm by its own commands. Started by
// `crates/cli/tests/e2e/monitor.rs`, which says in FARM what is there.

import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname } from "node:path";
import type { Page } from "playwright-core";
import { bytes } from "../src/lib/format";
import { launch, View } from "./browser";
import { certificates, cli, endAll, job, jobs, receivers, settings, site, start, tokens, worker, workers } from "./farm";

const { film, failing, markup, shots, many } = site.jobs;
const began = Date.now();

/** A name that is longer than any place for it. */
const CARL = "carl-in-the-cellar-behind-the-washing-machine-next-to-the-boiler";

function passed(what: string): void {
  console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

/** What the page says of what was done; the farm has done it by then. */
async function says(page: Page, text: string | RegExp): Promise<void> {
  await page.getByRole("status", { name: "Messages" }).getByText(text).first().waitFor();
}

/** The types that the page was written with are those of this manager. */
async function types(view: View): Promise<void> {
  const document = await view.page.evaluate(async () => (await fetch("/api/v1/openapi.json")).text());
  const file = `${site.home}/openapi.json`;
  writeFileSync(file, document);
  const made = execFileSync("npm", ["run", "--silent", "types", "--", file], { encoding: "utf8" });
  assert.ok(made === readFileSync("src/lib/api/schema.ts", "utf8"), "the API has changed: `make types` writes web/src/lib/api/schema.ts anew");
  passed("types: those of the API");
}

async function farm(view: View): Promise<void> {
  const { page } = view;
  const seen = (name: string, text: string) => row(name).getByText(text).filter({ visible: true }).first().waitFor();
  const row = (name: string) => page.getByRole("row").filter({ has: page.getByRole("button", { name, exact: true }) });
  await seen("anna", "ready");
  await seen("ben", "nowhere");
  await page.getByRole("img", { name: "Frame 8 of Film" }).waitFor();
  await view.isSound("farm");

  await page.getByRole("img", { name: /Slots of the farm .* of 2$/ }).waitFor();

  await view.press("anna");
  await page.getByRole("heading", { name: "anna" }).waitFor();
  await view.isSound("farm with a worker");
  // Its machine is this one.
  const panel = page.getByRole("complementary", { name: "anna" });
  await panel.getByText(/^\d+ % in use$/).waitFor();
  await panel.getByText(` of ${bytes(totalmem())} in use`).waitFor();
  await panel.getByText(` free of ${bytes(worker("anna")?.machine?.disk_total_bytes ?? 0)}`).waitFor();
  assert.equal(worker("anna")?.machine?.memory_total_bytes, totalmem());
  await seen("ben", "Memory");
  await view.press("Add a note");
  await page.getByLabel("Note about anna").fill("under the stairs");
  await view.isSound("a note that is written");
  await view.press("Save");
  await says(page, "Noted about 'anna'");
  assert.equal(worker("anna")?.note, "under the stairs");
  await seen("anna", "under the stairs");
  await view.press("Pause");
  await says(page, "Pause: 'anna'");
  assert.equal(worker("anna")?.mode, "paused");
  await seen("anna", "paused");
  await view.press("Resume");
  await says(page, "Resume: 'anna'");
  assert.equal(worker("anna")?.mode, "active");
  await view.press("Block");
  await view.press("Keep as it is");
  assert.equal(worker("anna")?.mode, "active");
  await view.press("Block");
  await view.isSound("a question");
  await view.press("Block");
  await says(page, "Block: 'anna'");
  assert.equal(worker("anna")?.mode, "blocked");
  await view.press("Unblock");
  await says(page, "Unblock: 'anna'");
  assert.equal(worker("anna")?.mode, "active");
  // What is done elsewhere shows by itself.
  cli("worker-admin", "pause", "ben");
  await seen("ben", "paused");
  cli("worker-admin", "resume", "ben");
  await seen("ben", "ready");

  cli("worker-admin", "pause", "ben");
  const told = cli("submit", site.still, "-f", "1..500", "--name", "Long");
  const long = Number(told.find(({ type }) => type === "submitted")?.job);
  await view.press("Block for Long");
  await view.press("Block for this job");
  await says(page, "'anna' gets no more of 'Long'");
  assert.equal(job(long)?.blocked_workers.length, 1);
  await panel.getByText("Nothing.").waitFor();
  await view.go(`#/jobs/${long}?tab=details`);
  await view.press("Let it work for this job");
  await says(page, "'anna' may work for this job again");
  assert.equal(job(long)?.blocked_workers.length, 0);
  await view.go("#/");
  cli("job", "cancel", String(long));
  cli("job", "remove", String(long));
  cli("worker-admin", "resume", "ben");

  await view.press("Add worker");
  await view.press("Make a code");
  const link = (await page.getByRole("dialog").locator("code").last().textContent()) ?? "";
  await page.getByRole("img", { name: /QR code/ }).waitFor();
  await view.isSound("a code");
  await view.press("Done");
  start(site.newHome, "worker", "--join", link, "--name", CARL, "--threads", "1");
  await seen(CARL, "ready");
  assert.equal(workers().length, 3);
  await view.press(CARL);
  await view.press("Drain");
  await view.press("Drain");
  await says(page, `Drain: '${CARL}'`);
  await seen(CARL, "away");
  view.isQuiet("farm");
  passed("farm: workers measured, noted, paused, resumed, blocked, unblocked, kept from a job, added, drained");
}

async function list(view: View): Promise<void> {
  const { page } = view;
  const rows = page.getByRole("row").filter({ has: page.getByRole("link") });
  await page.getByRole("link", { name: "Jobs", exact: true }).click();
  await page.getByText("7 jobs").waitFor();
  await view.isSound("jobs");
  // A name is text, whatever it is made of.
  assert.equal(await page.locator(`a[href="#/jobs/${markup}"]`).textContent(), site.markup);
  await page.getByRole("searchbox").fill("shot");
  await page.getByText("3 jobs").waitFor();
  assert.equal(await rows.count(), 3);
  await page.getByRole("searchbox").fill("");
  await view.press(/^Failed/, false);
  await page.getByText("1 job", { exact: true }).waitFor();
  assert.equal(await rows.first().getByRole("link").textContent(), "Poisoned");
  await view.press(/^All/, false);
  await page.getByRole("columnheader", { name: "Name" }).getByRole("button").click();
  assert.equal(await rows.nth(1).getByRole("link").textContent(), "Film");

  const states = () => shots.map((id) => job(id)?.state);
  for (const id of shots) await page.getByRole("checkbox", { name: `Choose job ${id}`, exact: true }).check();
  await view.isSound("jobs that are chosen");
  await view.press("Pause");
  await says(page, "Paused 3 jobs");
  assert.deepEqual(states(), ["paused", "paused", "paused"]);
  await view.press("Resume");
  await says(page, "Resumed 3 jobs");
  assert.deepEqual(states(), ["active", "active", "active"]);
  await view.press("Cancel");
  await view.press("Keep as it is");
  assert.deepEqual(states(), ["active", "active", "active"]);
  await view.press("Cancel");
  await view.press("Cancel rendering");
  await says(page, "Cancelled 3 jobs");
  assert.deepEqual(states(), ["cancelled", "cancelled", "cancelled"]);
  await view.press("Retry failed");
  await says(page, "Retrying 3 jobs");
  assert.deepEqual(states(), ["active", "active", "active"]);
  await view.press("Remove");
  await view.press("Remove");
  await says(page, "Removed 3 jobs");
  assert.ok(jobs().every((id) => !shots.includes(id)));
  await page.getByText("4 jobs").waitFor();
  view.isQuiet("jobs");
  passed("jobs: found, sorted, paused, resumed, cancelled, retried, removed");
}

async function wall(view: View): Promise<void> {
  const { page } = view;
  await view.go(`#/jobs/${film}`);
  const frames = page.getByRole("listbox");
  await page.getByText("done", { exact: true }).first().waitFor();
  await frames.click({ position: { x: 20, y: 20 } });
  await page.getByRole("heading", { name: "Frame 1", exact: true }).waitFor();
  await frames.press("ArrowRight");
  await frames.press("End");
  await page.getByRole("heading", { name: "Frame 8", exact: true }).waitFor();
  assert.match((await page.getByRole("option").textContent()) ?? "", /^Frame 8, done, (anna|ben)/);
  const picture = page.getByRole("img", { name: "Frame 8", exact: true });
  await page.waitForFunction((image) => (image as HTMLImageElement).naturalWidth > 0, await picture.elementHandle());
  const log = page.getByRole("log");
  await log.getByText("Fra:8").first().waitFor();
  await page.getByRole("searchbox", { name: "Find in the log" }).fill("fra:8");
  await page.getByText(/^1 of \d+$/).waitFor();
  assert.ok((await log.locator("mark").count()) > 0);
  await view.isSound("a job");
  view.isQuiet("wall");

  await view.go(`#/jobs/${many}`);
  await page.getByText("0 of 10,000 frames").first().waitFor();
  await page.locator("[role=listbox][aria-busy=false]").waitFor();
  await frames.focus();
  await frames.press("End");
  await page.getByRole("heading", { name: "Frame 10000" }).waitFor();
  await page.getByText("nowhere: none of").waitFor();
  // Of ten thousand frames there is one canvas, as large as what is seen.
  assert.ok((await page.locator("canvas").evaluate((canvas) => (canvas as HTMLCanvasElement).height)) < 4000);
  assert.ok((await page.locator("*").count()) < 400);
  view.isQuiet("a wall of ten thousand");

  await view.go(`#/jobs/${failing}?frame=3`);
  await page.getByText("2 failed attempts").waitFor();
  await page.getByText(/^crash · (anna|ben) · attempt \d/).first().waitFor();
  await page.getByRole("group", { name: "Which log" }).getByText("stderr").click();
  await view.press("Retry failed");
  await says(page, "Retrying 'Poisoned'");
  await page.getByText("4 failed attempts").waitFor();
  await page.getByRole("tab", { name: "Statistics" }).click();
  await page.getByRole("table", { name: "What failed" }).getByText("crash").first().waitFor();
  await view.isSound("what failed");
  view.isQuiet("a job that failed");
  passed("frames: chosen, seen, logs read and searched, failures shown and retried");
}

async function steer(view: View): Promise<void> {
  const { page } = view;
  await view.go(`#/jobs/${markup}`);
  await page.getByRole("heading", { name: site.markup }).waitFor();
  await view.press("Edit");
  await view.isSound("a job's settings");
  await page.getByLabel("Name", { exact: true }).fill("Shot <b>four</b>");
  await page.getByLabel("Category").fill("film");
  await page.getByLabel("Priority").fill("250");
  await page.getByLabel("Tags").fill("nowhere; night");
  await page.getByLabel(/^Memory 32 GB/).fill("64 GB");
  await page.getByLabel(/^Jobs Their/).fill(String(film));
  await view.press("Save");
  await says(page, /^Changed/);
  const changed = job(markup)?.settings;
  assert.deepEqual([changed?.name, changed?.category, changed?.priority, changed?.tags, changed?.comment], ["Shot <b>four</b>", "film", 250, ["nowhere", "night"], site.markup]);
  assert.deepEqual([changed?.requirement, changed?.after], [{ memory_bytes: 64e9 }, [{ job: film, frames: false }]]);
  await page.getByRole("heading", { name: "Shot <b>four</b>" }).waitFor();
  await page.getByRole("tab", { name: "Details" }).click();
  await page.getByText("nowhere, night").waitFor();
  assert.equal(await page.locator("dd.comment").textContent(), site.markup);
  await view.isSound("details");
  // What cannot be is said where it was typed.
  await view.press("Edit");
  await page.getByLabel("Tags").fill("a=b");
  await view.press("Save");
  await page.getByRole("dialog").getByRole("alert").getByText("a=b").waitFor();
  view.complaints = view.complaints.filter((text) => !text.includes("422"));
  await view.press("Keep as it was");
  for (const [deed, state] of [["Pause", "paused"], ["Resume", "active"]] as const) {
    await view.press(deed);
    await says(page, `${deed}d '`);
    assert.equal(job(markup)?.state, state);
  }
  await view.press("Cancel");
  await view.press("Cancel rendering");
  await says(page, "Cancelled '");
  assert.equal(job(markup)?.state, "cancelled");
  await view.press("Remove");
  await view.press("Remove");
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  assert.ok(!jobs().includes(markup));
  await view.go(`#/jobs/${markup}`);
  await page.getByText(`There is no job ${markup}`).waitFor();
  view.complaints = view.complaints.filter((text) => !text.includes("404"));
  view.isQuiet("steering");
  passed("a job: edited, paused, resumed, cancelled, removed; markup is text");
}

/** Whether anything was drawn. */
const isDrawn = (page: Page) =>
  page.waitForFunction(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('[role="tabpanel"] canvas');
    // From a small copy: reading is no business of the page's own canvas.
    const pen = new OffscreenCanvas(64, 36).getContext("2d", { willReadFrequently: true });
    if (!canvas || !pen) return false;
    pen.drawImage(canvas, 0, 0, 64, 36);
    const { data } = pen.getImageData(0, 0, 64, 36);
    return data.some((value, at) => at % 4 !== 3 && value > 30);
  });

async function pictures(view: View): Promise<void> {
  const { page } = view;
  await view.go(`#/jobs/${film}?tab=player&frame=2`);
  await page.getByText("2 of 8 pictures").waitFor();
  await isDrawn(page);
  await view.press("Next frame");
  await page.getByText("3 of 8 pictures").waitFor();
  await page.getByRole("slider", { name: "Frame" }).fill("6");
  await page.getByText("7 of 8 pictures").waitFor();
  await view.press("Play");
  await page.getByText("2 of 8 pictures").waitFor();
  await view.press("Stop");
  await view.isSound("the player");

  await view.go(`#/jobs/${film}?tab=compare&a=1&b=8`);
  await isDrawn(page);
  for (const mode of ["Side by side", "Difference", "Wipe"]) {
    await view.press(mode);
    await isDrawn(page);
    if (mode === "Difference") await page.getByText(/^[1-9][\d.]* % of the pixels differ/).waitFor();
  }
  await page.getByLabel("B: frame").fill("1");
  await page.getByLabel("B: frame").press("Enter");
  await view.press("Difference");
  await page.getByText("0 % of the pixels differ").waitFor();
  await view.isSound("two frames");

  await view.go(`#/jobs/${film}?tab=times`);
  await page.getByRole("slider", { name: "Frame of the chart" }).press("ArrowRight");
  await page.getByText(/^Frame 1: files and loading/).waitFor();
  await page.getByText(/^\d+\.\d\d worker-hours$/).waitFor();
  await page.getByRole("table", { name: "By worker" }).getByText(/anna|ben/).first().waitFor();
  await view.isSound("times");
  view.isQuiet("pictures");
  passed("pictures: played, scrubbed, compared; times shown");
}

/** A frame that is rendered in parts is seen before it is finished. */
async function growing(view: View): Promise<void> {
  const { page } = view;
  for (const name of ["anna", "ben"]) cli("worker-admin", "pause", name);
  const told = cli("submit", site.still, "-f", "1", "--tiles", "4x3", "--name", "Still");
  await view.go(`#/jobs/${String(told.find(({ type }) => type === "submitted")?.job)}?frame=1`);
  await page.getByText("No picture yet.").waitFor();
  cli("worker-admin", "resume", "anna");
  const canvas = page.getByRole("img", { name: "Frame 1, as far as it is rendered" }).locator("canvas");
  await canvas.waitFor();
  const shown = await canvas.evaluate((element) => {
    const { width, height } = element as HTMLCanvasElement;
    const pen = new OffscreenCanvas(width, height).getContext("2d");
    pen?.drawImage(element as HTMLCanvasElement, 0, 0);
    const data = pen?.getImageData(0, 0, width, height).data ?? new Uint8ClampedArray();
    return data.filter((value, at) => at % 4 === 3 && value === 255).length / (width * height);
  });
  assert.ok(shown > 1 / 13 && shown < 1, `${shown} of the frame is shown`);
  await page.getByRole("img", { name: "Frame 1", exact: true }).waitFor();
  assert.equal(await canvas.count(), 0);
  cli("worker-admin", "resume", "ben");
  view.isQuiet("a frame in parts");
  passed("a frame in parts: seen while it grew");
}

/** Samples are added to a frame that is there: it is shown again when it has them. */
async function added(view: View): Promise<void> {
  const { page } = view;
  const told = cli("submit", site.sampled, "-f", "1", "--split", "samples", "--samples", "8", "--room-for", "32", "--name", "Grain");
  const grain = Number(told.find(({ type }) => type === "submitted")?.job);
  await view.go(`#/jobs/${grain}?frame=1`);
  const picture = page.getByRole("img", { name: "Frame 1", exact: true });
  await picture.waitFor();
  for (const name of ["anna", "ben"]) cli("worker-admin", "pause", name);
  await view.press("Edit");
  await page.getByLabel(/^Samples/).fill("32");
  await view.press("Save");
  await says(page, /^Changed/);
  await page.getByText("0 of 1 frame").waitFor();
  assert.equal(await picture.count(), 0);
  for (const name of ["anna", "ben"]) cli("worker-admin", "resume", name);
  await picture.waitFor();
  await page.getByText("1 of 1 frame").waitFor();
  const { state, done, frames, places } = job(grain) ?? {};
  // 24 ranges of one sample beside the frame of 8 that was there.
  assert.deepEqual([state, done, frames, places], ["done", 1, 1, 24]);
  view.isQuiet("samples that are added");
  passed("samples were added to a finished frame");
}

/** A project of this computer becomes a job, and is what the command makes of it. */
async function sent(view: View): Promise<void> {
  const { page } = view;
  const dialog = page.getByRole("dialog");
  await view.go("#/jobs");
  await view.press("New job");
  await view.isSound("a new job");
  assert.ok(await page.getByRole("button", { name: "Submit", exact: true }).isDisabled());
  const files = page.getByLabel("Files …");
  await files.setInputFiles({ name: "wrong.blend", mimeType: "", buffer: Buffer.from("PK") });
  await dialog.getByRole("alert").getByText("wrong.blend: it is not a .blend file").waitFor();
  await files.setInputFiles({ name: "wood.png", mimeType: "", buffer: Buffer.from("PK") });
  await dialog.getByRole("alert").getByText("None of these is a .blend file.").waitFor();

  await page.getByLabel("A folder …").setInputFiles(dirname(site.textured));
  await dialog.getByText("textures/wood.png").waitFor();
  await dialog.getByText(/^Saved with Blender [345]\.\d+$/).waitFor();
  assert.equal(await page.getByLabel(/^Name Saved/).inputValue(), "film");
  const frames = page.getByLabel(/^Frames/);
  assert.match(await frames.inputValue(), /^1\.\.\d+$/);
  await view.isSound("a new job's settings");
  await frames.fill("one to two");
  await view.press("Submit");
  await dialog.getByRole("alert").getByText("one to two").waitFor();
  view.complaints = view.complaints.filter((text) => !text.includes("422"));
  await frames.fill("1..2");
  await page.getByLabel(/^Name Saved/).fill("By hand");
  await page.getByLabel("Priority").fill("150");
  await page.getByLabel("Comment").fill("from the page");
  await view.press("Submit");
  await says(page, /^Submitted 'By hand' as job \d+$/);
  await page.getByRole("heading", { name: "By hand" }).waitFor();
  await page.getByText("2 of 2 frames").first().waitFor();
  const made = Number(/#\/jobs\/(\d+)/.exec(page.url())?.[1]);
  const { settings, done, failed } = job(made) ?? {};
  assert.deepEqual([settings?.priority, settings?.comment, done, failed], [150, "from the page", 2, 0]);

  const told = cli("submit", site.textured, "-f", "1..2", "--name", "By command");
  const other = Number(told.find(({ type }) => type === "submitted")?.job);
  await view.go(`#/jobs/${other}`);
  await page.getByText("2 of 2 frames").first().waitFor();
  await view.go(`#/jobs/${made}?tab=compare&a=2&b=2&job=${other}`);
  await view.press("Difference");
  await page.getByText("0 % of the pixels differ").waitFor();

  // What is dropped on the list is offered.
  await view.go("#/jobs");
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["BLENDER-v304"], "dropped.blend"));
    for (const type of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  });
  await dialog.getByText("Saved with Blender 3.4").waitFor();
  assert.equal(await page.getByLabel(/^Name Saved/).inputValue(), "dropped");
  await view.press("Not now");
  for (const id of [made, other]) cli("job", "remove", String(id));
  view.isQuiet("a new job");
  passed("a folder was sent and rendered, the same as by the command");
}

/** What happens moves nothing that is there, and keys go through all of it in order. */
async function steady(view: View): Promise<void> {
  const { page } = view;
  const told = cli("submit", site.still, "-f", "1..40", "--name", "Steady");
  const id = Number(told.find(({ type }) => type === "submitted")?.job);
  for (const hash of ["#/", "#/jobs", `#/jobs/${id}`]) {
    await view.go(hash);
    await page.getByRole("heading").first().waitFor();
    const done = () => job(id)?.done ?? 0;
    const more = async (count: number) => {
      for (const until = done() + count; done() < until; ) await page.waitForTimeout(200);
    };
    await more(1);
    await view.isSteady(`${hash}, while frames are rendered,`, () => more(4));
  }
  for (const hash of ["#/", "#/jobs", `#/jobs/${id}?frame=1`, `#/jobs/${id}?tab=details`, "#/settings", "#/settings/access"]) {
    await view.go(hash);
    await page.getByRole("heading").first().waitFor();
    await page.waitForTimeout(300);
    await view.isInOrder(hash);
  }
  cli("job", "cancel", String(id));
  cli("job", "remove", String(id));
  view.isQuiet("steadiness");
  passed("nothing jumps, and keys go in order");
}

/** A farm that nobody has used, and what is not there yet. */
async function empty(view: View): Promise<void> {
  const { page } = view;
  await page.getByText("No workers yet.").waitFor();
  await view.isSound("an empty farm");
  await view.go("#/jobs");
  await page.getByText("No jobs yet.").waitFor();
  await view.isSound("no jobs");
  await view.go("#/settings/storage");
  await page.getByText("on the manager's disk").waitFor();
  await view.isSound("an empty store");
  view.isQuiet("an empty farm");
  passed("an empty farm says what to do");
}

/** Ten thousand jobs are one list. */
async function crowded(view: View): Promise<void> {
  const { page } = view;
  // It is said that more comes, for as long as it does.
  let hold = () => {};
  const held = new Promise<void>((done) => (hold = done));
  await page.route("**/api/v1/jobs?**after=**", async (route) => {
    await held;
    await route.continue();
  });
  await page.reload();
  await view.go("#/jobs");
  await page.getByText("reading more …").waitFor();
  await view.isSound("jobs that are being read");
  hold();
  await page.getByText("10,000 jobs", { exact: true }).waitFor();
  await page.unroute("**/api/v1/jobs?**after=**");
  assert.ok((await page.locator("*").count()) < 1000);
  await view.isSound("ten thousand jobs");
  await page.getByRole("searchbox").fill("shot 9999");
  await page.getByText("1 job", { exact: true }).waitFor();
  await page.getByRole("searchbox").fill("");
  await page.getByRole("columnheader", { name: "Job" }).getByRole("button").click();
  await page.getByRole("link", { name: "shot 1", exact: true }).waitFor();
  view.isQuiet("a list of ten thousand");
  passed("ten thousand jobs listed, searched and sorted");
}

async function numbers(view: View): Promise<void> {
  const { page } = view;
  await page.getByRole("link", { name: "Settings" }).click();
  const cap = page.getByLabel(/^cap_percent/);
  await cap.fill("0");
  await page.getByText("It is 1 to 100.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Save" }).isDisabled());
  await cap.fill("50");
  await page.getByLabel(/^sample_ms/).fill("20 s");
  await view.isSound("the farm's numbers");
  await view.press("Save");
  await says(page, "2 settings changed");
  assert.deepEqual([settings().cap_percent, settings().sample_ms], [50, 20_000]);
  await page.getByLabel(/^expired_after_ms/).fill("1 s");
  await view.press("Save");
  await page.getByRole("alert").getByText("suspect_after_ms").waitFor();
  view.complaints = view.complaints.filter((text) => !text.includes("422"));
  await view.press("Undo");
  await view.press("Set cap_percent back to the default");
  await says(page, "back at its default");
  assert.equal(settings().cap_percent, 75);
  // Whatever there is can be set.
  for (const name of Object.keys(settings())) await page.locator(`#set-${name}, #named-${name}`).waitFor();
  await page.getByLabel("Name of the user").fill("ada");
  await page.getByLabel("Priority of the user").fill("3");
  await page.getByRole("region", { name: "Users" }).getByRole("button", { name: "Set" }).click();
  await says(page, "Set ada");
  assert.deepEqual(settings().users, { ada: { priority: 3 } });
  await view.press("Take ada out");
  await says(page, "ada is back");
  assert.deepEqual(settings().users, {});
  cli("settings", "set", "cap_percent=33");
  await page.waitForFunction((input) => (input as HTMLInputElement).value === "33", await cap.elementHandle());

  await page.getByRole("tab", { name: "Access" }).click();
  await view.press("Let someone in");
  await page.getByLabel("User", { exact: true }).fill("tina");
  await page.getByLabel("a token for a program").check();
  await view.isSound("letting someone in");
  await view.press("Make it");
  await page.getByRole("dialog").getByText(/^tsr_/).waitFor();
  await view.press("Done");
  assert.equal(tokens().find(({ user }) => user === "tina")?.role, "artist");
  await view.isSound("access");
  await view.press(/^Revoke token .* of tina/, false);
  await view.press("Revoke");
  await says(page, "Revoked");
  assert.ok(tokens().every(({ user }) => user !== "tina"));
  await view.press(/^Revoke certificate .* of carl-/, false);
  await view.press("Revoke");
  await page.getByRole("cell", { name: "revoked" }).waitFor();
  assert.ok(certificates().find((one) => one.worker_name === CARL)?.revoked);

  await page.getByRole("tab", { name: "Notifications" }).click();
  await view.press("Add a receiver");
  await page.getByLabel("Name", { exact: true }).fill("pipeline");
  await page.getByLabel("Told by").selectOption({ label: "Webhook" });
  await page.getByLabel("Address", { exact: true }).fill("http://127.0.0.1:1/hook");
  await page.getByLabel("a worker is lost").uncheck();
  await page.getByLabel("Of whose jobs").selectOption({ label: "those of one user" });
  await page.getByLabel("Which user").fill("tina");
  await view.isSound("adding a receiver");
  await view.press("Add");
  await page.getByRole("cell", { name: "pipeline", exact: true }).waitFor();
  const [receiver] = receivers();
  assert.deepEqual([receiver?.name, receiver?.jobs], ["pipeline", { owner: "tina" }]);
  assert.ok(receiver?.events.includes("job_done") && !receiver.events.includes("worker_lost"));
  await view.isSound("notifications");
  await view.press("Test pipeline");
  await says(page, /The test for 'pipeline' did not arrive: .*refused/);
  await view.press("Remove pipeline", false);
  await view.press("Remove");
  await says(page, "'pipeline' is removed");
  assert.deepEqual(receivers(), []);

  await page.getByRole("tab", { name: "Storage" }).click();
  await page.getByText("on the manager's disk").waitFor();
  await page.getByRole("row", { name: /Film/ }).waitFor();
  await view.isSound("storage");
  await view.press("Give back what nobody needs");
  await says(page, /Given back|cannot be told yet/);
  view.isQuiet("settings");
  passed("settings: changed, refused, reset; access given and revoked; a receiver added, tested, removed; space given back");
}

async function viewer(view: View): Promise<void> {
  const { page } = view;
  const none = async (...names: string[]) => {
    for (const name of names) assert.equal(await page.getByRole("button", { name, exact: true }).count(), 0, name);
  };
  await page.getByText("vera · viewer").waitFor();
  await view.press("anna");
  await page.getByText("In its hands").waitFor();
  await none("Add worker", "Pause", "Drain", "Block", "Remove");
  await view.go("#/jobs");
  await page.getByRole("link", { name: "Film" }).waitFor();
  assert.equal(await page.getByRole("checkbox").count(), 0);
  await none("New job");
  await view.go(`#/jobs/${film}`);
  await page.getByRole("heading", { name: "Film" }).waitFor();
  await none("Pause", "Resume", "Retry failed", "Cancel", "Remove", "Edit");
  await view.go("#/settings");
  await page.getByText("Only administrators change these.").waitFor();
  await none("Save", "Set");
  assert.ok(await page.getByLabel(/^cap_percent/).isDisabled());
  assert.equal(await page.getByRole("tab", { name: "Access" }).count(), 0);
  await view.go("#/settings/storage");
  await page.getByText("on the manager's disk").waitFor();
  await none("Give back what nobody needs");
  await page.setViewportSize({ width: 390, height: 844 });
  for (const hash of ["#/", "#/jobs", `#/jobs/${film}?frame=1`, "#/settings", "#/settings/storage"]) {
    await view.go(hash);
    await page.getByRole("heading").first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${hash} is ${wide} pixels wide on a phone`);
  }
  await view.isAccessible("settings on a phone");
  view.isQuiet("a viewer");
  // Whose token is revoked is told what to do.
  cli("token", "revoke", tokens().find(({ user }) => user === "vera")?.id ?? "");
  await page.reload();
  await page.getByRole("heading", { name: "Open it with tessera web" }).waitFor();
  await view.isSound("nobody's page");
  passed("a viewer is offered nothing that is not theirs; a phone shows all of it");
}

/** The manager is killed and started again: the page says so and comes back, with what happened meanwhile. */
async function lost(view: View): Promise<void> {
  const { page } = view;
  await view.go(`#/jobs/${film}`);
  await page.getByRole("heading", { name: "Film" }).waitFor();
  process.kill(site.manager.pid, "SIGKILL");
  await page.getByRole("alert").getByText("link to the manager is lost").waitFor();
  await view.isSound("a lost link");
  start(site.home, "manager", "--listen", site.manager.address, "--no-discovery");
  await page.getByText("live", { exact: true }).waitFor();
  cli("job", "edit", String(film), "--name", "Film, second cut");
  await page.getByRole("heading", { name: "Film, second cut" }).waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  passed("the link was lost and came back");
}

const browser = await launch();
try {
  const view = await View.open(browser, site.url);
  for (const part of [types, farm, list, wall, steer, pictures, growing, added, sent, steady, numbers]) {
    await part(view).catch(async (error: unknown) => {
      await view.page.screenshot({ path: `../out/monitor-${part.name}.png` });
      throw error;
    });
  }
  assert.equal(await view.page.evaluate(() => "ran" in window), false, "a name was run as a script");
  const other = await View.open(browser, site.viewer.url);
  await viewer(other);
  await empty(await View.open(browser, site.empty));
  await crowded(await View.open(browser, site.crowded));
  await lost(view);
} finally {
  await browser.close();
  endAll();
}
