// What a device costs on the wire, and what it would cost to stay connected behind a NAT in other ways.
import { attempt, device as pathOf, get } from "./api.js";
import { bytes, count, field, h, replace, select } from "./dom.js";

const KINDS = [
  ["handshake", "Handshakes"],
  ["resumption", "Resumptions"],
  ["registration", "Registrations"],
  ["update", "Updates"],
  ["other", "Other"],
];
const WAYS = { udp: "UDP", dtls: "DTLS", dtls_cid: "DTLS with connection ID", tcp: "TCP", tls: "TLS" };
const DAY = 86400;
const UDP_HEADERS = 28; // IPv4 and UDP
const TCP_HEADERS = 40; // IPv4 and TCP without options
const AGAIN_MS = 3000;

// What berth-device and this server exchange, with PSK and AES_128_CCM_8, in bytes of UDP payload or of TCP content, and the
// packets that takes both ways. `berth-device --account` prints them; a test holds them against it.
export const TYPICAL = {
  udp_update: { bytes: 18, packets: 2 },
  dtls_update: { bytes: 76, packets: 2 },
  cid_update: { bytes: 85, packets: 2 },
  handshake: { bytes: 505, packets: 6 },
  resumption: { bytes: 514, packets: 5 },
  registration: { bytes: 308, packets: 2 },
  oscore_update: { bytes: 43, packets: 2 },
  tcp_ping: { bytes: 6, packets: 3 },
};

function average(counts) {
  return counts?.count ? Math.round((counts.bytes_in + counts.bytes_out) / counts.count) : null;
}

/** What this device was seen to need, where it was; else what is typical. */
function measured(name, counts) {
  const mean = average(counts);
  return { ...TYPICAL[name], ...(mean === null ? {} : { bytes: mean }), measured: mean !== null };
}

/** Ways to stay connected: what is sent each time, and how many times a day. */
function waysOf(traffic, { every, udp, tcp }) {
  const { over } = traffic;
  const update = measured("dtls_update", over.dtls?.update);
  const steps = {
    cid: [measured("cid_update", over.dtls_cid?.update)],
    resumption: [measured("resumption", over.dtls?.resumption ?? over.dtls_cid?.resumption), update],
    full: [
      measured("handshake", over.dtls?.handshake ?? over.dtls_cid?.handshake),
      measured("registration", over.dtls?.registration ?? over.dtls_cid?.registration),
    ],
    open: [update],
    oscore: [TYPICAL.oscore_update],
    plain: [measured("udp_update", over.udp?.update)],
    tcp: [TYPICAL.tcp_ping],
  };
  const times = (interval) => DAY / Math.min(interval, every);
  return [
    {
      name: "DTLS with connection ID",
      steps: steps.cid,
      times: DAY / every,
      note: "an Update from whatever address it has by then",
    },
    { name: "OSCORE over UDP", steps: steps.oscore, times: DAY / every, note: "an Update, protected end to end" },
    {
      name: "TCP, pings",
      steps: steps.tcp,
      times: times(tcp),
      isTcp: true,
      note: "keeps the connection open: 7.02 and 7.03",
    },
    {
      name: "DTLS, NAT kept open",
      steps: steps.open,
      times: times(udp),
      note: "an Update before the NAT forgets the address",
    },
    {
      name: "DTLS, resumed each time",
      steps: steps.resumption,
      times: DAY / every,
      note: "an abbreviated handshake and an Update",
    },
    { name: "DTLS, anew each time", steps: steps.full, times: DAY / every, note: "a whole handshake and a Register" },
    { name: "UDP without security", steps: steps.plain, times: times(udp), note: "for comparison; nobody is proven" },
  ];
}

function total(way, withHeaders) {
  const each = way.steps.reduce(
    (sum, s) => sum + s.bytes + (withHeaders ? s.packets * (way.isTcp ? TCP_HEADERS : UDP_HEADERS) : 0),
    0,
  );
  return { each, day: Math.round(each * way.times) };
}

function bars(rows, label) {
  const most = Math.max(1, ...rows.map((r) => r.value));
  return h(
    "table",
    { class: "bars", "aria-label": label },
    h(
      "tbody",
      {},
      rows.map((r) =>
        h(
          "tr",
          { class: r.is && "is" },
          h("th", { scope: "row" }, r.name, r.note && h("small", {}, ` ${r.note}`)),
          h(
            "td",
            { class: "chart" },
            h("div", { class: "bar tall" }, h("i", { class: r.style, "width%": (r.value / most) * 100 })),
          ),
          h("td", { class: "num" }, r.text),
        ),
      ),
    ),
  );
}

function spent(traffic) {
  const ways = Object.entries(traffic.over);
  if (!ways.length) return h("p", { class: "quiet" }, "Nothing was counted yet.");
  return ways.map(([way, kinds]) =>
    h(
      "div",
      {},
      h("h3", {}, WAYS[way]),
      bars(
        KINDS.filter(([k]) => kinds[k].count || kinds[k].bytes_in).map(([k, name]) => {
          const c = kinds[k];
          const mean = average(c);
          return {
            name,
            note: `${count(c.count)}${k === "other" ? " messages" : ""}`,
            value: c.bytes_in + c.bytes_out,
            style: k,
            text: `${bytes(c.bytes_in)} in, ${bytes(c.bytes_out)} out${mean && k !== "other" ? `, ${mean} each` : ""}`,
          };
        }),
        `Bytes over ${WAYS[way]} by kind`,
      ),
    ),
  );
}

function session(s) {
  if (!s) return null;
  const line = (name, c) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", { class: "num" }, bytes(c.bytes_in)),
      h("td", { class: "num" }, bytes(c.bytes_out)),
    );
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "The present session"),
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["", "in", "out"].map((t) => h(t ? "th" : "td", t ? { scope: "col", class: "num" } : {}, t)),
        ),
      ),
      h(
        "tbody",
        {},
        line("handshake", s.handshake),
        line("records", s.records),
        line("messages in them", s.messages),
        line("overhead of records", s.overhead),
      ),
    ),
  );
}

const CURRENT = {
  dtls_cid: "DTLS with connection ID",
  dtls: "DTLS, NAT kept open",
  udp: "UDP without security",
  tcp: "TCP, pings",
};

export async function showFor(place, { endpoint, device }, signal) {
  const seconds = (name, label, choices, value) => [
    name,
    field(label, select(name, choices, value, { onchange: () => drawWays() })),
  ];
  const fields = Object.fromEntries([
    seconds(
      "every",
      "Heard every",
      [
        [60, "minute"],
        [300, "5 min"],
        [900, "15 min"],
        [3600, "hour"],
        [21600, "6 h"],
        [86400, "day"],
      ],
      900,
    ),
    seconds(
      "udp",
      "NAT forgets UDP after",
      [
        [30, "30 s"],
        [60, "60 s"],
        [120, "2 min"],
        [300, "5 min"],
      ],
      60,
    ),
    seconds(
      "tcp",
      "and TCP after",
      [
        [300, "5 min"],
        [900, "15 min"],
        [3600, "1 h"],
        [7200, "2 h"],
      ],
      900,
    ),
  ]);
  const headers = h("input", { type: "checkbox", onchange: () => drawWays() });
  const ways = h("div"),
    kinds = h("div", { class: "stack" }),
    now = h("div");
  let traffic = await get(pathOf(endpoint, "/traffic"), signal);

  const drawWays = () => {
    const asked = Object.fromEntries(
      Object.entries(fields).map(([name, f]) => [name, Number(f.querySelector("select").value)]),
    );
    const list = waysOf(traffic, asked)
      .map((way) => ({ ...way, ...total(way, headers.checked) }))
      .sort((a, b) => a.day - b.day);
    const mine =
      device.security.mode === "oscore"
        ? "OSCORE over UDP"
        : CURRENT[device.security.cid ? "dtls_cid" : device.transport];
    replace(
      ways,
      bars(
        list.map((w) => ({
          name: w.name,
          note: `${w.note}${w.steps.some((s) => s.measured) ? "; measured on this device" : ""}`,
          value: w.day,
          is: w.name === mine,
          text: `${bytes(w.day)} a day, ${count(w.each)} B each`,
        })),
        "Bytes a day to stay connected, by way",
      ),
    );
  };
  const draw = () => {
    replace(
      kinds,
      h(
        "p",
        { class: "big" },
        h("b", {}, bytes(traffic.total.bytes_in + traffic.total.bytes_out)),
        ` in all: ${bytes(traffic.total.bytes_in)} in, ${bytes(traffic.total.bytes_out)} out`,
      ),
      spent(traffic),
    );
    replace(now, session(traffic.session));
    drawWays();
  };
  replace(
    place,
    h(
      "div",
      { class: "split even" },
      h(
        "section",
        { class: "card" },
        h("h2", {}, "What it has cost since the server's start"),
        kinds,
        h(
          "p",
          { class: "quiet" },
          "Bytes of UDP payload, or of the TCP connection, without headers of UDP, TCP and IP.",
        ),
      ),
      h(
        "div",
        { class: "stack" },
        h(
          "section",
          { class: "card" },
          h("h2", {}, "Ways to stay connected behind a NAT"),
          h(
            "div",
            { class: "filters" },
            Object.values(fields),
            h("label", { class: "check" }, headers, "with IP headers"),
          ),
          ways,
          h(
            "p",
            { class: "quiet" },
            "What this device has not done is reckoned by what berth-device needs with PSK and AES_128_CCM_8. The way it uses is marked.",
          ),
        ),
        now,
      ),
    ),
  );
  draw();
  const again = setInterval(
    () =>
      attempt(async () => {
        traffic = await get(pathOf(endpoint, "/traffic"), signal);
        draw();
      }),
    AGAIN_MS,
  );
  signal.addEventListener("abort", () => clearInterval(again));
  return {};
}
