// The objects of a device as a tree, with what their definitions say, and every operation on them.
import { attempt, bodyOf as answerOf, call, device as pathOf, fetchWithKey, get, Problem } from "./api.js";
import { ask, clockText, field, h, replace, select, setText, toast } from "./dom.js";
import { lines } from "./plot.js";
import { bodyOf, control, flatten, HINTS, valueText } from "./values.js";

const FORMATS = ["text", "opaque", "cbor", "tlv", "senml-json", "senml-cbor", "lwm2m-cbor", "json", "none"];
const ATTRIBUTES = ["pmin", "pmax", "gt", "lt", "st", "epmin", "epmax", "edge", "con", "hqmax"];
const ANSWERS_MAX = 50;
const POINTS_MAX = 300;
const SERIES_MAX = 50;
const PAYLOAD_SHOWN = 4000; // characters
const VALUES_MAX = 5000; // kept for when the tree is drawn anew

const definitions = new Map();

/** The definition of an object in a version, or its newest one; null when nobody knows it. */
function definition(id, version) {
  const key = `${id}/${version}`;
  if (!definitions.has(key)) {
    if (definitions.size > 200) definitions.clear();
    definitions.set(
      key,
      get(`/v1/objects/${id}/${version ?? "x"}`)
        .catch(() => get(`/v1/objects/${id}`))
        .catch(() => null),
    );
  }
  return definitions.get(key);
}

/** [{id, version, instances: [id, …]}, …] of what was announced. */
function objectsOf(device) {
  const objects = new Map();
  for (const { path, version } of device.objects) {
    const [, object, instance] = path.split("/").map(Number);
    if (Number.isNaN(object)) continue;
    if (!objects.has(object)) objects.set(object, { id: object, version, instances: [] });
    if (instance !== undefined) objects.get(object).instances.push(instance);
  }
  return [...objects.values()].sort((a, b) => a.id - b.id);
}

class Objects {
  constructor(place, { endpoint, device, query }, signal) {
    Object.assign(this, { endpoint, device, query, signal });
    this.cells = new Map(); // path of a resource → its cell
    this.series = new Map(); // path → [[ms, number], …]
    this.known = new Map(); // path → what was told of it last
    this.waiting = new Map(); // number of a queued request → what it was
    this.format = select("format", [["", "chosen by Berth"], ...FORMATS.map((f) => [f, f])], "");
    this.force = h("input", { type: "checkbox" });
    this.queued = h("input", { type: "checkbox", checked: device.queue_mode && !device.awake });
    this.log = h("ol", { class: "answers" });
    this.observed = h("div");
    this.tree = h("div", { class: "tree" });
    replace(place, h("div", { class: "split" }, h("div", { class: "stack" }, this.options(), this.tree), this.side()));
  }

  options() {
    const box = (input, text, title) => h("label", { class: "check", title }, input, text);
    return h(
      "div",
      { class: "card row tools" },
      field("Content format", this.format),
      box(this.force, "force", "Send it although the standard or the device's version does not allow it"),
      box(this.queued, "when awake", "Put it into the device's queue (Prefer: respond-async)"),
    );
  }

  side() {
    return h(
      "div",
      { class: "stack side" },
      h(
        "section",
        { class: "card", "aria-label": "Answers" },
        h("h2", {}, "Answers"),
        h("div", { class: "log", role: "log", "aria-label": "Answers", tabindex: 0 }, this.log),
      ),
      h("section", { class: "card", "aria-label": "Observed" }, h("h2", {}, "Observed"), this.observed),
      this.composite(),
    );
  }

  // ---- asking ----

  target(path, rest = "", names = false) {
    const query = new URLSearchParams();
    if (this.format.value && !["/discover", "/attributes"].includes(rest)) query.set("format", this.format.value);
    if (this.force.checked) query.set("force", 1);
    if (names) query.set("names", 1);
    const text = query.toString();
    return pathOf(this.endpoint, `${path}${rest}${text ? `?${text}` : ""}`);
  }

  /** Do a request and show its answer. Returns {data, …}, or undefined when it failed. */
  async ask(what, method, target, options = {}) {
    const headers = this.queued.checked ? { Prefer: "respond-async" } : {};
    try {
      const answer = await call(method, target, { ...options, headers });
      if (answer.status === 202 && answer.data?.id) {
        if (this.waiting.size < 1000) this.waiting.set(answer.data.id, what);
        this.answer(what, { code: `queued #${answer.data.id}`, ms: answer.ms });
        return undefined;
      }
      this.answer(what, answer);
      return answer;
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      if (!(error instanceof Problem)) toast(error.message, true);
      else this.answer(what, error, error);
      return undefined;
    }
  }

  answer(what, { code, status, ms, format, data, warning }, problem) {
    const is = problem ? "bad" : "good";
    const text = problem
      ? problem.problem.diagnostic || problem.message
      : data === null || data === undefined
        ? ""
        : JSON.stringify(data, null, 1);
    const shown = text.length > PAYLOAD_SHOWN ? `${text.slice(0, PAYLOAD_SHOWN)}…` : text;
    this.log.prepend(
      h(
        "li",
        {},
        h(
          "div",
          { class: "spread" },
          h(
            "span",
            {},
            h("b", { class: `code ${is}` }, code ?? `HTTP ${status}`),
            " ",
            h("span", { class: "mono" }, what),
          ),
          h("small", {}, `${ms} ms${format ? ` · ${format}` : ""} · ${clockText(new Date().toISOString(), false)}`),
        ),
        problem && problem.kind !== "device-error" && h("small", {}, problem.kind),
        warning && h("p", { class: "warn" }, warning),
        shown &&
          (shown.length > 90
            ? h("details", {}, h("summary", {}, `${text.length} characters`), h("pre", {}, shown))
            : h("pre", {}, shown)),
      ),
    );
    while (this.log.children.length > ANSWERS_MAX) this.log.lastElementChild.remove();
  }

  async read(path) {
    const answer = await this.ask(`Read ${path}`, "GET", this.target(path));
    if (answer) this.values(answer.data);
  }

  values(data) {
    for (const [path, value] of flatten(data)) this.value(path, value);
  }

  value(path, data) {
    this.known.delete(path);
    this.known.set(path, data);
    if (this.known.size > VALUES_MAX) this.known.delete(this.known.keys().next().value);
    this.fill(path, data);
  }

  fill(path, data) {
    const cell = this.cells.get(path);
    if (!cell) return;
    setText(cell, valueText(data));
    cell.closest("tr").classList.add("known");
    cell.typed = data.value;
    cell.animate?.([{ background: "var(--tint)" }, { background: "transparent" }], 900);
  }

  async write(path, resource) {
    const multiple = resource?.instances === "multiple";
    const type = resource?.type ?? "string";
    const typed = this.cells.get(path)?.typed;
    const known = ["string", "number", "boolean"].includes(typeof typed) && type !== "time" ? typed : undefined;
    const form = await ask(
      `Write ${path}${resource ? ` ${resource.name}` : ""}`,
      [
        field(
          `${type}${resource?.units ? `, ${resource.units}` : ""}${resource?.range ? `, ${resource.range}` : ""}`,
          control(type, multiple, known),
          multiple ? 'JSON: values by instance, {"0": 1, "1": 2}' : HINTS[type],
        ),
      ],
      { yes: "Write" },
    );
    if (!form) return;
    const answer = await this.ask(`Write ${path}`, "PUT", this.target(path), {
      body: bodyOf(type, multiple, form.get("value")),
      type: "application/json",
    });
    if (answer && resource?.operations?.includes("R")) await this.read(path);
  }

  async execute(path, resource) {
    const form = await ask(
      `Execute ${path}${resource ? ` ${resource.name}` : ""}`,
      [field("Arguments", h("input", { name: "args", placeholder: "0='abc',1" }), "may be left out")],
      { yes: "Execute" },
    );
    if (form)
      await this.ask(`Execute ${path}`, "POST", this.target(path), {
        json: form.get("args") ? { args: form.get("args") } : {},
      });
  }

  async observe(path) {
    const answer = await this.ask(`Observe ${path}`, "PUT", this.target(path, "/observe"));
    if (answer) this.values(answer.data);
    await this.loadObservations();
  }

  async attributes(path) {
    const form = await ask(
      `Write-Attributes ${path}`,
      [
        h("p", { class: "quiet" }, "Empty: left as it is. A dash unsets it."),
        h(
          "div",
          { class: "form" },
          ATTRIBUTES.map((name) => field(name, h("input", { name, pattern: "-|-?[0-9.]+" }))),
        ),
      ],
      { yes: "Write" },
    );
    if (!form) return;
    const set = [...form]
      .filter(([, value]) => value !== "")
      .map(([name, value]) => [name, value === "-" ? null : Number(value)]);
    await this.ask(`Write-Attributes ${path}`, "PUT", this.target(path, "/attributes"), {
      json: Object.fromEntries(set),
    });
  }

  async create(object) {
    const form = await ask(
      `Create an instance of /${object}`,
      [
        field(
          "Instance",
          h("input", { name: "instance", inputmode: "numeric", pattern: "[0-9]{1,5}" }),
          "empty: the device chooses",
        ),
        field(
          "Resources",
          h("textarea", { name: "resources", value: "{}", spellcheck: "false" }),
          'JSON: {"0": "text", "1": 5, "2": {"values": {"0": 1}}}',
        ),
      ],
      { yes: "Create" },
    );
    if (!form) return;
    const instance = form.get("instance") === "" ? "" : `"instance":${Number(form.get("instance"))},`;
    const answer = await this.ask(`Create /${object}`, "POST", this.target(`/${object}`), {
      body: `{${instance}"resources":${form.get("resources")}}`,
      type: "application/json",
    });
    if (answer) toast("Created. The device tells of it with its next Update.");
  }

  async remove(path) {
    if (await ask(`Delete ${path}?`, [], { yes: "Delete", danger: true }))
      await this.ask(`Delete ${path}`, "DELETE", this.target(path));
  }

  async discover(path) {
    const answer = await this.ask(`Discover ${path}`, "GET", this.target(path, "/discover"));
    for (const { path: found, attributes } of answer?.data.links ?? []) {
      const cell = this.cells.get(found);
      if (!cell) continue;
      cell.closest("tr").classList.add("known");
      const text = Object.entries(attributes)
        .map(([k, v]) => (v === true ? k : `${k}=${v}`))
        .join(" ");
      setText(cell.closest("tr").querySelector(".attributes"), text);
    }
  }

  // ---- the tree ----

  async draw() {
    const objects = objectsOf(this.device);
    this.drawn = JSON.stringify(objects);
    const known = await Promise.all(objects.map((o) => definition(o.id, o.version)));
    if (this.signal.aborted) return;
    this.cells.clear();
    replace(
      this.tree,
      objects.map((o, i) => this.objectOf(o, known[i])),
    );
    for (const [path, data] of this.known) this.fill(path, data);
    if (objects.length === 0) replace(this.tree, h("p", { class: "empty" }, "It has announced no objects."));
    await this.loadObservations();
  }

  /** Its Update has told of other objects, perhaps. */
  async changed(device) {
    this.device = device;
    if (JSON.stringify(objectsOf(device)) === this.drawn) return;
    this.query.set("open", this.opened().join(","));
    await this.draw();
  }

  opened() {
    return [...this.tree.querySelectorAll("details[open][data-path]")].map((details) => details.dataset.path);
  }

  button(text, label, work) {
    return h("button", { type: "button", class: "small", "aria-label": label, onclick: () => attempt(work) }, text);
  }

  objectOf({ id, version, instances }, known) {
    const path = `/${id}`;
    const name = known?.name ?? "Object without a definition";
    return h(
      "section",
      { class: "card object", "aria-label": `${path} ${name}` },
      h(
        "div",
        { class: "spread" },
        h("h2", {}, h("span", { class: "mono" }, path), ` ${name} `, h("small", {}, version ?? "")),
        h(
          "div",
          { class: "row" },
          this.button("Read", `Read ${path}`, () => this.read(path)),
          this.button("Observe", `Observe ${path}`, () => this.observe(path)),
          this.button("Discover", `Discover ${path}`, () => this.discover(path)),
          this.button("Attributes", `Attributes of ${path}`, () => this.attributes(path)),
          known?.instances !== "single" &&
            this.button("Create", `Create an instance of ${path}`, () => this.create(id)),
        ),
      ),
      instances.map((instance) => this.instanceOf(`${path}/${instance}`, known)),
    );
  }

  instanceOf(path, known) {
    const opened = (this.query.get("open") ?? "/3/0").split(",");
    const rows = h("tbody");
    const details = h(
      "details",
      { open: opened.includes(path), dataset: { path } },
      h("summary", {}, h("span", { class: "mono" }, path)),
      h(
        "div",
        { class: "row tools" },
        this.button("Read", `Read ${path}`, () => this.read(path)),
        this.button("Observe", `Observe ${path}`, () => this.observe(path)),
        this.button("Discover", `Discover ${path}`, () => this.discover(path)),
        this.button("Attributes", `Attributes of ${path}`, () => this.attributes(path)),
        this.button("Delete", `Delete ${path}`, () => this.remove(path)),
      ),
      h(
        "div",
        { class: "over" },
        h(
          "table",
          { class: "resources" },
          h(
            "thead",
            { class: "away" },
            h(
              "tr",
              {},
              ["ID", "Name", "Value", "Operations"].map((t) => h("th", { scope: "col" }, t)),
            ),
          ),
          rows,
        ),
      ),
    );
    for (const resource of known?.resources ?? []) rows.append(this.resourceOf(`${path}/${resource.id}`, resource));
    if (!known) rows.append(this.resourceOf(`${path}/0`, null));
    details.addEventListener("toggle", () => this.remember());
    return details;
  }

  /** Which instances are open is part of the address, unless that is another panel's by now: `toggle` comes late. */
  remember() {
    const open = this.opened();
    const device = `#/device/${encodeURIComponent(this.endpoint)}`;
    const base = `${device}/objects`;
    if (![device, base].includes(location.hash.split("?")[0])) return;
    history.replaceState(
      null,
      "",
      open.length === 1 && open[0] === "/3/0" ? base : `${base}?open=${open.slice(0, 20).join(",")}`,
    );
  }

  resourceOf(path, resource) {
    const may = (letter) =>
      resource?.operations === null || resource?.operations === undefined || resource.operations.includes(letter);
    const cell = h("td", { class: "value" }, "—");
    this.cells.set(path, cell);
    const id = path.split("/")[3];
    const type = [resource?.type, resource?.instances === "multiple" && "multiple", resource?.range]
      .filter(Boolean)
      .join(", ");
    return h(
      "tr",
      {},
      h("td", { class: "mono num", title: path }, id),
      h(
        "th",
        { scope: "row" },
        resource?.name ?? "Resource",
        h("small", { title: type }, ` ${resource?.type ?? ""}${resource?.units ? ` ${resource.units}` : ""}`),
        h("small", { class: "attributes" }),
      ),
      cell,
      h(
        "td",
        {},
        h(
          "div",
          { class: "row tight" },
          may("R") && this.button("Read", `Read ${path}`, () => this.read(path)),
          may("R") && this.button("Observe", `Observe ${path}`, () => this.observe(path)),
          may("W") && this.button("Write", `Write ${path}`, () => this.write(path, resource)),
          may("E") && this.button("Execute", `Execute ${path}`, () => this.execute(path, resource)),
          may("R") && this.button("…", `Attributes of ${path}`, () => this.attributes(path)),
        ),
      ),
    );
  }

  // ---- observations ----

  async loadObservations() {
    const page = await get(pathOf(this.endpoint, "/observations?limit=100"), this.signal).catch((error) => {
      if (error.name === "AbortError") throw error;
      return { items: [] };
    });
    this.observations = page.items;
    for (const { last } of page.items) if (last) this.values(last);
    this.drawObservations();
  }

  drawObservations() {
    if (!this.observations.length) {
      replace(
        this.observed,
        h(
          "p",
          { class: "quiet" },
          "Nothing yet. Observe a resource, an instance or an object: numbers are drawn here as they come.",
        ),
      );
      return;
    }
    replace(
      this.observed,
      this.observations.map((o) =>
        h(
          "div",
          { class: "observation", dataset: { id: o.id } },
          h(
            "div",
            { class: "spread" },
            h("span", { class: "mono" }, o.paths.join(" ")),
            h(
              "span",
              { class: "row" },
              h("small", {}, `${o.notifications} told, ${o.state}`),
              !o.auto &&
                this.button("Cancel", `Cancel observation of ${o.paths.join(", ")}`, async () => {
                  await this.ask(
                    `Cancel ${o.paths.join(" ")}`,
                    "DELETE",
                    pathOf(this.endpoint, `/observations/${o.id}`),
                  );
                  await this.loadObservations();
                }),
            ),
          ),
          [...this.series]
            .filter(
              ([path, points]) => points.length > 1 && o.paths.some((p) => path === p || path.startsWith(`${p}/`)),
            )
            .slice(0, 6)
            .map(([path, points]) =>
              h(
                "figure",
                {},
                h("figcaption", {}, h("span", { class: "mono" }, path), ` now ${points.at(-1)[1]}`),
                lines(points, { height: 90, label: `${path} over time` }),
              ),
            ),
        ),
      ),
    );
  }

  told(events) {
    let again = false;
    for (const event of events) {
      if (event.type === "notification" || event.type === "send") this.point(event);
      if (event.type === "observe_started" || event.type === "observe_ended") again = true;
      if (event.type === "request_completed") this.completed(event);
      const observation = event.observation && this.observations?.find((o) => o.id === event.observation);
      if (observation && event.type === "notification") observation.notifications++;
    }
    if (again) attempt(() => this.loadObservations());
    else if (this.observations?.length && events.some((e) => e.type === "notification")) this.drawObservations();
  }

  point(event) {
    if (event.path === undefined || event.value === undefined) return;
    const base = event.path.split("/").slice(0, 4).join("/");
    if (base === event.path) this.value(base, { type: event.value_type, value: event.value });
    if (typeof event.value !== "number") return;
    if (!this.series.has(event.path) && this.series.size >= SERIES_MAX) return;
    const points = this.series.get(event.path) ?? [];
    points.push([new Date(event.ts).getTime(), event.value]);
    if (points.length > POINTS_MAX) points.shift();
    this.series.set(event.path, points);
  }

  /** What waited in the queue is over: show the answer it has got. */
  async completed({ request }) {
    const what = this.waiting.get(request);
    if (!what) return;
    this.waiting.delete(request);
    const answer = await fetchWithKey(`/v1/requests/${request}/response`);
    const data = await answerOf(answer);
    const facts = { status: answer.status, code: answer.headers.get("CoAP-Code") ?? data?.coap_code, ms: 0, data };
    if (answer.ok) {
      this.answer(`${what} (#${request})`, facts);
      if (data) this.values(data);
    } else {
      this.answer(`${what} (#${request})`, facts, new Problem(answer.status, data ?? {}, facts));
    }
  }

  // ---- several at once ----

  composite() {
    const paths = h("textarea", { value: "/3/0/9\n/1/0", spellcheck: "false" });
    const values = h("textarea", { value: '{"/3/0/14": "+01:00"}', spellcheck: "false" });
    const list = () => ({ paths: paths.value.split(/[\s,]+/).filter(Boolean) });
    const does = (text, label, what, rest, options) =>
      this.button(text, label, async () => {
        const answer = await this.ask(what, "POST", this.target("", `/composite/${rest}`), options());
        if (answer?.data) this.values(answer.data);
        if (rest === "observe") await this.loadObservations();
      });
    return h(
      "section",
      { class: "card", "aria-label": "Composite operations" },
      h(
        "details",
        {},
        h("summary", {}, h("b", {}, "Several at once (composite)")),
        field("Paths, one a line", paths),
        h(
          "div",
          { class: "row tools" },
          does("Read-Composite", "Read-Composite", "Read-Composite", "read", () => ({ json: list() })),
          does("Observe-Composite", "Observe-Composite", "Observe-Composite", "observe", () => ({ json: list() })),
        ),
        field("Values by path, JSON", values),
        h(
          "div",
          { class: "row tools" },
          does("Write-Composite", "Write-Composite", "Write-Composite", "write", () => ({
            body: values.value,
            type: "application/json",
          })),
        ),
      ),
    );
  }
}

export async function showFor(place, given, signal) {
  const objects = new Objects(place, given, signal);
  await objects.draw();
  return { told: (events) => objects.told(events), changed: (device) => objects.changed(device) };
}
