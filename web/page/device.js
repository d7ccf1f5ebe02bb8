// One device: who it is, and what can be done with it, a tab each.
import { attempt, call, device as pathOf, get, server } from "./api.js";
import { ago, wayOf } from "./devices.js";
import { ask, duration, h, replace, setText, toast } from "./dom.js";
import { now, setNow, watch } from "./live.js";

const TABS = [
  ["objects", "Objects", () => import("./objects.js")],
  ["messages", "Messages", () => import("./ladder.js")],
  ["cost", "Cost", () => import("./cost.js")],
  ["firmware", "Firmware", () => import("./firmware.js")],
  ["faults", "Faults", () => import("./orders.js")],
];
const LIFE = [
  "registered",
  "replaced",
  "updated",
  "deregistered",
  "expired",
  "awake",
  "sleeping",
  "address_changed",
  "connection_opened",
  "connection_closed",
  "dtls_handshake",
  "dtls_resumed",
];

function fact(name, value, title) {
  return h("div", {}, h("dt", {}, name), h("dd", { title }, value));
}

function lifetime(d) {
  if (d.expires_at === null) return "for ever";
  const left = (new Date(d.expires_at).getTime() - now()) / 1000;
  return left < 0
    ? `${duration(d.lifetime_s)}, over for ${duration(-left)}`
    : `${duration(left)} of ${duration(d.lifetime_s)}`;
}

function drawFacts(place, d) {
  const s = d.security;
  replace(
    place,
    fact("Transport", wayOf(d), s.cipher_suite),
    fact("Address", h("span", { class: "mono" }, d.address)),
    s.identity && fact("Identity", h("span", { class: "mono" }, s.identity)),
    s.cid &&
      fact("Connection ID", h("span", { class: "mono" }, s.cid), s.cid_draft ? "as the draft has it" : "RFC 9146"),
    fact("Lifetime left", lifetime(d)),
    fact("Last seen", ago(d.updated_at), d.updated_at),
    fact("Registered", ago(d.registered_at), d.registered_at),
    fact("LwM2M", `${d.version}, binding ${d.binding}${d.queue_mode ? ", queue mode" : ""}`),
    fact("Location", h("span", { class: "mono" }, d.location)),
    ...Object.entries(d.parameters)
      .slice(0, 8)
      .map(([name, value]) => fact(name, String(value))),
  );
}

function stateText(d) {
  if (!d.reachable) return "registered, its connection has ended";
  if (d.queue_mode) return d.awake ? "registered, awake" : "registered, asleep: what is asked waits in its queue";
  return "registered";
}

function actions(endpoint, again) {
  const does = (text, title, work) => h("button", { type: "button", title, onclick: () => attempt(work) }, text);
  return h(
    "div",
    { class: "row" },
    does("Ping", "A CoAP ping: is it there?", async () => {
      const { data } = await call("POST", pathOf(endpoint, "/ping"));
      toast(
        `It answered after ${data.rtt_ms} ms${data.retransmissions ? `, ${data.retransmissions} retransmissions` : ""}.`,
      );
    }),
    does("Ask for an Update", "Registration Update Trigger, 1/x/8", async () => {
      await call("POST", pathOf(endpoint, "/update?wait=1&timeout=30s"), { json: {} });
      toast("Its Update has come.");
    }),
    does("Ask to bootstrap", "Bootstrap-Request Trigger, 1/x/9", async () => {
      await call("POST", pathOf(endpoint, "/bootstrap"), { json: {} });
      toast("It was told to bootstrap.");
    }),
    h(
      "button",
      {
        type: "button",
        class: "danger",
        title: "Its next Update is answered 4.04",
        onclick: async () => {
          if (
            !(await ask(
              `Forget the registration of ${endpoint}?`,
              [h("p", {}, "Its next Update is answered 4.04, and it has to register anew.")],
              { yes: "Forget", danger: true },
            ))
          )
            return;
          await attempt(() => call("DELETE", pathOf(endpoint)));
          again();
        },
      },
      "Forget",
    ),
  );
}

function absent(endpoint) {
  const link = (href, text) => h("a", { href }, text);
  return h(
    "div",
    { class: "empty" },
    h("p", {}, `${endpoint} is not registered now. This page shows it as soon as it is.`),
    h(
      "p",
      {},
      "Was it turned away? See ",
      link("#/knocking", "who has knocked"),
      ". Does it have a key? See ",
      link(`#/credentials?endpoint=${encodeURIComponent(endpoint)}`, "its credentials"),
      ". Faults can be ordered ",
      link(`#/device/${encodeURIComponent(endpoint)}/faults`, "before it registers"),
      ".",
    ),
  );
}

export async function show(place, { args, query }, signal) {
  const [endpoint, wanted = "objects"] = args;
  const [name, , load] = TABS.find(([key]) => key === wanted) ?? TABS[0];
  document.title = `${endpoint} · Berth`;
  const state = h("p", { class: "quiet", id: "state", role: "status" });
  const facts = h("dl", { class: "facts" });
  const buttons = h("div");
  const body = h("div", { class: "tab" });
  replace(
    place,
    h(
      "section",
      { class: "card" },
      h("div", { class: "spread" }, h("div", {}, h("h1", {}, endpoint), state), buttons),
      facts,
    ),
    h(
      "nav",
      { class: "tabs", "aria-label": "Of this device" },
      TABS.map(([key, text]) =>
        h(
          "a",
          { href: `#/device/${encodeURIComponent(endpoint)}/${key}`, "aria-current": key === name && "page" },
          text,
        ),
      ),
    ),
    body,
  );

  let current = null,
    tab = null;
  const again = async () => {
    const before = current;
    try {
      current = await get(pathOf(endpoint), signal);
    } catch (error) {
      if (error.kind !== "not-registered") throw error;
      current = null;
    }
    if (current) {
      setText(state, stateText(current));
      drawFacts(facts, current);
      if (!before)
        replace(
          buttons,
          actions(endpoint, () => attempt(again)),
        );
    } else {
      setText(state, "not registered");
      replace(facts);
      replace(buttons);
    }
    return { before, now: current };
  };
  const draw = async () => {
    tab = null;
    if (!current && name !== "faults" && name !== "messages") {
      replace(body, absent(endpoint));
      return;
    }
    const module = await load();
    replace(body);
    tab = await module.showFor(body, { endpoint, device: current, query }, signal);
  };

  // Events from before what is shown, so that nothing falls between the two.
  const [{ last }, clock] = await Promise.all([get("/v1/events/last", signal), get("/v1/clock", signal), server()]);
  setNow(clock.now);
  await again();
  const ticking = setInterval(() => current && drawFacts(facts, current), 5000);
  signal.addEventListener("abort", () => clearInterval(ticking));
  watch({ endpoint, after: last }, async (events) => {
    if (events.length === 0 || events.some((event) => LIFE.includes(event.type))) {
      const { before, now: after } = (await attempt(again)) ?? {};
      if (before !== undefined && (before?.id !== after?.id || before?.registered_at !== after?.registered_at))
        await attempt(draw);
      else if (after) await attempt(() => tab?.changed?.(after));
    }
    tab?.told?.(events);
  });
  await draw();
}
