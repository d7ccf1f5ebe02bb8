// Small plots in SVG: they take the width that is there, and say in words what they show.
import { svg } from "./dom.js";

const W = 600;

function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function niceRange(low, high) {
  if (low === high) return [low - 1, high + 1];
  const pad = (high - low) * 0.08;
  return [low - pad, high + pad];
}

const number = (n) => (Math.abs(n) >= 1000 ? Math.round(n).toLocaleString("en") : String(+n.toPrecision(4)));

/** Values over time: [[ms, value], …], oldest first. */
export function lines(
  points,
  { height = 110, label = "Values over time", from, to, zero = false, steps = false } = {},
) {
  const H = height;
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", preserveAspectRatio: "none" });
  if (points.length === 0) {
    root.setAttribute("aria-label", `${label}: nothing yet`);
    return root;
  }
  const values = points.map((p) => p[1]);
  const [low, high] = niceRange(zero ? Math.min(0, ...values) : Math.min(...values), Math.max(...values));
  const bottom = zero && low < 0 && Math.min(...values) >= 0 ? 0 : low;
  const start = from ?? points[0][0];
  const end = Math.max(to ?? points.at(-1)[0], start + 1);
  const x = (t) => ((t - start) / (end - start)) * W;
  const y = (v) => H - 4 - ((v - bottom) / (high - bottom)) * (H - 8);
  const line = [];
  for (const [t, v] of points) {
    if (steps && line.length) line.push([x(t), line.at(-1)[1]]);
    line.push([Math.max(0, x(t)), y(v)]);
  }
  if (to !== undefined && steps) line.push([W, line.at(-1)[1]]);
  if (line.length === 1) line.push([W, line[0][1]]);
  const area = [[line[0][0], H], ...line, [line.at(-1)[0], H]];
  root.setAttribute(
    "aria-label",
    `${label}: now ${number(values.at(-1))}, between ${number(Math.min(...values))} and ${number(Math.max(...values))}`,
  );
  root.append(
    svg("path", { d: `${path(area)}Z`, class: "area" }),
    svg("path", { d: path(line), class: "line", "vector-effect": "non-scaling-stroke" }),
  );
  return root;
}

/** How often something happened: [[ms, count], …] as bars, in the classes that are given: {class, items}. */
export function ticks(series, { height = 26, from, to, step, label }) {
  const root = svg("svg", {
    viewBox: `0 0 ${W} ${height}`,
    class: "plot",
    role: "img",
    preserveAspectRatio: "none",
    "aria-label": label,
  });
  const most = Math.max(1, ...series.flatMap(({ items }) => items.map((i) => i[1])));
  const width = Math.max(1.5, (step / (to - from)) * W - 0.5);
  for (const { name, items } of series) {
    for (const [t, n] of items) {
      if (!n) continue;
      const tall = Math.max(2, (n / most) * height);
      root.append(
        svg("rect", { x: ((t - from) / (to - from)) * W, y: height - tall, width, height: tall, class: name }),
      );
    }
  }
  return root;
}
