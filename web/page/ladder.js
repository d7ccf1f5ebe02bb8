// What went to and from a device, as a ladder: the device on the left, the server on the right, time downwards.
import { attempt, call, device as pathOf, fetchWithKey, get, Problem } from "./api.js";
import { ask, bytes, clockText, download, field, h, replace, select, setText } from "./dom.js";
import { valueText } from "./values.js";

const ROWS_MAX = 600;
const LOOK_MS = 1000; // how often new ones are asked for
const KINDS = {
  "": ["everything", null],
  handshake: ["handshakes", "handshake,alert,record"],
  registration: ["registration", "register,update,deregister"],
  bootstrap: [
    "bootstrap",
    "bootstrap_request,bootstrap_pack,bootstrap_write,bootstrap_read,bootstrap_discover,bootstrap_delete,bootstrap_finish",
  ],
  operations: [
    "operations",
    "read,discover,write,write_attributes,execute,create,delete,read_composite,write_composite,observe,observe_composite,cancel_observation,request,response",
  ],
  values: ["notifications and Sends", "notify,send"],
  trouble: ["trouble", "alert,malformed,protected,reset"],
};
const STYLES = {
  handshake: "secure",
  alert: "trouble",
  record: "secure",
  register: "reg",
  update: "upd",
  deregister: "reg",
  notify: "told",
  send: "told",
  malformed: "trouble",
  protected: "trouble",
  reset: "trouble",
};
const NAMES = {
  client_hello: "ClientHello",
  server_hello: "ServerHello",
  hello_verify_request: "HelloVerifyRequest",
  certificate: "Certificate",
  server_key_exchange: "ServerKeyExchange",
  certificate_request: "CertificateRequest",
  server_hello_done: "ServerHelloDone",
  client_key_exchange: "ClientKeyExchange",
  certificate_verify: "CertificateVerify",
  finished: "Finished",
  new_session_ticket: "NewSessionTicket",
  encrypted_extensions: "EncryptedExtensions",
  encrypted: "encrypted",
};
const ALERTS = {
  0: "close notify",
  10: "unexpected message",
  20: "bad record MAC",
  40: "handshake failure",
  42: "bad certificate",
  46: "certificate unknown",
  47: "illegal parameter",
  48: "unknown authority",
  50: "decode error",
  51: "decrypt error",
  70: "protocol version",
  71: "insufficient security",
  80: "internal error",
  109: "missing extension",
  115: "unknown PSK identity",
  116: "certificate required",
};

export function alertName(number) {
  return ALERTS[number] ?? `alert ${number}`;
}

function recordText(record) {
  if (record.type === "handshake")
    return record.messages ? record.messages.map((m) => NAMES[m] ?? m).join(", ") : "Finished (encrypted)";
  if (record.type === "change_cipher_spec") return "ChangeCipherSpec";
  if (record.type === "alert")
    return record.alert === undefined ? "alert (encrypted)" : `alert: ${alertName(record.alert)}`;
  return record.type === "tls12_cid" ? "record with CID" : "record";
}

function option(coap, number) {
  return coap?.options?.find((o) => o.number === number)?.value;
}

/** What stands on the arrow. */
function headline(m) {
  const coap = m.inner?.coap ?? m.coap;
  if (!coap) return (m.records ?? []).map(recordText).join(" + ") || m.error || m.kind;
  const isRequest = coap.code.startsWith("0.") && coap.code !== "0.00";
  const path =
    m.path ??
    coap.options
      ?.filter((o) => o.number === 11)
      .map((o) => `/${o.value}`)
      .join("") ??
    "";
  if (coap.code === "0.00") return { CON: "ping", ACK: "acknowledged", RST: "reset" }[coap.type] ?? "empty";
  return isRequest ? `${coap.name} ${path || "/"}${m.query ? `?${m.query}` : ""}` : `${coap.code} ${coap.name}`;
}

function isError(m) {
  const code = (m.inner?.coap ?? m.coap)?.code ?? "";
  return code[0] === "4" || code[0] === "5" || m.kind === "alert" || m.kind === "malformed";
}

function blockText(name, b) {
  return typeof b === "object" ? `${name} ${b.num}${b.more ? "+" : ""}/${b.size}` : null;
}

function tags(m, again) {
  const coap = m.inner?.coap ?? m.coap;
  const cid = m.records?.find((r) => r.cid)?.cid;
  const observe = option(coap, 6);
  return [
    again && ["again", "warn", "A retransmission or copy: the same message was there before"],
    m.withheld && ["withheld", "warn", "A fault kept it from leaving"],
    m.inner && ["OSCORE", "secure"],
    cid && ["CID", "secure", cid],
    blockText("block1", option(coap, 27)) && [blockText("block1", option(coap, 27)), "plain"],
    blockText("block2", option(coap, 23)) && [blockText("block2", option(coap, 23)), "plain"],
    observe !== undefined && [`observe ${observe}`, "plain"],
    m.payload?.format && [m.payload.format, "plain"],
  ].filter(Boolean);
}

function summary(m) {
  const payload = m.inner?.payload ?? m.payload;
  if (m.error) return m.error;
  if (!payload) return "";
  const data = payload.data;
  if (data?.value !== undefined || data?.values) return `${data.path} = ${valueText(data)}`;
  if (data?.resources) return `${data.path ?? ""}: ${Object.keys(data.resources).length} resources`;
  return payload.text ?? (payload.hex ? `${payload.bytes} bytes` : "");
}

function decoded(m) {
  const part = (title, content) => content && h("div", {}, h("h3", {}, title), content);
  const table = (rows) =>
    h(
      "table",
      {},
      h(
        "tbody",
        {},
        rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "mono" }, value))),
      ),
    );
  const coap = (c) =>
    c &&
    table([
      ["type", `${c.type ?? "—"}${c.mid === undefined ? "" : `, message ID ${c.mid}`}`],
      ["code", `${c.code} ${c.name ?? ""}`],
      ["token", c.token || "—"],
      ...(c.options ?? []).map((o) => [
        `${o.name ?? `option ${o.number}`}`,
        typeof o.value === "object" ? JSON.stringify(o.value) : String(o.value ?? ""),
      ]),
    ]);
  const payload = (p) => p && h("pre", {}, p.data ? JSON.stringify(p.data, null, 2) : (p.text ?? p.hex ?? ""));
  return [
    part(
      `${m.direction === "in" ? `${m.peer} → ${m.local}` : `${m.local} → ${m.peer}`} over ${m.transport}${m.framing ? ` (${m.framing})` : ""}, ${m.bytes} bytes, ${m.kind}${m.endpoint ? ` of ${m.endpoint}` : ""}`,
      h("small", {}, m.ts),
    ),
    part(
      "Records",
      m.records &&
        table(
          m.records.map((r) => [
            r.type.replaceAll("_", " "),
            [
              r.version,
              r.epoch !== undefined && `epoch ${r.epoch}, number ${r.sequence}`,
              r.cid && `CID ${r.cid}`,
              `${r.bytes} bytes`,
              recordText(r),
              r.cipher_suites && `offers ${r.cipher_suites.join(", ")}`,
            ]
              .filter(Boolean)
              .join(" · "),
          ]),
        ),
    ),
    part("CoAP", coap(m.coap)),
    part("Payload", payload(m.payload)),
    part("Inside OSCORE", coap(m.inner?.coap)),
    part("Payload inside", payload(m.inner?.payload)),
  ];
}

class Ladder {
  /** `base` is the resource of the messages, `file` what a capture is called, `hash` the address of this panel. */
  constructor(place, { base, file, hash, query }, signal) {
    Object.assign(this, {
      base,
      file,
      hash,
      query,
      signal,
      last: 0,
      seen: new Map(),
      paused: false,
      before: null,
    });
    this.list = h("ol", { class: "ladder" });
    this.status = h("p", { class: "quiet", role: "status" });
    this.find = query.get("find") ?? "";
    replace(
      place,
      this.tools(),
      h(
        "div",
        { class: "card flush" },
        h(
          "div",
          { class: "ends", "aria-hidden": "true" },
          h("span", {}, "time"),
          h("span", { class: "spread" }, h("b", {}, "device"), h("b", {}, "server")),
          h("span", {}, "what it says"),
        ),
        this.list,
      ),
      this.status,
    );
  }

  tools() {
    const value = (name) => this.query.get(name) ?? "";
    const set = (name, given) => {
      const next = new URLSearchParams(this.query);
      if (given) next.set(name, given);
      else next.delete(name);
      const text = next.toString();
      location.hash = `${this.hash}${text ? `?${text}` : ""}`;
    };
    const changed = (event) => set(event.target.name, event.target.value);
    const pause = h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onclick: () => {
          this.paused = !this.paused;
          pause.setAttribute("aria-pressed", String(this.paused));
          setText(pause, this.paused ? "Go on" : "Pause");
        },
      },
      "Pause",
    );
    return h(
      "form",
      {
        class: "filters",
        onsubmit: (event) => {
          event.preventDefault();
          set("find", this.finder.value.trim());
        },
      },
      field(
        "Find",
        (this.finder = h("input", {
          type: "search",
          value: this.find,
          placeholder: "path, code, value",
          oninput: () => this.filter(this.finder.value.trim()),
        })),
      ),
      field(
        "Show",
        select(
          "show",
          Object.entries(KINDS).map(([k, v]) => [k, v[0]]),
          value("show"),
          { onchange: changed },
        ),
      ),
      field(
        "Direction",
        select(
          "direction",
          [
            ["", "both"],
            ["in", "from the device"],
            ["out", "to the device"],
          ],
          value("direction"),
          { onchange: changed },
        ),
      ),
      pause,
      h(
        "button",
        {
          type: "button",
          onclick: () => attempt(() => this.save(false)),
          title: "With the secrets that open DTLS and TLS",
        },
        "Download pcapng",
      ),
      h(
        "button",
        {
          type: "button",
          onclick: () => attempt(() => this.save(true)),
          title: "Without DTLS and TLS around the messages",
        },
        "pcapng in clear",
      ),
      h("button", { type: "button", class: "danger", onclick: () => attempt(() => this.forget()) }, "Forget"),
    );
  }

  async save(clear) {
    const answer = await fetchWithKey(`${this.base}${clear ? "?clear=1" : ""}`, {
      headers: { Accept: "application/x-pcapng" },
    });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    download(`${this.file}${clear ? "-clear" : ""}.pcapng`, await answer.blob());
  }

  async forget() {
    if (!(await ask("Forget these messages?", [], { yes: "Forget", danger: true }))) return;
    await call("DELETE", this.base);
    replace(this.list);
    this.seen.clear();
    this.before = null;
    setText(this.status, "No messages yet.");
  }

  url() {
    const query = new URLSearchParams({ after: this.last, limit: 1000 });
    const kinds = KINDS[this.query.get("show") ?? ""]?.[1];
    if (kinds) query.set("kind", kinds);
    if (this.query.get("direction")) query.set("direction", this.query.get("direction"));
    return `${this.base}?${query}`;
  }

  /** Whether the same message was there before: the same peer, direction, type, number and token. */
  isAgain(m) {
    if (!m.coap || m.coap.mid === undefined) return false;
    const key = `${m.peer}|${m.direction}|${m.coap.type}|${m.coap.mid}|${m.coap.token}|${m.coap.code}`;
    const before = this.seen.get(key);
    this.seen.set(key, m.ts);
    if (this.seen.size > 4 * ROWS_MAX) this.seen.delete(this.seen.keys().next().value);
    return before !== undefined && new Date(m.ts) - new Date(before) < 247000; // EXCHANGE_LIFETIME, RFC 7252 §4.8.2
  }

  row(m) {
    const again = this.isAgain(m);
    const style = isError(m) ? "trouble" : (STYLES[m.kind] ?? "op");
    const gap = this.before ? (new Date(m.ts) - new Date(this.before)) / 1000 : 0;
    this.before = m.ts;
    const detail = h("div", { class: "decoded", hidden: true });
    const text = headline(m);
    const button = h(
      "button",
      {
        type: "button",
        class: "rung",
        "aria-expanded": "false",
        onclick: () => {
          detail.hidden = !detail.hidden;
          button.setAttribute("aria-expanded", String(!detail.hidden));
          if (!detail.firstChild) replace(detail, decoded(m));
        },
      },
      h(
        "span",
        { class: "when mono" },
        clockText(m.ts),
        gap >= 0.0005 && h("small", {}, ` +${gap < 10 ? gap.toFixed(3) : gap.toFixed(0)} s`),
      ),
      h(
        "span",
        { class: `lane ${m.direction} ${style}${again || m.withheld ? " dashed" : ""}` },
        h("span", { class: "away" }, m.direction === "in" ? "from the device: " : "to the device: "),
        h("span", { class: "label" }, h("small", {}, m.coap?.type ?? ""), " ", text),
        h("i"),
      ),
      h(
        "span",
        { class: "what" },
        h("small", { class: "kind" }, `${m.kind.replaceAll("_", " ")} · ${bytes(m.bytes)}`),
        tags(m, again).map(([t, c, title]) => h("span", { class: `tag ${c}`, title }, t)),
        h("span", { class: "sum" }, summary(m)),
      ),
    );
    const row = h("li", { dataset: { id: m.id } }, button, detail);
    row.text = `${m.kind} ${text} ${summary(m)} ${m.endpoint ?? ""} ${m.peer}`.toLowerCase();
    row.hidden = this.find !== "" && !row.text.includes(this.find.toLowerCase());
    return row;
  }

  filter(text) {
    this.find = text;
    for (const row of this.list.children) row.hidden = text !== "" && !row.text.includes(text.toLowerCase());
  }

  take(page) {
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 40;
    this.list.append(...page.items.slice(-ROWS_MAX).map((m) => this.row(m)));
    while (this.list.children.length > ROWS_MAX) this.list.firstElementChild.remove();
    this.last = page.last;
    const n = this.list.children.length;
    setText(
      this.status,
      n === 0 ? "No messages yet." : `${n} messages${n === ROWS_MAX ? ", older ones are left out here" : ""}.`,
    );
    if (atEnd && page.items.length && this.began) scrollTo(0, document.documentElement.scrollHeight);
  }

  async start() {
    for (;;) {
      const page = await get(this.url(), this.signal);
      this.take(page);
      if (page.items.length < 1000) break;
    }
    this.began = true;
    this.run();
  }

  async run() {
    while (!this.signal.aborted) {
      try {
        await new Promise((done) => setTimeout(done, LOOK_MS));
        if (this.signal.aborted) return;
        if (!this.paused && !document.hidden) this.take(await get(this.url(), this.signal));
      } catch (error) {
        if (error.name === "AbortError") return;
        setText(
          this.status,
          error instanceof Problem && error.kind === "not-registered"
            ? "It is not registered any more."
            : error.message,
        );
        await new Promise((done) => setTimeout(done, 3000));
      }
    }
  }
}

export async function ladder(place, what, signal) {
  const one = new Ladder(place, what, signal);
  await one.start();
}

/** The tab of a device. */
export async function showFor(place, { endpoint, query }, signal) {
  try {
    await ladder(
      place,
      {
        base: pathOf(endpoint, "/messages"),
        file: endpoint.replace(/[^\w.-]/g, "_"),
        hash: `#/device/${encodeURIComponent(endpoint)}/messages`,
        query,
      },
      signal,
    );
  } catch (error) {
    if (error.name === "AbortError") throw error;
    replace(place, h("p", { class: "empty" }, error.message));
  }
}
