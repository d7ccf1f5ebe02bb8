// Messages of everybody, or of an address where perhaps no device ever registered.
import { field, h, replace } from "./dom.js";
import { ladder } from "./ladder.js";
import { watch } from "./live.js";

export async function show(place, { args, query }, signal) {
  const [peer] = args;
  document.title = `${peer ?? "Messages"} · Berth`;
  const address = h("input", {
    type: "search",
    name: "peer",
    value: peer ?? "",
    placeholder: "192.0.2.1:49152",
    size: 24,
  });
  const body = h("div", { class: "tab" });
  replace(
    place,
    h(
      "div",
      { class: "spread" },
      h(
        "div",
        {},
        h("h1", {}, peer ? `Messages of ${peer}` : "Messages"),
        h(
          "p",
          { class: "quiet" },
          peer
            ? "Of an address, also where no device ever registered."
            : "Of everybody, as far as the server keeps them. Those of a device are on its own page, live.",
        ),
      ),
      h(
        "form",
        {
          class: "filters",
          onsubmit: (event) => {
            event.preventDefault();
            const given = address.value.trim();
            location.hash = `#/messages${given ? `/${encodeURIComponent(given)}` : ""}`;
          },
        },
        field("Only of this address", address),
        h("button", {}, "Show"),
      ),
    ),
    body,
  );
  watch({ types: ["registered"] }, () => {}); // the light in the corner
  await ladder(
    body,
    peer
      ? {
          base: `/v1/peers/${encodeURIComponent(peer)}/messages`,
          file: peer.replace(/[^\w.-]/g, "_"),
          hash: `#/messages/${encodeURIComponent(peer)}`,
          query,
        }
      : { base: "/v1/messages", file: "berth", hash: "#/messages", query },
    signal,
  );
}
