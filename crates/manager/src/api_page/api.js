// The API's page: the document that the manager gives, to be read and tried. It holds no credentials: `tessera web` adds them on the way.
// Everything that comes from the manager is put in as text, never as markup.

const at = (id) => document.getElementById(id);

function make(kind, attributes, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) element[name] = value;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Of Markdown only what the document uses: paragraphs, `code`, **strong** and *words that stand out*.
function prose(text) {
  const inline = (part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    if (part.startsWith("*")) return make("em", {}, part.slice(1, -1));
    return part;
  };
  const paragraphs = (text ?? "").split("\n\n").filter(Boolean);
  return paragraphs.map((paragraph) => make("p", {}, ...paragraph.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*)/).filter(Boolean).map(inline)));
}

const nameOf = (reference) => reference.split("/").pop();

// A type in a line: its name where it has one, its form where it has none.
function typeLine(schema) {
  if (schema === true || schema === undefined) return ["anything"];
  if (schema.$ref) return [make("a", { href: `#type-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  if ("const" in schema) return [make("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return [make("code", {}, schema.enum.map((value) => JSON.stringify(value)).join(" | "))];
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.flatMap((choice, index) => (index ? [" | ", ...typeLine(choice)] : typeLine(choice)));
  const kinds = [schema.type ?? "anything"].flat().join(" | ");
  if (kinds.includes("array") && schema.items) return [...typeLine(schema.items), "[]"];
  if (kinds.includes("object") && schema.additionalProperties instanceof Object) return ["{ name: ", ...typeLine(schema.additionalProperties), " }"];
  return [schema.format ? `${kinds} (${schema.format})` : kinds];
}

function row(name, schema, isRequired, text) {
  const type = make("span", { className: "type" }, ...typeLine(schema), isRequired ? "" : ", may be left out");
  return make("tr", {}, make("td", {}, make("code", {}, name)), make("td", {}, type, ...prose(text)));
}

function members(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, member]) => row(name, member, required.has(name), member.description));
  return rows.length ? [make("table", {}, ...rows)] : [];
}

function typeBody(schema) {
  const choices = schema.oneOf ?? schema.anyOf ?? [];
  const plain = choices.length || schema.properties ? [] : [make("p", {}, ...typeLine(schema))];
  const pattern = schema.pattern ? [make("p", {}, "as ", make("code", {}, schema.pattern))] : [];
  const chosen = choices.flatMap((choice) => (choice.properties ? [make("h3", {}, "either"), ...prose(choice.description), ...members(choice)] : [make("p", {}, ...typeLine(choice)), ...prose(choice.description)]));
  return [...prose(schema.description), ...plain, ...pattern, ...members(schema), ...chosen];
}

function bodies(content) {
  return Object.entries(content ?? {}).map(([media, { schema, "x-event": event }]) => make("p", {}, make("code", {}, media), schema || event ? " of " : "", ...(event ?? schema ? typeLine(event ?? schema) : [])));
}

// What only reads may be tried here; what changes something is better done on purpose.
function trial(path, operation) {
  const fields = (operation.parameters ?? []).map((parameter) => ({ parameter, input: make("input", { required: parameter.required, placeholder: parameter.schema.default ?? "" }) }));
  const answer = make("pre", { hidden: true });
  const form = make("form", {}, ...fields.map(({ parameter, input }) => make("label", {}, parameter.name, input)), make("button", {}, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of fields) {
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(parameter.name, input.value);
    }
    if (query.size) url += `?${query}`;
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const response = await fetch(url);
      const text = await response.text();
      const isJson = /json/.test(response.headers.get("content-type") ?? "");
      answer.textContent = `GET ${url}\n${response.status} ${response.statusText}\n\n${isJson ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
    } catch (error) {
      answer.textContent = `GET ${url}\n${error}`;
    }
  });
  return [make("h3", {}, "Try it"), form, answer];
}

function route(method, path, operation) {
  const answered = Object.entries(operation.responses).filter(([status]) => status < "4");
  const parameters = (operation.parameters ?? []).map((parameter) => row(parameter.name, parameter.schema, parameter.required, parameter.description));
  const canBeTried = method === "get" && operation["x-role"] !== "worker" && answered.some(([, { content }]) => content?.["application/json"] || content?.["text/plain; charset=utf-8"]);
  return make(
    "details",
    { id: operation.operationId },
    make("summary", {}, make("span", { className: "method" }, method.toUpperCase()), make("code", {}, path), make("span", { className: "says" }, operation.summary), make("span", { className: "role" }, operation["x-role"])),
    ...prose(operation.description),
    ...(parameters.length ? [make("h3", {}, "Parameters"), make("table", {}, ...parameters)] : []),
    ...(operation.requestBody ? [make("h3", {}, "Takes"), ...prose(operation.requestBody.description), ...bodies(operation.requestBody.content)] : []),
    make("h3", {}, "Answers"),
    ...answered.flatMap(([status, { description, content }]) => [make("p", {}, make("code", {}, status), " ", description), ...bodies(content)]),
    ...(canBeTried ? trial(path, operation) : []),
  );
}

function draw(api) {
  at("title").textContent = `${api.info.title} API ${api.info.version}`;
  at("about").append(...prose(api.info.description));
  for (const tag of api.tags) {
    const found = Object.entries(api.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ method, path, operation })));
    const own = found.filter(({ operation }) => operation.tags.includes(tag.name));
    const cards = own.map(({ method, path, operation }) => route(method, path, operation));
    at("routes").append(make("section", {}, make("h2", {}, tag.name), ...prose(tag.description), ...cards));
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    at("types").append(make("details", { id: `type-${name}` }, make("summary", {}, make("code", {}, name)), ...typeBody(schema)));
  }
}

// A link leads to something that is closed: it is opened on the way.
function openTarget() {
  const target = at(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

function search() {
  const wanted = at("search").value.trim().toLowerCase();
  for (const card of document.querySelectorAll("details")) {
    card.hidden = !card.querySelector("summary").textContent.toLowerCase().includes(wanted);
  }
}

async function start() {
  const response = await fetch("/api/v1/openapi.json");
  if (!response.ok) {
    throw new Error(response.status === 401 ? "This page holds no password: `tessera web` opens it logged in, at /assets/api.html." : `The manager answers ${response.status}.`);
  }
  draw(await response.json());
  at("search").addEventListener("input", search);
  addEventListener("hashchange", openTarget);
  openTarget();
}

start().catch((error) => {
  at("fault").textContent = error.message;
  at("fault").hidden = false;
});
