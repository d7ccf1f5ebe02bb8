// Faults: ordering one, the list of those that are ordered, and how often each has acted.
import { attempt, call, device as pathOf, get } from "./api.js";
import { field, h, keyed, replace, select, setText, toast } from "./dom.js";

// What can go wrong: [member, words, how its value is said]
const WHATS = {
  "On the way": [
    ["drop", "lose it", true],
    ["delay", "delay it by", "duration"],
    ["duplicate", "send more copies:", 2],
    ["reorder", "let the next one overtake it", true],
    ["corrupt", "change one byte", true],
    ["truncate", "cut it to so many bytes:", 10],
  ],
  "Messages of the server": [
    ["wrong", "wrong", ["token", "mid"]],
    ["option", "add an empty option:", 65001],
    ["reset", "answer with a Reset", true],
    ["answer", "answer with", "5.03"],
    ["silence", "do not answer, nor its copies", true],
  ],
  "What the server has": [
    ["forget", "forget", ["registration", "dtls-session", "cid", "observations"]],
    ["expire", "let it run out now", true],
    ["close", "close the connection by", ["fin", "rst", "close-notify"]],
  ],
  "What lasts": [
    ["half_open", "neither hear nor send", true],
    ["refuse", "refuse", ["resumption", "handshake"]],
    ["fill", "take no more requests into its", ["queue"]],
    ["time_offset_s", "tell the time wrongly, by seconds:", -31536000],
  ],
};
const ALL = Object.values(WHATS).flat();
const ON = [
  "any",
  "register",
  "update",
  "deregister",
  "bootstrap",
  "send",
  "notify",
  "read",
  "write",
  "execute",
  "create",
  "delete",
  "discover",
  "observe",
  "continue",
  "con",
  "non",
  "ack",
  "rst",
  "request",
  "response",
  "ping",
  "handshake",
  "record",
];
const GATHER_MS = 400;

function what(fault) {
  const [name, words, value] = ALL.find(([member]) => fault[member] !== undefined && fault[member] !== null) ?? [
    "",
    "?",
    true,
  ];
  const shown =
    value === true || (name === "corrupt" && fault.corrupt === true)
      ? ""
      : ` ${fault[name]}${name === "answer" && fault.max_age ? `, Max-Age ${fault.max_age}` : ""}`;
  return `${words}${shown}`;
}

function when(fault) {
  const parts = [
    fault.on && `on ${fault.on}`,
    fault.direction && (fault.direction === "in" ? "from the device" : "to the device"),
    fault.times === null ? "without end" : fault.times > 1 && `${fault.times} times`,
    fault.after && `after ${fault.after}`,
    fault.probability && `${Math.round(fault.probability * 100)} %, seed ${fault.seed}`,
    fault.duration && `for ${fault.duration}`,
  ];
  return parts.filter(Boolean).join(", ");
}

function valueControl(name) {
  const [, , value] = ALL.find(([member]) => member === name);
  if (value === true) return null;
  if (Array.isArray(value))
    return field(
      "Which",
      select(
        "value",
        value.map((v) => [v, v]),
        value[0],
      ),
    );
  if (value === "duration")
    return field("How long", h("input", { name: "value", value: "2s", required: true, pattern: "[0-9.]+(ms|s|m|h)?" }));
  if (name === "answer")
    return field("Code", h("input", { name: "value", value, required: true, pattern: "[245][.][0-3][0-9]" }));
  return field("Number", h("input", { name: "value", value: String(value), required: true, pattern: "-?[0-9]+" }));
}

function orderOf(form) {
  const name = form.get("what");
  const [, , value] = ALL.find(([member]) => member === name);
  const given = form.get("value");
  const order = { [name]: value === true ? true : typeof value === "number" ? Number(given) : given };
  for (const member of ["on", "direction", "duration"]) if (form.get(member)) order[member] = form.get(member);
  if (form.get("times")) order.times = form.get("times") === "null" ? null : Number(form.get("times"));
  if (form.get("after")) order.after = Number(form.get("after"));
  if (form.get("percent")) order.probability = Number(form.get("percent")) / 100;
  if (name === "answer" && form.get("max_age")) order.max_age = Number(form.get("max_age"));
  return order;
}

function orderForm(base, ordered) {
  const value = h("div", { class: "contents" });
  const kinds = h(
    "select",
    {
      name: "what",
      onchange: () =>
        replace(
          value,
          valueControl(kinds.value),
          kinds.value === "answer" && field("Max-Age, s", h("input", { name: "max_age", pattern: "[0-9]*" })),
        ),
    },
    Object.entries(WHATS).map(([group, list]) =>
      h(
        "optgroup",
        { label: group },
        list.map(([name, words]) => h("option", { value: name }, words)),
      ),
    ),
  );
  const number = (name, label, hint) =>
    field(label, h("input", { name, inputmode: "numeric", pattern: "[0-9]*", size: 6 }), hint);
  return h(
    "form",
    {
      class: "form",
      onsubmit: (event) => {
        event.preventDefault();
        attempt(async () => {
          await call("PUT", base, { json: orderOf(new FormData(event.target)) });
          toast("Ordered.");
          await ordered();
        });
      },
    },
    field("What", kinds),
    value,
    field("On", select("on", [["", "as it is"], ...ON.map((o) => [o, o])], "register")),
    field(
      "Direction",
      select(
        "direction",
        [
          ["", "as it is"],
          ["in", "from the device"],
          ["out", "to the device"],
        ],
        "",
      ),
    ),
    field(
      "How often",
      select(
        "times",
        [
          ["", "as it is"],
          ["1", "once"],
          ["2", "twice"],
          ["3", "3 times"],
          ["10", "10 times"],
          ["null", "without end"],
        ],
        "1",
      ),
    ),
    number("after", "After"),
    number("percent", "On so many %"),
    field("For", h("input", { name: "duration", placeholder: "60s", pattern: "[0-9.]+(ms|s|m|h|d)?" })),
    h("div", { class: "row" }, h("button", { class: "primary" }, "Order it")),
  );
}

/** The panel, for all (endpoint null) or one device. */
export async function orders(place, endpoint, signal) {
  const base = endpoint === null ? "/v1/faults" : pathOf(endpoint, "/faults");
  const rows = h("tbody");
  const none = h("p", { class: "quiet" }, "Nothing is ordered to go wrong.");
  const table = h(
    "div",
    { class: "over" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["", "What", "When", "Whose", "Seen", "Acted", ""].map((t) =>
            h(t ? "th" : "td", t ? { scope: "col" } : {}, t),
          ),
        ),
      ),
      rows,
    ),
  );
  const refresh = async () => {
    const { items } = await get(base, signal);
    none.hidden = items.length > 0;
    table.hidden = items.length === 0;
    keyed(
      rows,
      [...items].reverse().slice(0, 200),
      (f) => f.id,
      (f) =>
        h(
          "tr",
          {},
          h("td", {}, h("i", { class: "dot" })),
          h("th", { scope: "row" }, what(f)),
          h("td", {}, when(f)),
          h("td", {}, f.endpoint ?? "everybody's"),
          h("td", { class: "num" }),
          h("td", { class: "num acted" }),
          h(
            "td",
            {},
            h(
              "button",
              {
                type: "button",
                class: "small",
                "aria-label": `Remove fault ${f.id}`,
                onclick: () =>
                  attempt(async () => {
                    await call("DELETE", `/v1/faults/${f.id}`);
                    await refresh();
                  }),
              },
              "Remove",
            ),
          ),
        ),
      (row, f) => {
        const [dot, , , , seen, acted] = row.children;
        row.className = f.active ? "" : "over-now";
        dot.title = f.active ? "active" : "over";
        dot.firstChild.className = `dot ${f.active ? "there" : ""}`;
        setText(seen, String(f.seen));
        if (acted.textContent !== String(f.fired) && acted.textContent !== "")
          acted.animate?.([{ background: "var(--warn)" }, { background: "transparent" }], 1200);
        setText(acted, String(f.fired));
      },
    );
  };
  replace(
    place,
    h(
      "section",
      { class: "card" },
      h(
        "h2",
        {},
        endpoint === null ? "Let something go wrong, for every device" : "Let something go wrong for this device",
      ),
      orderForm(base, refresh),
    ),
    h(
      "section",
      { class: "card" },
      h(
        "div",
        { class: "spread" },
        h("h2", {}, "Ordered"),
        h(
          "button",
          {
            type: "button",
            class: "small",
            onclick: () =>
              attempt(async () => {
                await call("DELETE", base);
                await refresh();
              }),
          },
          endpoint === null ? "Clear all" : "Clear this device's",
        ),
      ),
      none,
      table,
    ),
  );
  await refresh();
  let timer;
  return {
    told: (events) => {
      if (!events.some((event) => event.type === "fault")) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        attempt(refresh);
      }, GATHER_MS);
    },
  };
}

/** The tab of a device; it need not be registered. */
export function showFor(place, { endpoint }, signal) {
  return orders(place, endpoint, signal);
}
