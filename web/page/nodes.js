// The servers on one database, where there are several: which one serves, and which could go on.
import { get } from "./api.js";
import { clockText, duration, h, keyed, replace, setText } from "./dom.js";
import { watch } from "./live.js";

const LOOK_MS = 2000;
const STATES = {
  serves: ["serves", "tag secure"],
  stands_by: ["stands by", "tag"],
  gone: ["gone", "tag warn"],
};

function make(node) {
  const cells = { state: h("span"), api: h("td", { class: "mono" }), alive: h("td") };
  const row = h(
    "tr",
    {},
    h("th", { scope: "row" }, node.number),
    h("td", {}, cells.state),
    cells.api,
    h("td", {}, node.version),
    h("td", { class: "mono" }, `${node.started_at.slice(0, 10)} ${clockText(node.started_at, false)}`),
    cells.alive,
  );
  row.cells_ = cells;
  return row;
}

function update(row, node, newest) {
  const { state, api, alive } = row.cells_;
  const [words, style] = STATES[node.state] ?? [node.state, "tag"];
  state.className = style;
  setText(state, words);
  setText(api, `${node.api}${node.self ? " (this one)" : ""}`);
  const silent = Math.max(0, Math.round((newest - new Date(node.alive_at)) / 1000));
  setText(alive, silent < 3 ? "now" : `${duration(silent)} ago`);
}

export async function show(place, _route, signal) {
  document.title = "Nodes · Berth";
  const rows = h("tbody");
  const look = async () => {
    const { items } = await get("/v1/nodes", signal);
    const newest = Math.max(...items.map((n) => new Date(n.alive_at)));
    keyed(
      rows,
      items,
      (n) => `${n.number} ${n.started_at}`,
      make,
      (row, n) => update(row, n, newest),
    );
  };
  replace(
    place,
    h(
      "div",
      {},
      h("h1", {}, "Nodes"),
      h("p", { class: "quiet" }, "The servers on this one's database. One serves; another goes on when it dies."),
    ),
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
            ["Number", "State", "API", "Version", "Since", "Last heard"].map((t) => h("th", { scope: "col" }, t)),
          ),
        ),
        rows,
      ),
    ),
  );
  watch({ types: ["registered"] }, () => {}); // the light in the corner
  await look();
  const looking = setInterval(() => look().catch(() => {}), LOOK_MS);
  signal.addEventListener("abort", () => clearInterval(looking));
}
