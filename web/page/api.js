// Calls of /v1. The API key is asked for once, when a call is refused for want of it, and kept while the tab is open.
import { ask, field, h, toast } from "./dom.js";

const KEY = "berth-api-key";

/** What the server, or a device through it, has refused: an RFC 9457 document. */
export class Problem extends Error {
  constructor(status, problem, facts) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
    this.status = status;
    this.kind = (problem.type ?? "").split("/").pop();
    this.problem = problem;
    Object.assign(this, facts);
  }
}

let asking = null,
  refused = false,
  declined = false; // it is not asked for again until the page is loaded anew

function askForKey() {
  asking ??= ask("This server wants its API key", [
    field(
      "API key",
      h("input", { name: "key", type: "password", required: true, autocomplete: "off" }),
      `${refused ? "The last one was not it. " : ""}What it was started with (--api-key). It is kept until this tab is closed.`,
    ),
  ]).then((form) => {
    asking = null;
    refused = true; // should it be asked for once more
    if (form) sessionStorage.setItem(KEY, form.get("key"));
    declined = form === null;
    return form !== null;
  });
  return asking;
}

/** fetch() with the key; asks for it and tries again while the server wants another. */
export async function fetchWithKey(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
    if (answer.status !== 401 || answer.headers.get("CoAP-Code")) return answer;
    if (sessionStorage.getItem(KEY) === key) sessionStorage.removeItem(KEY);
    else continue; // somebody else was told meanwhile
    if (declined || !(await askForKey())) return answer;
  }
}

/** JSON as it came: of integers beyond 2^53 the digits are kept, as text, where the browser tells them. */
function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value,
  );
}

/** The body of an answer: JSON, text, or null when there is none. */
export async function bodyOf(answer) {
  const text = answer.status === 204 ? "" : await answer.text();
  if (text === "") return null;
  return (answer.headers.get("Content-Type") ?? "").includes("json") ? parse(text) : text;
}

/** {status, data, code, format, ms}; throws Problem with the same facts. `json` is a body, or `body` with `type`. */
export async function call(method, path, { json, body, type, headers, signal } = {}) {
  const began = performance.now();
  const answer = await fetchWithKey(path, {
    method,
    signal,
    body: json === undefined ? body : JSON.stringify(json),
    headers: {
      ...(json === undefined ? type && { "Content-Type": type } : { "Content-Type": "application/json" }),
      ...headers,
    },
  });
  const data = await bodyOf(answer);
  const facts = {
    status: answer.status,
    code: answer.headers.get("CoAP-Code") ?? data?.coap_code ?? null,
    format: answer.headers.get("CoAP-Content-Format"),
    observation: answer.headers.get("Observation"),
    location: answer.headers.get("Location"),
    warning: answer.headers.get("Berth-Warning"),
    ms: Math.round(performance.now() - began),
  };
  if (!answer.ok) throw new Problem(answer.status, typeof data === "object" && data ? data : { detail: data }, facts);
  return { ...facts, data };
}

export async function get(path, signal) {
  return (await call("GET", path, { signal })).data;
}

/** Do it; what goes wrong is shown. Returns undefined then. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, true);
    return undefined;
  }
}

export function device(endpoint, rest = "") {
  return `/v1/devices/${encodeURIComponent(endpoint)}${rest}`;
}

let about = null;

/** GET /v1/server, asked once. */
export function server() {
  about ??= get("/v1/server").catch((error) => {
    about = null;
    throw error;
  });
  return about;
}

/** The URIs of listeners as devices reach them: with this page's host where the server listens everywhere. */
export async function listeners(scheme, role = "management") {
  const here = location.hostname;
  return (await server()).listeners
    .filter((l) => (!scheme || l.uri.startsWith(`${scheme}://`)) && (l.role === "everything" || l.role === role))
    .map((l) => l.uri.split("?")[0].replace(/\/\/(0\.0\.0\.0|\[::\])(?=[:/]|$)/, `//${here}`));
}
