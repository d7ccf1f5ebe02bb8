// A new device in one form: what it needs is made and stored, and shown once.
import { attempt, call, listeners } from "./api.js";
import { copyButton, download, field, h, replace, select, svg } from "./dom.js";
import { watch } from "./live.js";

function hex(length) {
  return [...crypto.getRandomValues(new Uint8Array(length))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

const KINDS = [
  ["psk", "A pre-shared key (PSK)"],
  ["oscore", "OSCORE"],
  ["pelion", "The vendor's client: certificate, developer build"],
  ["x509", "A certificate that it has already"],
  ["none", "Nothing: without security"],
];

/** The code of `text` as one path of squares. */
async function qr(text) {
  const { qrcode } = await import("./qrcode.js");
  const code = qrcode(0, "M");
  code.addData(text, "Byte");
  code.make();
  const n = code.getModuleCount();
  let squares = "";
  for (let y = 0; y < n; y++)
    for (let x = 0; x < n; x++) if (code.isDark(y, x)) squares += `M${x + 4} ${y + 4}h1v1h-1z`;
  return svg(
    "svg",
    {
      viewBox: `0 0 ${n + 8} ${n + 8}`,
      class: "qr",
      role: "img",
      "aria-label": "QR code of what the device needs",
      "shape-rendering": "crispEdges",
    },
    svg("rect", { width: n + 8, height: n + 8, fill: "#fff" }),
    svg("path", { d: squares, fill: "#000" }),
  );
}

function quoted(word) {
  return /^[\w@%+=:,./[\]-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function commandLine(...words) {
  return ["berth-device", ...words.flat()].map(quoted).join(" ");
}

async function listenerFor(scheme, isBootstrap) {
  const found = await listeners(scheme, isBootstrap ? "bootstrap" : "management");
  if (!found.length) throw new Error(`This server does not listen for ${scheme}: start it with --listen ${scheme}://…`);
  return found[0];
}

/** Store what it needs, and say what to give the device: {facts, command, note, files}. */
const MAKE = {
  async psk({ endpoint, identity, isBootstrap }) {
    const uri = await listenerFor("coaps", isBootstrap);
    const key = hex(16);
    const name = identity || endpoint;
    await call("PUT", `/v1/credentials/${encodeURIComponent(endpoint)}`, {
      json: { mode: "psk", identity: name, key_hex: key, service: isBootstrap ? "bootstrap" : "management" },
    });
    return {
      facts: { endpoint, [isBootstrap ? "bootstrap" : "server"]: uri, identity: name, key_hex: key },
      command: commandLine(
        isBootstrap ? "--bootstrap" : "--server",
        uri,
        "--endpoint",
        endpoint,
        "--psk",
        `${name}:${key}`,
        "--cid",
      ),
    };
  },
  async oscore({ endpoint, isBootstrap }) {
    const uri = await listenerFor("coap", isBootstrap);
    const [secret, salt, device, ours] = [hex(16), hex(8), hex(3), hex(1)];
    await call("PUT", `/v1/credentials/${encodeURIComponent(endpoint)}`, {
      json: {
        mode: "oscore",
        sender_id_hex: ours,
        recipient_id_hex: device,
        master_secret_hex: secret,
        master_salt_hex: salt,
        service: isBootstrap ? "bootstrap" : "management",
      },
    });
    return {
      facts: {
        endpoint,
        [isBootstrap ? "bootstrap" : "server"]: uri,
        sender_id_hex: device,
        recipient_id_hex: ours,
        master_secret_hex: secret,
        master_salt_hex: salt,
      },
      command: commandLine(
        isBootstrap ? "--bootstrap" : "--server",
        uri,
        "--endpoint",
        endpoint,
        "--oscore",
        `sender=${device},recipient=${ours},secret=${secret},salt=${salt}`,
        "--state",
        `${endpoint}-state`,
      ),
      note: "Sender and recipient are as the device sees them.",
    };
  },
  async pelion({ endpoint, account, host }) {
    const { data } = await call("POST", "/v1/pki/developer", {
      json: { endpoint, ...(account && { account }), ...(host && { host }) },
    });
    return {
      facts: { endpoint: data.endpoint, bootstrap: data.bootstrap_uri },
      source: data.security_c,
      command: commandLine(
        "--profile",
        "pelion",
        "--bootstrap",
        data.bootstrap_uri,
        "--endpoint",
        data.endpoint,
        "--cert",
        "device.pem",
        "--key",
        "device.key",
        "--ca",
        "ca.pem",
      ),
      files: { "device.pem": data.certificate, "device.key": data.private_key, "ca.pem": data.ca },
      note: "Bootstrap gives it a certificate of its own and the account on this server; nothing of this is kept here.",
    };
  },
  async x509({ endpoint, subject, fingerprint, isBootstrap }) {
    const uri = await listenerFor("coaps", isBootstrap);
    await call("PUT", `/v1/credentials/${encodeURIComponent(endpoint)}`, {
      json: {
        mode: "x509",
        service: isBootstrap ? "bootstrap" : "management",
        ...(subject && { subject }),
        ...(fingerprint && { fingerprint_sha256: fingerprint.replaceAll(":", "").toLowerCase() }),
      },
    });
    return {
      facts: { endpoint, [isBootstrap ? "bootstrap" : "server"]: uri },
      command: commandLine(
        isBootstrap ? "--bootstrap" : "--server",
        uri,
        "--endpoint",
        endpoint,
        "--cert",
        "device.pem",
        "--key",
        "device.key",
        "--ca",
        "ca.pem",
      ),
    };
  },
  async none({ endpoint, isBootstrap }) {
    const uri = await listenerFor("coap", isBootstrap);
    return {
      facts: { endpoint, [isBootstrap ? "bootstrap" : "server"]: uri },
      command: commandLine(isBootstrap ? "--bootstrap" : "--server", uri, "--endpoint", endpoint),
      note: "Nothing was stored: it needs no credential.",
    };
  },
};

function given(title, text, name) {
  return h(
    "div",
    { class: "given" },
    h(
      "div",
      { class: "spread" },
      h("h3", {}, title),
      h(
        "div",
        { class: "row tight" },
        copyButton(text),
        name &&
          h(
            "button",
            { type: "button", class: "small", onclick: () => download(name, new Blob([text])) },
            `Save ${name}`,
          ),
      ),
    ),
    h("pre", { tabindex: 0, "aria-label": title }, text),
  );
}

async function drawMade(place, made) {
  const { endpoint } = made.facts;
  replace(
    place,
    h(
      "section",
      { class: "card made", "aria-label": "The new device" },
      h(
        "div",
        { class: "spread" },
        h("h2", {}, `${endpoint} can come`),
        h("span", { class: "heard-of quiet", role: "status" }, "not heard of yet"),
      ),
      h("p", { class: "warn" }, "Keys are shown now and never again."),
      h(
        "div",
        { class: "split qr-split" },
        h(
          "div",
          { class: "stack" },
          h(
            "table",
            {},
            h(
              "tbody",
              {},
              Object.entries(made.facts).map(([name, value]) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, name.replaceAll("_", " ")),
                  h("td", { class: "mono" }, value),
                  h("td", {}, copyButton(value)),
                ),
              ),
            ),
          ),
          made.note && h("p", { class: "quiet" }, made.note),
        ),
        await qr(JSON.stringify(made.facts)),
      ),
      given("A device to try it with", made.command),
      made.source && given("C source for a developer build", made.source, "mbed_cloud_dev_credentials.c"),
      made.files &&
        h(
          "div",
          { class: "row" },
          Object.entries(made.files).map(([name, text]) =>
            h(
              "button",
              { type: "button", class: "small", onclick: () => download(name, new Blob([text])) },
              `Save ${name}`,
            ),
          ),
        ),
    ),
  );
  watch(
    {
      endpoint,
      types: ["registered", "dtls_failed", "rejected", "bootstrap_started", "bootstrap_finished", "bootstrap_failed"],
    },
    (events) => {
      const e = events.at(-1);
      if (!e) return;
      const words = {
        registered: "It has registered.",
        replaced: "It has registered.",
        dtls_failed: "Its handshake came to nothing.",
        rejected: "It was refused.",
        bootstrap_started: "It is being bootstrapped.",
        bootstrap_finished: "It was bootstrapped.",
        bootstrap_failed: "Bootstrap failed.",
      };
      replace(
        place.querySelector(".heard-of"),
        words[e.type] ?? e.type,
        " ",
        h(
          "a",
          {
            href:
              e.type.endsWith("failed") || e.type === "rejected"
                ? "#/knocking"
                : `#/device/${encodeURIComponent(endpoint)}`,
          },
          "See",
        ),
      );
    },
  );
  place.querySelector(".made").scrollIntoView({ block: "nearest" });
}

export function newDevice(place, query) {
  const result = h("div");
  const extra = h("div", { class: "contents" });
  const kind = select("kind", KINDS, MAKE[query.get("kind")] ? query.get("kind") : "psk");
  const drawExtra = () =>
    replace(
      extra,
      {
        psk: [field("Identity", h("input", { name: "identity", placeholder: "as the endpoint", maxlength: 128 }))],
        x509: [
          field("Name in the certificate", h("input", { name: "subject", placeholder: "CN=factory-7" })),
          field("SHA-256 fingerprint", h("input", { name: "fingerprint", pattern: "([0-9a-fA-F]{2}:?){32}" })),
        ],
        pelion: [
          field("Account", h("input", { name: "account", placeholder: "default" })),
          field("Host as the device sees it", h("input", { name: "host", value: location.hostname })),
        ],
      }[kind.value] ?? [],
      kind.value !== "pelion" &&
        field(
          "It comes",
          select(
            "by",
            [
              ["", "straight to this server"],
              ["bootstrap", "by bootstrap"],
            ],
            "",
          ),
        ),
    );
  kind.addEventListener("change", drawExtra);
  drawExtra();
  const submit = (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.target));
    attempt(async () => drawMade(result, await MAKE[form.kind]({ ...form, isBootstrap: form.by === "bootstrap" })));
  };
  replace(
    place,
    h(
      "div",
      {},
      h("h1", {}, "New device"),
      h(
        "p",
        { class: "quiet" },
        "A name, and all that it needs is made: keys, a QR code, a command line to try it with. What the endpoint has of this kind is replaced.",
      ),
    ),
    h(
      "section",
      { class: "card" },
      h(
        "form",
        { class: "form", onsubmit: submit },
        field(
          "Endpoint name",
          h("input", {
            name: "endpoint",
            required: true,
            maxlength: 252,
            value: query.get("endpoint") ?? "",
            autocomplete: "off",
          }),
        ),
        field("It proves itself by", kind),
        extra,
        h("div", {}, h("button", { class: "primary" }, "Make it")),
      ),
    ),
    result,
  );
}
