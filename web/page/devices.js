// Which devices are there, page by page as the server lists them, and how many there were.
import { attempt, get } from "./api.js";
import { bytes, count, duration, field, h, keyed, replace, select, setText } from "./dom.js";
import { now, setNow, watch } from "./live.js";
import { lines, ticks } from "./plot.js";

const STATES = {
  "": ["any state", {}],
  awake: ["in queue mode, awake", { queue_mode: 1, awake: 1 }],
  asleep: ["asleep", { awake: 0 }],
  unreachable: ["connection ended", { reachable: 0 }],
};
const TRANSPORTS = [
  ["", "any transport"],
  ["udp", "UDP"],
  ["dtls", "DTLS"],
  ["tcp", "TCP"],
  ["tls", "TLS"],
];
const SECURITY = [
  ["", "any security"],
  ["none", "none"],
  ["psk", "PSK"],
  ["x509", "X.509"],
  ["oscore", "OSCORE"],
];
const TYPES = [
  "registered",
  "updated",
  "deregistered",
  "expired",
  "awake",
  "sleeping",
  "address_changed",
  "connection_closed",
  "connection_opened",
  "dtls_failed",
  "rejected",
  "bootstrap_failed",
];
const LOOKS = 12; // how many pages of the server are looked through for one page of a search
const REFRESH_MS = 1000;
const CHANGES_MAX = 5000; // devices whose changes of address are remembered

/** What a person types: part of a name, or of an address; * and ? as they are. */
function pattern(text) {
  return /[*?]/.test(text) ? text : `*${text}*`;
}

function isAddress(text) {
  return /^[0-9*?]+\.[0-9.*?:]*$/.test(text) || /^\[/.test(text);
}

function parametersOf(query) {
  const given = new URLSearchParams({ limit: query.get("limit") ?? 50, traffic: 1 });
  const search = query.get("search")?.trim();
  if (search) given.set(isAddress(search) ? "address" : "endpoint", pattern(search));
  for (const name of ["transport", "security"]) if (query.get(name)) given.set(name, query.get(name));
  for (const [name, value] of Object.entries(STATES[query.get("state") ?? ""]?.[1] ?? {})) given.set(name, value);
  if (query.get("cursor")) given.set("cursor", query.get("cursor"));
  return given;
}

/** A page of devices: the server may give fewer than it has looked through, so ask on until the page is full. */
async function load(query, signal) {
  const given = parametersOf(query);
  const limit = Number(given.get("limit"));
  const items = [];
  let page;
  for (let look = 0; look < LOOKS; look++) {
    given.set("limit", limit - items.length);
    page = await get(`/v1/devices?${given}`, signal);
    items.push(...page.items);
    if (page.next === null || items.length >= limit) break;
    given.set("cursor", page.next);
  }
  return { items, next: page.next };
}

function stateOf(device) {
  if (!device.reachable) return ["gone", "connection ended"];
  if (device.queue_mode) return device.awake ? ["awake", "awake"] : ["asleep", "asleep"];
  return ["there", "registered"];
}

/** "DTLS · PSK · CID" */
export function wayOf(device) {
  const s = device.security;
  const words = [device.transport.toUpperCase()];
  if (s.mode !== "none") words.push({ psk: "PSK", x509: "X.509", oscore: "OSCORE" }[s.mode]);
  if (s.cid) words.push(s.cid_draft ? "draft CID" : "CID");
  if (s.resumed) words.push("resumed");
  if (s.tls_version) words.push(s.tls_version.replace("TLS ", ""));
  if (device.framing === "pelion") words.push("Pelion framing");
  return words.join(" · ");
}

export function ago(iso) {
  const seconds = (now() - new Date(iso).getTime()) / 1000;
  return seconds < 1 ? "now" : `${duration(seconds)} ago`;
}

/** How much of its lifetime is left, 0 to 1, and in words. */
function leftOf(device) {
  if (device.expires_at === null) return [1, "for ever"];
  const left = (new Date(device.expires_at).getTime() - now()) / 1000;
  return [Math.min(1, Math.max(0, left / device.lifetime_s)), left < 0 ? `${duration(-left)} over` : duration(left)];
}

function makeRow() {
  const cells = {
    state: h("td", {}, h("i", { class: "dot" }), h("span")),
    endpoint: h("th", { scope: "row" }, h("a")),
    way: h("td"),
    address: h("td", { class: "mono" }, h("span"), h("small", { class: "moved" })),
    life: h("td", { class: "life" }, h("div", { class: "bar" }, h("i")), h("span")),
    seen: h("td", { class: "num" }),
    version: h("td"),
    traffic: h("td", { class: "num" }),
  };
  const row = h("tr", {}, Object.values(cells));
  row.cells_ = cells;
  return row;
}

function tickRow({ cells_: c, device }) {
  const [left, words] = leftOf(device);
  const bar = c.life.firstChild.firstChild;
  bar.style.width = `${(left * 100).toFixed(1)}%`;
  bar.className = left < 0.1 ? "low" : "";
  setText(c.life.lastChild, words);
  setText(c.seen, ago(device.updated_at));
}

function updateRow(row, device, changes) {
  const c = row.cells_;
  const [state, words] = stateOf(device);
  row.device = device;
  c.state.firstChild.className = `dot ${state}`;
  setText(c.state.lastChild, words);
  const link = c.endpoint.firstChild;
  setText(link, device.endpoint);
  link.href = `#/device/${encodeURIComponent(device.endpoint)}`;
  setText(c.way, wayOf(device));
  c.way.title = [
    device.security.cipher_suite,
    device.security.identity && `identity ${device.security.identity}`,
    device.security.cid && `connection ID ${device.security.cid}`,
  ]
    .filter(Boolean)
    .join("\n");
  setText(c.address.firstChild, device.address);
  const moved = changes.get(device.endpoint);
  setText(c.address.lastChild, moved ? ` moved ${moved.times}×` : "");
  c.address.lastChild.title = moved ? `before: ${moved.previous}` : "";
  setText(c.version, `${device.version} ${device.binding}${device.queue_mode ? " queue" : ""}`);
  setText(c.traffic, `${bytes(device.traffic.bytes_in)} / ${bytes(device.traffic.bytes_out)}`);
  tickRow(row);
}

function headRow() {
  const names = [
    "State",
    "Endpoint",
    "Transport and security",
    "Address",
    "Lifetime left",
    "Last seen",
    "LwM2M",
    "Bytes in / out",
  ];
  return h(
    "thead",
    {},
    h(
      "tr",
      {},
      names.map((name) => h("th", { scope: "col" }, name)),
    ),
  );
}

function go(query, changes) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  location.hash = `#/devices${text ? `?${text}` : ""}`;
}

function filters(query) {
  const value = (name) => query.get(name) ?? "";
  const set = (event) => go(query, { [event.target.name]: event.target.value, cursor: null });
  const search = h("input", {
    type: "search",
    name: "search",
    value: value("search"),
    placeholder: "name, address, * and ?",
    maxlength: 200,
  });
  return h(
    "form",
    {
      class: "filters",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        go(query, { search: search.value.trim(), cursor: null });
      },
    },
    field("Search", search),
    field("Transport", select("transport", TRANSPORTS, value("transport"), { onchange: set })),
    field("Security", select("security", SECURITY, value("security"), { onchange: set })),
    field(
      "State",
      select(
        "state",
        Object.entries(STATES).map(([k, v]) => [k, v[0]]),
        value("state"),
        { onchange: set },
      ),
    ),
    field(
      "Rows",
      select(
        "limit",
        ["25", "50", "100", "200"].map((n) => [n, n]),
        query.get("limit") ?? "50",
        { onchange: set },
      ),
    ),
  );
}

const SUMS = [
  ["registrations", "reg"],
  ["updates", "upd"],
  ["failures", "bad"],
];

function drawCounts(place, counts) {
  const to = new Date(counts.now).getTime();
  const items = counts.items.map((i) => ({ ...i, t: new Date(i.at).getTime() }));
  const from = Math.max(to - 3600000, Math.min(to - 300000, (items[0]?.t ?? to) - 30000)); // a young server: five minutes
  const sum = (name) => items.reduce((total, i) => total + i[name], 0);
  const points = items.map((i) => [i.t, i.devices]);
  if (points.length === 0) points.push([from, counts.devices]); // else nobody knows what was before the first
  points.push([to, counts.devices]);
  replace(
    place,
    h("div", { class: "big" }, h("b", { id: "total" }, count(counts.devices)), " registered"),
    h(
      "div",
      { class: "curves" },
      lines(points, { height: 56, from, to, zero: true, steps: true, label: "Registered devices in the last hour" }),
      ticks(
        SUMS.map(([name, style]) => ({ name: style, items: items.map((i) => [i.t, i[name]]) })),
        {
          height: 18,
          from,
          to,
          step: counts.step_s * 1000,
          label: "Registrations, updates and refusals in the last hour",
        },
      ),
    ),
    h(
      "ul",
      { class: "legend" },
      SUMS.map(([name, style]) =>
        h("li", {}, h("i", { class: style }), `${count(sum(name))} ${name === "failures" ? "refused" : name}`),
      ),
      h("li", { class: "quiet" }, "in the last hour"),
    ),
  );
}

/** How often devices have come from another address, as far as events are kept. */
async function loadChanges(signal) {
  const changes = new Map();
  const page = await get("/v1/events?poll=1&types=address_changed&newest=1000&timeout=0s", signal);
  for (const event of page.items) countChange(changes, event);
  return changes;
}

function countChange(changes, event) {
  const before = changes.get(event.endpoint);
  if (!before && changes.size >= CHANGES_MAX) changes.delete(changes.keys().next().value);
  changes.set(event.endpoint, { times: (before?.times ?? 0) + 1, previous: event.previous });
}

export async function show(place, { query }, signal) {
  const summary = h("section", { class: "card counts", "aria-label": "Counts" });
  const body = h("tbody");
  const pager = h("div", { class: "pager", "aria-live": "polite" });
  const table = h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Devices" },
    h("table", { class: "list" }, headRow(), body),
  );
  replace(place, h("h1", { class: "away" }, "Devices"), summary, filters(query), table, pager);

  let changes = new Map(),
    counts = null;
  const isFiltered = ["search", "transport", "security", "state"].some((name) => query.get(name));

  const refresh = async () => {
    const page = await load(query, signal);
    const { devices } = counts;
    keyed(
      body,
      page.items,
      (d) => d.id,
      makeRow,
      (row, device) => updateRow(row, device, changes),
    );
    const link = (text, cursor) => h("button", { type: "button", onclick: () => go(query, { cursor }) }, text);
    const text = page.items.length
      ? `${count(page.items.length)} shown of ${count(devices)} registered${isFiltered ? " (filtered)" : ""}`
      : isFiltered || query.get("cursor")
        ? "No such device here."
        : "No device is registered. Is it turned away? See Knocking.";
    const key = `${text}|${page.next}`;
    if (pager.dataset.shows !== key) {
      pager.dataset.shows = key;
      replace(
        pager,
        h("span", {}, text),
        query.get("cursor") && link("First page", null),
        page.next !== null && link("Next page", page.next),
      );
    }
  };
  const refreshCounts = async () => {
    counts = await get("/v1/counts", signal);
    setNow(counts.now);
    drawCounts(summary, counts);
  };

  // At most one refresh a second, and none while nothing happens.
  let due = false,
    busy = false;
  const soon = async () => {
    if (busy) {
      due = true;
      return;
    }
    busy = true;
    await attempt(async () => {
      await refreshCounts();
      await refresh();
    });
    await new Promise((done) => setTimeout(done, REFRESH_MS));
    busy = false;
    if (due && !signal.aborted) {
      due = false;
      soon();
    }
  };

  const ticking = setInterval(() => [...body.children].forEach(tickRow), 1000);
  signal.addEventListener("abort", () => clearInterval(ticking));
  await refreshCounts();
  changes = await loadChanges(signal);
  await refresh();
  watch({ types: TYPES }, (events) => {
    for (const event of events) if (event.type === "address_changed") countChange(changes, event);
    soon();
  });
}
