// The status page: reads the API once, then follows the events. It holds no credentials: `tessera web` adds them on the way.
// Everything that comes from the farm is put in as text, never as markup.

const PAGE = 50;
const AGAIN_MS = 3000;

// What is said of the space for files, where there is something to say.
const QUOTA = {
  warning: "What the farm may store is nearly used up: tessera store shows what uses the space.",
  full: "What the farm may store is used up and no new files are taken in: tessera store shows what uses the space.",
};

const jobs = new Map();
const workers = new Map();
let older = null;
let drawing = false;

const at = (id) => document.getElementById(id);

async function get(path) {
  const response = await fetch(`/api/v1/${path}`, { headers: { accept: "application/json" } });
  if (!response.ok) throw Object.assign(new Error(response.statusText), { status: response.status });
  return response.json();
}

function pulse(state, text) {
  at("pulse").dataset.state = state;
  at("pulse").textContent = text;
}

async function readAll() {
  const [farm, jobPage, workerPage] = await Promise.all([get("farm"), get(`jobs?limit=${PAGE}`), get("workers")]);
  document.title = `${farm.name} · Tessera`;
  at("farm").textContent = farm.name;
  at("who").textContent = `${farm.user}, ${farm.role} · version ${farm.version}`;
  at("store").textContent = QUOTA[farm.store] ?? "";
  at("store").hidden = !(farm.store in QUOTA);
  jobs.clear();
  workers.clear();
  for (const job of jobPage.items) jobs.set(job.id, job);
  for (const worker of workerPage.items) workers.set(worker.id, worker);
  older = jobPage.next ?? null;
  at("locked").hidden = true;
  at("monitor").hidden = false;
  draw();
}

async function readOlder() {
  const page = await get(`jobs?limit=${PAGE}&after=${older}`);
  for (const job of page.items) jobs.set(job.id, job);
  older = page.next ?? null;
  draw();
}

const on = {
  job: ({ job }) => jobs.set(job.id, job),
  job_removed: ({ job }) => jobs.delete(job),
  worker: ({ worker }) => workers.set(worker.id, worker),
  worker_removed: ({ worker }) => workers.delete(worker),
  resync: () => readAll().catch(lost),
};

function follow() {
  const source = new EventSource("/api/v1/events");
  source.onopen = () => {
    pulse("live", "live");
    // Whatever happened between the first reading and this moment.
    readAll().catch(lost);
  };
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    on[event.type]?.(event);
    draw();
  };
  source.onerror = () => {
    pulse("lost", "the manager is away, trying again");
    // A browser gives up on an answer that is no stream; it is asked anew then.
    if (source.readyState === EventSource.CLOSED) setTimeout(start, AGAIN_MS);
  };
}

function lost(error) {
  if (error.status === 401 || error.status === 403) {
    at("monitor").hidden = true;
    at("locked").hidden = false;
    pulse("waiting", "not logged in");
    return false;
  }
  pulse("lost", "the manager is away, trying again");
  return true;
}

async function start() {
  try {
    await readAll();
    follow();
  } catch (error) {
    if (lost(error)) setTimeout(start, AGAIN_MS);
  }
}

// Many events of one moment are drawn once.
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawSums();
    drawList(at("jobs"), [...jobs.values()].sort((a, b) => b.id - a.id), drawJob);
    drawList(at("workers"), [...workers.values()].sort((a, b) => a.name.localeCompare(b.name)), drawWorker);
    at("no-jobs").hidden = jobs.size > 0;
    at("no-workers").hidden = workers.size > 0;
    at("more").hidden = older === null;
  });
}

const isOver = (job) => ["done", "failed", "cancelled"].includes(job.phase);
const isRendering = (worker) => worker.linked && worker.holds.some((held) => held.rendering);

function drawSums() {
  const online = [...workers.values()].filter((worker) => worker.linked);
  const open = [...jobs.values()].filter((job) => !isOver(job));
  at("sum-workers").textContent = `${online.length} of ${workers.size}`;
  at("sum-rendering").textContent = online.filter(isRendering).length;
  at("sum-jobs").textContent = open.length;
  at("sum-frames").textContent = open.reduce((sum, job) => sum + job.frames - job.done - job.failed, 0).toLocaleString();
}

function drawList(list, items, drawItem) {
  const known = new Map([...list.children].map((card) => [card.dataset.id, card]));
  let place = list.firstElementChild;
  for (const item of items) {
    const id = String(item.id);
    const card = known.get(id) ?? newCard(id);
    known.delete(id);
    drawItem(card, item);
    if (card === place) place = place.nextElementSibling;
    else list.insertBefore(card, place);
  }
  for (const gone of known.values()) gone.remove();
}

function part(kind, name, parent) {
  const element = document.createElement(kind);
  element.className = name;
  parent.append(element);
  return element;
}

function newCard(id) {
  const card = document.createElement("li");
  card.className = "card";
  card.dataset.id = id;
  const top = part("div", "top", card);
  for (const name of ["name", "number", "state"]) part("span", name, top);
  return card;
}

function fill(card, texts, state) {
  for (const [name, text] of Object.entries(texts)) {
    const element = card.querySelector(`.${name}`) ?? part("p", name, card);
    if (element.textContent !== text) {
      element.textContent = text;
      element.title = text;
    }
  }
  card.querySelector(".state").dataset.state = state;
}

function drawJob(card, job) {
  if (!card.querySelector(".bar")) {
    const bar = part("div", "bar", card);
    bar.setAttribute("role", "progressbar");
    for (const name of ["done", "busy", "failed"]) part("span", name, bar);
  }
  const bar = card.querySelector(".bar");
  const share = (count) => `${(100 * count) / job.frames}%`;
  // Of a still the parts that workers have done tell more.
  const parts = job.places_done < job.places ? job.places_done / job.places : null;
  bar.querySelector(".done").style.width = job.done === 0 && parts ? `${100 * parts}%` : share(job.done);
  bar.querySelector(".busy").style.width = share(Math.min(job.leased, job.frames - job.done - job.failed));
  bar.querySelector(".failed").style.width = share(job.failed);
  bar.setAttribute("aria-label", `${job.done} of ${job.frames} frames`);
  bar.setAttribute("aria-valuenow", String(Math.round((100 * job.done) / job.frames)));
  const facts = [`${job.done.toLocaleString()} of ${job.frames.toLocaleString()} frames`];
  if (parts !== null) facts.push(`${Math.floor(100 * parts)} % of what is divided among workers`);
  if (job.failed) facts.push(`${job.failed.toLocaleString()} failed`);
  facts.push(job.owner, new Date(job.submitted_at).toLocaleString());
  if (job.build) facts.push(`Blender ${job.build.version}`);
  fill(card, { name: job.settings.name, number: `job ${job.id}`, state: job.phase, facts: facts.join(" · ") }, job.phase);
}

function workerState(worker) {
  if (!worker.linked) return "away";
  if (worker.mode !== "active") return worker.mode;
  return isRendering(worker) ? "rendering" : "ready";
}

function drawWorker(card, worker) {
  const state = workerState(worker);
  const { facts } = worker;
  const about = [];
  if (facts) {
    about.push(`${facts.slots} × ${facts.threads} threads`);
    if (facts.gpus.length) about.push([...new Set(facts.gpus.map((gpu) => gpu.name))].join(", "));
    about.push(facts.builds.length ? `Blender ${facts.builds.map((build) => build.version).join(", ")}` : "no Blender found");
  }
  const now = worker.holds.filter((held) => held.rendering).map((held) => `frame ${held.frame} of job ${held.job}`);
  fill(card, { name: worker.name, number: `worker ${worker.id}`, state, facts: about.join(" · "), now: now.join(", ") || "\u00a0" }, state);
}

at("more").addEventListener("click", () => readOlder().catch(lost));
start();
