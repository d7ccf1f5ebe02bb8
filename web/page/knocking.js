// Who tried and was turned away, in words, and what to do about it.
import { attempt, get, server } from "./api.js";
import { ago } from "./devices.js";
import { count, h, keyed, replace, setText } from "./dom.js";
import { alertName } from "./ladder.js";
import { setNow, watch } from "./live.js";

const TYPES = ["dtls_failed", "rejected", "bootstrap_failed", "connection_closed"];
const NEWEST = 500; // events looked at first
const GROUPS_MAX = 200; // the oldest go
const ORDINARY = /closed by the peer|silent for too long|released by the peer|server (stops|ends)/;

// Suites that are not spoken here and devices offer all the same, by IANA's numbers.
const OTHERS = {
  "0x002f": "RSA_WITH_AES_128_CBC_SHA",
  "0x0035": "RSA_WITH_AES_256_CBC_SHA",
  "0x003c": "RSA_WITH_AES_128_CBC_SHA256",
  "0x008c": "PSK_WITH_AES_128_CBC_SHA",
  "0x008d": "PSK_WITH_AES_256_CBC_SHA",
  "0x009c": "RSA_WITH_AES_128_GCM_SHA256",
  "0x009d": "RSA_WITH_AES_256_GCM_SHA384",
  "0x00af": "PSK_WITH_AES_256_CBC_SHA384",
  "0xc004": "ECDH_ECDSA_WITH_AES_128_CBC_SHA",
  "0xc009": "ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
  "0xc00a": "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
  "0xc013": "ECDHE_RSA_WITH_AES_128_CBC_SHA",
  "0xc014": "ECDHE_RSA_WITH_AES_256_CBC_SHA",
  "0xc024": "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
  "0xc027": "ECDHE_RSA_WITH_AES_128_CBC_SHA256",
  "0xc02f": "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "0xc030": "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "0xc035": "ECDHE_PSK_WITH_AES_128_CBC_SHA",
  "0xc09c": "RSA_WITH_AES_128_CCM",
  "0xc0a0": "RSA_WITH_AES_128_CCM_8",
  "0xcca8": "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
  "0xcca9": "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  "0xccab": "PSK_WITH_CHACHA20_POLY1305_SHA256",
  "0xd005": "ECDHE_PSK_WITH_AES_128_CCM_SHA256",
};
const suiteName = (suite) => (OTHERS[suite] ? `TLS_${OTHERS[suite]}` : suite);

const link = (href, text) => h("a", { href }, text);
const newCredential = (name) =>
  link(`#/credentials/new${name ? `?endpoint=${encodeURIComponent(name)}` : ""}`, "Give it a credential");

/** A peer has named its identity and then come no further: over DTLS what does not verify is dropped without a word. */
const likelyWrongKey = (e) => ({
  title: `Most likely the wrong key for “${e.identity}”`,
  why: "The identity is known. What came after it could not be verified, which DTLS passes over in silence, and the handshake was not finished.",
  todo: [
    "Compare the key: hexadecimal here, perhaps Base64 or text there. ",
    link(`#/credentials?endpoint=${encodeURIComponent(e.endpoint ?? e.identity)}`, "Its credentials"),
    ". If the keys are the same, datagrams are lost on the way.",
  ],
});

// By `reason` of dtls_failed: what has happened, and what to do.
const REASONS = {
  unknown_identity: (e) => ({
    title: `Unknown PSK identity ${e.identity ? `“${e.identity}”` : ""}`,
    why: "It has named an identity for which there is no key here.",
    todo: [
      newCredential(e.identity),
      ", or have the device name the identity that its credential has: byte for byte, capitals too.",
    ],
  }),
  wrong_key: (e) => ({
    title: `Wrong key for ${e.identity ? `“${e.identity}”` : "a known identity"}`,
    why: "The identity is known, but the key that it used is not the one that is stored.",
    todo: [
      "Compare the key: hexadecimal here, perhaps Base64 or text there. ",
      link(`#/credentials?endpoint=${encodeURIComponent(e.identity ?? "")}`, "Its credentials"),
      ".",
    ],
  }),
  certificate_refused: (e) => ({
    title: `Certificate not trusted${e.identity ? `: “${e.identity}”` : ""}`,
    why: "It has no valid chain to an authority this server trusts, has run out, or belongs to no endpoint.",
    todo: [
      "Start the server with the authority that has signed it, or ",
      link("#/credentials/new", "tell its name or fingerprint as a credential"),
      ". Is the device's clock, or a certificate's date, wrong?",
    ],
  }),
  no_certificate: () => ({
    title: "No certificate was shown",
    why: "The suite wants a certificate of the client, and it sent none.",
    todo: ["Give the device a certificate and key, or let it use a suite with PSK."],
  }),
  no_common_parameters: () => ({
    title: "Nothing in common: cipher suites, version or curves",
    why: "Of what it offers nothing is spoken here, or only with a kind of credential that there is none of.",
    todo: [
      "Turn one of this server's suites on in the device. Suites with PSK need a PSK credential here, those with ECDSA a certificate.",
    ],
    offers: true,
  }),
  alert: (e) => ({
    title: `It ended the handshake: ${e.alert_received === undefined ? "an alert" : alertName(e.alert_received)}`,
    why: "The device did not accept what this server has shown.",
    todo:
      e.alert_received === 48 || e.alert_received === 42 || e.alert_received === 46
        ? ["It does not trust this server's certificate: give it this server's authority, or the certificate itself."]
        : e.alert_received === 20 || e.alert_received === 51
          ? ["Its key is another one than that stored here: compare them."]
          : ["Its own log says why; the alert is all that it tells."],
  }),
  timeout: (e) =>
    e.identity && e.security === "psk"
      ? likelyWrongKey(e)
      : {
          title: "The handshake was not finished",
          why: "It began and then said nothing more, or our answers do not reach it.",
          todo: [
            "Are datagrams back to it blocked, or too large for its network? It may ask for smaller records (max_fragment_length).",
          ],
        },
  protocol: () => ({
    title: "This is no proper DTLS or TLS",
    why: "What came does not parse, or comes out of order.",
    todo: ["Does it speak plain CoAP to the port for coaps, or another version than DTLS 1.2? See its messages."],
  }),
  replaced: (e) =>
    e.identity && e.security === "psk"
      ? likelyWrongKey(e)
      : {
          title: "It began anew",
          why: "Another handshake from the same address took this one's place.",
          todo: ["Nothing, if the next one came through. Else it restarts, or loses our answers."],
        },
  closed: () => ({
    title: "The connection ended in the handshake",
    why: "It hung up, or the way to it was lost.",
    todo: ["See its messages for how far it came."],
  }),
  internal: () => ({
    title: "The server failed",
    why: "It ran out of memory, or Mbed TLS refused.",
    todo: ["See the server's log."],
  }),
};

function rejection(e) {
  const code = e.coap_code ? `${e.coap_code}: ` : "";
  const known = [
    [/4\.00|4\.02/, "The request is not as the standard has it."],
    [/4\.03/, "It may not do this with the security that it has come with."],
    [/4\.04/, "There is no such registration any more: the device has to register anew."],
    [/5\.03/, "The server can't take it now, and has said when to come again."],
  ].find(([pattern]) => pattern.test(e.coap_code ?? ""));
  const todo = /credential|security|identity/i.test(e.detail ?? "")
    ? e.endpoint
      ? [
          link(`#/credentials?endpoint=${encodeURIComponent(e.endpoint)}`, "Its credentials"),
          " say how it has to come: let the device use them, or remove them.",
        ]
      : [newCredential(null), ", or let it come with the security that its credential asks for."]
    : /fram|CSM|length|RFC 8323/i.test(e.detail ?? "")
      ? [
          "Its messages lie in the stream in another way than they are read here: RFC 8323, or the vendor's length before each message. See its messages.",
        ]
      : ["See what it sent, decoded."];
  return {
    title: `Refused${code ? ` with ${e.coap_code}` : ""}`,
    why: e.detail ?? known?.[1] ?? "",
    todo: known && e.detail ? [known[1], " ", ...todo] : todo,
  };
}

function words(e) {
  if (e.type === "dtls_failed") return (REASONS[e.reason] ?? (() => ({ title: e.reason, why: "", todo: [] })))(e);
  if (e.type === "bootstrap_failed") {
    return {
      title: `Bootstrap failed${e.operation ? ` at ${e.operation} ${e.path ?? ""}` : ""}`,
      why: [
        e.coap_code && `The device answered ${e.coap_code}.`,
        e.diagnostic && `It says “${e.diagnostic}”.`,
        e.detail,
      ]
        .filter(Boolean)
        .join(" "),
      todo: [
        link(
          `#/credentials?endpoint=${encodeURIComponent(e.endpoint ?? "")}&part=bootstrap`,
          "What bootstrap gives it",
        ),
        " may say another format, other instances, or that this step does not matter (on_error).",
      ],
    };
  }
  if (e.type === "connection_closed")
    return {
      title: "Its connection was ended",
      why: e.detail ?? "",
      todo: [
        "Wrong framing looks so, too: RFC 8323 where the vendor's is expected, or TLS where there is none. See its messages.",
      ],
    };
  return rejection(e);
}

function hostOf(address) {
  return (address ?? "").replace(/:\d+$/, "");
}

function keyOf(e) {
  return [
    e.type,
    e.reason ?? e.coap_code ?? "",
    e.type === "dtls_failed" ? "" : (e.detail ?? ""),
    e.identity ?? e.endpoint ?? hostOf(e.address),
  ].join("|");
}

function isKnock(e) {
  return (
    TYPES.includes(e.type) &&
    !(e.type === "connection_closed" && (e.endpoint !== null || ORDINARY.test(e.detail ?? "")))
  );
}

/** The suites of its last ClientHello that the server still has, beside those that are spoken here. */
async function offers(place, address, ours) {
  const page = await get(`/v1/peers/${encodeURIComponent(address)}/messages?kind=handshake&direction=in&limit=100`);
  const suites = page.items
    .flatMap((m) => m.records ?? [])
    .map((r) => r.cipher_suites)
    .filter(Boolean)
    .at(-1);
  if (!suites) {
    replace(place, h("small", {}, "What it offered is not kept any more."));
    return;
  }
  const names = suites.filter((s) => s !== "0x00ff" && s !== "0x5600"); // signalling values (RFC 5746, RFC 7507)
  replace(
    place,
    h(
      "p",
      {},
      "It offered ",
      names.map((s, i) => [i ? ", " : "", h("code", { class: ours.includes(s) ? "good" : "" }, suiteName(s))]),
      ".",
    ),
    h("details", {}, h("summary", {}, "What is spoken here"), h("code", {}, ours.join(", "))),
  );
}

function make(group) {
  const parts = { title: h("h2"), who: h("p", { class: "quiet" }), why: h("p"), offers: h("div"), todo: h("p") };
  const card = h("li", { class: "card knock" }, parts.title, parts.who, parts.why, parts.offers, parts.todo);
  const said = words(group.event);
  card.parts = parts;
  card.said = said;
  replace(parts.title, said.title, h("span", { class: "tag plain times" }));
  setText(parts.why, said.why.charAt(0).toUpperCase() + said.why.slice(1));
  replace(parts.todo, h("b", {}, "What to do: "), said.todo);
  return card;
}

function update(card, { event: e, times, addresses }, ours) {
  const { who, title } = card.parts;
  setText(title.querySelector(".times"), times > 1 ? `${count(times)}×` : "once");
  if (card.last === e.id) {
    setText(who.querySelector(".ago"), ago(e.ts));
    return;
  }
  card.last = e.id;
  const name = e.endpoint ?? e.identity;
  replace(
    who,
    name
      ? [
          "from ",
          e.endpoint ? link(`#/device/${encodeURIComponent(e.endpoint)}`, e.endpoint) : h("b", {}, name),
          " at ",
        ]
      : "from ",
    e.address ? link(`#/messages/${encodeURIComponent(e.address)}`, e.address) : "an unknown address",
    addresses.size > 1 ? ` and ${addresses.size - 1} other addresses` : "",
    " · ",
    h("span", { class: "ago", title: e.ts }, ago(e.ts)),
    " · ",
    e.address && link(`#/messages/${encodeURIComponent(e.address)}`, "its messages"),
  );
  if (card.said.offers && e.address) attempt(() => offers(card.parts.offers, e.address, ours));
}

export async function show(place, _route, signal) {
  document.title = "Knocking · Berth";
  const groups = new Map();
  const list = h("ol", { class: "knocks" });
  const none = h(
    "p",
    { class: "empty", hidden: true },
    "Nobody was turned away, as far as events are kept. A device that is not here has not been heard at all: look for a firewall, a wrong address or port, or a name it can't resolve. It is heard at:",
  );
  const heard = h("ul", { class: "heard" });
  replace(
    place,
    h(
      "div",
      {},
      h("h1", {}, "Knocking at the door"),
      h("p", { class: "quiet" }, "Peers that tried and were turned away: the last first, the same ones together."),
    ),
    none,
    list,
    heard,
  );

  const take = (e) => {
    if (!isKnock(e)) return;
    const key = keyOf(e);
    const group = groups.get(key) ?? { key, times: 0, addresses: new Set() };
    groups.delete(key);
    groups.set(key, group); // the last one is at the end
    group.times++;
    group.event = e;
    if (e.address && group.addresses.size < 1000) group.addresses.add(e.address);
    if (groups.size > GROUPS_MAX) groups.delete(groups.keys().next().value);
  };
  const about = await server();
  const draw = () => {
    none.hidden = heard.hidden = groups.size > 0;
    heard.hidden = groups.size > 0;
    keyed(
      list,
      [...groups.values()].reverse(),
      (g) => g.key,
      make,
      (card, group) => update(card, group, about.cipher_suites),
    );
  };
  replace(
    heard,
    about.listeners.map((l) => h("li", {}, h("code", {}, l.uri), l.role === "everything" ? "" : ` (${l.role})`)),
  );

  const clock = await get("/v1/clock", signal);
  setNow(clock.now);
  const page = await get(`/v1/events?poll=1&types=${TYPES.join(",")}&newest=${NEWEST}&timeout=0s`, signal);
  page.items.forEach(take);
  draw();
  watch({ types: TYPES, after: page.last }, (events) => {
    events.forEach(take);
    draw();
  });
  const ticking = setInterval(draw, 5000);
  signal.addEventListener("abort", () => clearInterval(ticking));
}
