// Which panel is shown: the part of the address behind '#' says it, so every one of them can be shared.
import { get, server } from "./api.js";
import { h, replace, setText } from "./dom.js";
import { setNow, unwatch } from "./live.js";

const PANELS = {
  devices: () => import("./devices.js"),
  device: () => import("./device.js"),
  knocking: () => import("./knocking.js"),
  messages: () => import("./messages.js"),
  credentials: () => import("./credentials.js"),
  faults: () => import("./faults.js"),
  nodes: () => import("./nodes.js"),
};

let leave = null; // what the panel that is shown does when it goes
let turn = 0;
let shown = "";

/** "#/device/urn%3Ax/messages?kind=read" → {name, args, query} */
function parse() {
  const [path, search] = location.hash.slice(2).split("?");
  const [name, ...args] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name: Object.hasOwn(PANELS, name) ? name : null, args, query: new URLSearchParams(search ?? "") };
}

/** What is shown when the address says nothing: a listener for bootstrap is asked about credentials. */
async function firstPanel() {
  const about = await server().catch(() => null); // the panel says what is wrong
  return about?.role === "bootstrap" ? "credentials" : "devices";
}

function mark(name) {
  for (const link of document.querySelectorAll("nav a")) {
    const is = link.hash === `#/${name === "device" ? "devices" : name}`;
    if (is) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function show() {
  if (location.hash === "#main") return; // the link that skips the navigation
  const mine = ++turn;
  const route = parse();
  route.name ??= await firstPanel();
  if (mine !== turn) return;
  const main = document.getElementById("main");
  leave?.abort();
  leave = new AbortController();
  unwatch();
  mark(route.name);
  try {
    const panel = await PANELS[route.name]();
    if (mine !== turn) return;
    const place = h("div", { class: `panel ${route.name}` });
    replace(main, place);
    document.title = "Berth";
    await panel.show(place, route, leave.signal);
  } catch (error) {
    if (error.name !== "AbortError" && mine === turn)
      replace(main, h("p", { class: "empty", role: "alert" }, error.message));
  }
  if (mine !== turn) return;
  if (shown && shown !== route.name) main.focus({ preventScroll: true });
  shown = route.name;
}

function setTheme(theme) {
  const words = { auto: "as the system has them", light: "light", dark: "dark" };
  const button = document.getElementById("theme");
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.setAttribute("aria-label", `Colours: ${words[theme]}`);
  button.title = `Colours: ${words[theme]}`;
  setText(button, { auto: "◐", light: "☀", dark: "☾" }[theme]);
}

function startTheme() {
  const order = ["auto", "light", "dark"];
  let theme = localStorage.getItem("berth-theme") ?? "auto";
  if (!order.includes(theme)) theme = "auto";
  setTheme(theme);
  document.getElementById("theme").addEventListener("click", () => {
    theme = order[(order.indexOf(theme) + 1) % order.length];
    localStorage.setItem("berth-theme", theme);
    setTheme(theme);
  });
}

/** Peers that were turned away in the last quarter of an hour, beside the name of their panel. */
async function countKnocks() {
  const place = document.getElementById("knocks");
  try {
    const counts = await get("/v1/counts");
    setNow(counts.now);
    const since = new Date(counts.now).getTime() - 900000;
    const failures = counts.items
      .filter((i) => new Date(i.at).getTime() >= since)
      .reduce((sum, i) => sum + i.failures, 0);
    place.hidden = failures === 0;
    setText(place, failures > 999 ? "999+" : String(failures));
    place.title = `${failures} refused in the last 15 minutes`;
  } catch {
    place.hidden = true; // the panel that is shown says what is wrong
  }
}

/** Where there are several servers, a panel tells about them. */
async function offerNodes() {
  const { items } = await get("/v1/nodes");
  document.getElementById("nodes").hidden = items.length < 2;
}

startTheme();
addEventListener("hashchange", show);
await show();
countKnocks();
offerNodes().catch(() => {}); // the panel that is shown says what is wrong
setInterval(countKnocks, 15000);
