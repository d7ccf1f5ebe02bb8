// Faults for everybody, as they act, and the clock of the protocol.
import { attempt, call, get } from "./api.js";
import { clockText, duration, field, h, replace, setText, toast } from "./dom.js";
import { now, setNow, watch } from "./live.js";
import { orders } from "./orders.js";

const FIRED_MAX = 100;
const LEAPS = [
  ["1m", "1 minute"],
  ["5m", "5 minutes"],
  ["1h", "1 hour"],
  ["1d", "1 day"],
];

function clockCard(signal) {
  const time = h("b", { class: "mono" });
  const leapt = h("span", { class: "quiet" });
  const said = h("p", { role: "status", class: "quiet" });
  const other = h("input", { value: "90s", pattern: "[0-9.]+(ms|s|m|h|d)?", required: true, size: 8 });
  const read = async () => {
    const clock = await get("/v1/clock", signal);
    setNow(clock.now);
    setText(leapt, clock.leapt_s ? `${duration(clock.leapt_s)} ahead of the machine's` : "as the machine has it");
  };
  const leap = (by) =>
    attempt(async () => {
      const { data } = await call("POST", "/v1/clock", { json: { advance: by } });
      setText(
        said,
        `Leapt by ${duration(data.advanced_s)}: ${data.fired} ${data.fired === 1 ? "timer was" : "timers were"} due on the way.`,
      );
      await read();
    });
  const ticking = setInterval(() => setText(time, new Date(now()).toISOString().replace("T", " ").slice(0, 19)), 250);
  signal.addEventListener("abort", () => clearInterval(ticking));
  attempt(read);
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Clock of the protocol"),
    h("p", {}, time, " UTC, ", leapt),
    h(
      "form",
      {
        class: "filters",
        onsubmit: (event) => {
          event.preventDefault();
          leap(other.value);
        },
      },
      LEAPS.map(([by, words]) => h("button", { type: "button", onclick: () => leap(by) }, `+ ${words}`)),
      field("Another leap", other),
      h("button", {}, "Leap"),
    ),
    said,
    h(
      "p",
      { class: "quiet" },
      "Lifetimes, retransmissions and all else that is due on the way happens before a leap is answered. There is no way back.",
    ),
  );
}

function reset(again) {
  const does = (text, scope) =>
    h(
      "button",
      {
        type: "button",
        class: "danger",
        onclick: () =>
          attempt(async () => {
            await call("POST", `/v1/reset?scope=${scope}`);
            toast("Forgotten.");
            await again();
          }),
      },
      text,
    );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "A clean slate"),
    h(
      "div",
      { class: "row" },
      does("Forget events", "events"),
      does("Forget faults", "faults"),
      does("Forget messages", "messages"),
    ),
  );
}

export async function show(place, _route, signal) {
  document.title = "Faults and clock · Berth";
  const panel = h("div", { class: "stack" });
  const fired = h("ol", { class: "fired" });
  replace(
    place,
    h("h1", {}, "Faults and clock"),
    h(
      "div",
      { class: "split" },
      panel,
      h(
        "div",
        { class: "stack" },
        clockCard(signal),
        h(
          "section",
          { class: "card" },
          h("h2", {}, "As they act"),
          h("div", { class: "log", role: "log", "aria-label": "Faults as they act", tabindex: 0 }, fired),
        ),
        reset(() => start()),
      ),
    ),
  );
  const add = (e) => {
    fired.prepend(
      h(
        "li",
        {},
        h("span", { class: "mono" }, clockText(e.ts)),
        " ",
        h("b", {}, e.action),
        ` ${e.message ?? ""} ${e.direction ?? ""} `,
        e.endpoint
          ? h("a", { href: `#/device/${encodeURIComponent(e.endpoint)}/messages` }, e.endpoint)
          : h("span", { class: "quiet" }, e.address ?? ""),
        h("small", {}, ` fault ${e.fault}`),
      ),
    );
    while (fired.children.length > FIRED_MAX) fired.lastElementChild.remove();
  };
  const start = async () => {
    replace(fired);
    const page = await get(`/v1/events?poll=1&types=fault&newest=${FIRED_MAX}&timeout=0s`, signal);
    page.items.forEach(add);
    const list = await orders(panel, null, signal);
    watch({ types: ["fault"], after: page.last }, (events) => {
      events.forEach(add);
      list.told(events);
    });
  };
  await start();
}
