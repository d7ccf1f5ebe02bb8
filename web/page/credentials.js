// By what devices prove who they are, and what bootstrap gives them.
import { attempt, call, get } from "./api.js";
import { ask, field, h, replace, select, toast } from "./dom.js";
import { watch } from "./live.js";

const MODES = { psk: "PSK", x509: "X.509", oscore: "OSCORE", none: "none" };
const PAGE = 50;

function where(c) {
  if (c.mode === "psk") return c.identity ?? c.identity_hex;
  if (c.mode === "oscore")
    return `recipient ${c.recipient_id_hex || "(empty)"}, sender ${c.sender_id_hex || "(empty)"}`;
  if (c.mode === "x509")
    return (
      [c.subject, c.fingerprint_sha256 && `${c.fingerprint_sha256.slice(0, 16)}…`].filter(Boolean).join(", ") ||
      "any certificate of its name"
    );
  return "";
}

// ---- the lists ----

async function loadCredentials(query, signal) {
  if (query.get("endpoint")) {
    const found = await get(`/v1/credentials/${encodeURIComponent(query.get("endpoint"))}`, signal).catch((error) => {
      if (error.status === 404) return { items: [] };
      throw error;
    });
    return { ...found, next: null };
  }
  const given = new URLSearchParams({ limit: PAGE });
  for (const name of ["mode", "cursor"]) if (query.get(name)) given.set(name, query.get(name));
  return get(`/v1/credentials?${given}`, signal);
}

function go(query, changes) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  location.hash = `#/credentials${text ? `?${text}` : ""}`;
}

function credentialRow(c, again) {
  const link = `#/credentials/new?endpoint=${encodeURIComponent(c.endpoint)}&kind=${c.mode}`;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("a", { href: `#/device/${encodeURIComponent(c.endpoint)}` }, c.endpoint)),
    h("td", {}, MODES[c.mode]),
    h("td", {}, c.service),
    h("td", { class: "mono" }, where(c)),
    h("td", {}, c.source === "option" ? "command line" : "stored"),
    h(
      "td",
      {},
      c.source !== "option" &&
        h(
          "div",
          { class: "row tight" },
          h(
            "a",
            { class: "button small", href: link, "aria-label": `Replace ${MODES[c.mode]} of ${c.endpoint}` },
            "Replace",
          ),
          h(
            "button",
            {
              type: "button",
              class: "small danger",
              "aria-label": `Remove ${MODES[c.mode]} of ${c.endpoint}`,
              onclick: async () => {
                if (
                  !(await ask(`Remove ${MODES[c.mode]} of ${c.endpoint}?`, [h("p", {}, "Its sessions end.")], {
                    yes: "Remove",
                    danger: true,
                  }))
                )
                  return;
                await attempt(() =>
                  call(
                    "DELETE",
                    `/v1/credentials/${encodeURIComponent(c.endpoint)}?mode=${c.mode}&service=${c.service}`,
                  ),
                );
                again();
              },
            },
            "Remove",
          ),
        ),
    ),
  );
}

async function drawCredentials(place, query, signal) {
  const again = () => attempt(() => drawCredentials(place, query, signal));
  const page = await loadCredentials(query, signal);
  const endpoint = h("input", { type: "search", name: "endpoint", value: query.get("endpoint") ?? "" });
  replace(
    place,
    h(
      "form",
      {
        class: "filters",
        onsubmit: (event) => {
          event.preventDefault();
          go(query, { endpoint: endpoint.value.trim(), cursor: null });
        },
      },
      field("Of this endpoint", endpoint),
      field(
        "Kind",
        select("mode", [["", "any"], ...Object.entries(MODES)], query.get("mode") ?? "", {
          onchange: (event) => go(query, { mode: event.target.value, endpoint: null, cursor: null }),
        }),
      ),
      h("a", { class: "button primary", href: "#/credentials/new" }, "New device"),
    ),
    page.items.length
      ? h(
          "div",
          { class: "scroll" },
          h(
            "table",
            { class: "list" },
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["Endpoint", "Kind", "For", "Known by", "From", ""].map((t) =>
                  h(t ? "th" : "td", t ? { scope: "col" } : {}, t),
                ),
              ),
            ),
            h(
              "tbody",
              {},
              page.items.map((c) => credentialRow(c, again)),
            ),
          ),
        )
      : h(
          "p",
          { class: "empty" },
          query.get("endpoint")
            ? `${query.get("endpoint")} has no credential.`
            : "No credentials yet. A device without any may register without security.",
        ),
    h(
      "div",
      { class: "pager" },
      query.get("cursor") && h("button", { type: "button", onclick: () => go(query, { cursor: null }) }, "First page"),
      page.next !== null &&
        h("button", { type: "button", onclick: () => go(query, { cursor: page.next }) }, "Next page"),
    ),
  );
}

async function drawBootstrap(place, query, signal) {
  const again = () => attempt(() => drawBootstrap(place, query, signal));
  const wanted = query.get("endpoint");
  const page = wanted
    ? {
        items: await get(`/v1/bootstrap/${encodeURIComponent(wanted)}`, signal).then(
          (c) => [{ endpoint: wanted, ...c }],
          (error) => {
            if (error.status === 404) return [];
            throw error;
          },
        ),
        next: null,
      }
    : await get(`/v1/bootstrap?limit=${PAGE}${query.get("boot") ? `&cursor=${query.get("boot")}` : ""}`, signal);
  const edit = async (endpoint, config) => {
    const { endpoint: _endpoint, ...rest } = config;
    const form = await ask(
      endpoint ? `What bootstrap gives ${endpoint}` : "What bootstrap gives",
      [
        !endpoint &&
          field(
            "Endpoint",
            h("input", { name: "endpoint", value: wanted ?? "default", required: true }),
            "default: every endpoint without a configuration of its own",
          ),
        field(
          "Configuration, JSON",
          h("textarea", { name: "config", rows: 14, value: JSON.stringify(rest, null, 1), spellcheck: "false" }),
          "Keys that it has do not come back: what is stored here needs them again.",
        ),
      ],
      { yes: "Store" },
    );
    if (!form) return;
    await attempt(async () => {
      await call("PUT", `/v1/bootstrap/${encodeURIComponent(endpoint ?? form.get("endpoint"))}`, {
        body: form.get("config"),
        type: "application/json",
      });
      toast("Stored.");
    });
    again();
  };
  replace(
    place,
    h(
      "div",
      { class: "spread" },
      h("h2", {}, "Bootstrap"),
      h(
        "button",
        { type: "button", onclick: () => edit(null, { servers: [{ short_id: 1, lifetime_s: 300, security: {} }] }) },
        "Add a configuration",
      ),
    ),
    h(
      "p",
      { class: "quiet" },
      "Without any, a device that asks is given an account of this server, by the security with which it has come.",
    ),
    page.items.length > 0 &&
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "list" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["Endpoint", "Servers", "Steps", ""].map((t) => h(t ? "th" : "td", t ? { scope: "col" } : {}, t)),
            ),
          ),
          h(
            "tbody",
            {},
            page.items.map((c) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, c.endpoint ?? "default"),
                h(
                  "td",
                  {},
                  (c.servers ?? [])
                    .map((s) => `${s.uri ?? "this server"} (${s.security?.mode ?? "as it comes"})`)
                    .join(", ") || "none",
                ),
                h("td", {}, c.sequence ?? "as the client wants them"),
                h(
                  "td",
                  {},
                  h(
                    "div",
                    { class: "row tight" },
                    h(
                      "button",
                      {
                        type: "button",
                        class: "small",
                        "aria-label": `Change bootstrap of ${c.endpoint}`,
                        onclick: () => edit(c.endpoint ?? "default", c),
                      },
                      "Change",
                    ),
                    h(
                      "button",
                      {
                        type: "button",
                        class: "small danger",
                        "aria-label": `Remove bootstrap of ${c.endpoint}`,
                        onclick: async () => {
                          if (
                            !(await ask(`Remove what bootstrap gives ${c.endpoint ?? "everyone else"}?`, [], {
                              yes: "Remove",
                              danger: true,
                            }))
                          )
                            return;
                          await attempt(() =>
                            call("DELETE", `/v1/bootstrap/${encodeURIComponent(c.endpoint ?? "default")}`),
                          );
                          again();
                        },
                      },
                      "Remove",
                    ),
                  ),
                ),
              ),
            ),
          ),
        ),
      ),
    page.next !== null && h("button", { type: "button", onclick: () => go(query, { boot: page.next }) }, "Next page"),
  );
}

export async function show(place, { args, query }, signal) {
  document.title = "Credentials · Berth";
  if (args[0] === "new") {
    const { newDevice } = await import("./new_device.js");
    newDevice(place, query);
    watch({ types: ["bootstrap_finished"] }, () => {});
    return;
  }
  const credentials = h("section", { class: "stack" });
  const bootstrap = h("section", { class: "stack", "aria-label": "Bootstrap" });
  replace(
    place,
    h(
      "div",
      {},
      h("h1", {}, "Credentials"),
      h("p", { class: "quiet" }, "By what devices prove who they are. Keys never come back."),
    ),
    credentials,
    bootstrap,
  );
  await Promise.all([drawCredentials(credentials, query, signal), drawBootstrap(bootstrap, query, signal)]);
  watch({ types: ["bootstrap_finished"] }, () => attempt(() => drawCredentials(credentials, query, signal)));
}
