// One stream of events a page: what a panel watches is asked for, and asked for anew where it broke off. fetch() instead of
// EventSource, since that cannot send the API key.
import { fetchWithKey, get } from "./api.js";
import { setText } from "./dom.js";

const GATHER_MS = 200; // events are handed over in heaps, so that a storm is not drawn one by one
const KEPT = 2000; // of a heap; the newest

let current = null;
let offset = 0; // protocol time less this machine's, in ms

/** Protocol time now, in ms since 1970. */
export function now() {
  return Date.now() + offset;
}

export function setNow(iso) {
  offset = new Date(iso).getTime() - Date.now();
}

function show(text, good) {
  const place = document.getElementById("live");
  setText(place, text);
  place.dataset.state = good ? "good" : "bad";
}

/** Resolves when the tab is looked at. A browser opens few connections to a server: those that nobody sees hold none. */
async function looked() {
  while (document.hidden) await new Promise((done) => addEventListener("visibilitychange", done, { once: true }));
}

addEventListener("visibilitychange", () => {
  if (document.hidden) current?.reading?.abort();
});

class Stream {
  constructor(query, told) {
    this.query = query;
    this.told = told;
    this.heap = [];
    this.abort = new AbortController();
    this.last = null;
    this.run();
  }

  async run() {
    let wait = 500;
    while (!this.abort.signal.aborted) {
      await looked();
      if (this.abort.signal.aborted) return;
      this.reading = new AbortController();
      const signal = AbortSignal.any([this.abort.signal, this.reading.signal]);
      try {
        await this.read(signal);
        wait = 500;
      } catch (error) {
        if (this.abort.signal.aborted) return;
        if (this.reading.signal.aborted) continue;
        show("disconnected", false);
      }
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, 8000);
    }
  }

  async read(signal) {
    // From a number on, so that nothing is lost when it breaks off before the first event.
    this.last ??= this.query.after ?? (await get("/v1/events/last", signal)).last;
    const query = new URLSearchParams({ ...this.query, after: this.last });
    const answer = await fetchWithKey(`/v1/events?${query}`, { signal });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show("live", true);
    if (this.isAgain) this.hand([]); // what was missed may be gone: let the panel look for itself
    this.isAgain = true;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) this.take(part);
    }
  }

  take(part) {
    const data = part.split("\n").find((line) => line.startsWith("data: "));
    if (!data) return;
    const event = JSON.parse(data.slice(6));
    this.last = event.id;
    this.heap.push(event);
    if (this.heap.length > KEPT) this.heap.shift();
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      const heap = this.heap;
      this.heap = [];
      this.hand(heap);
    }, GATHER_MS);
  }

  hand(heap) {
    if (!this.abort.signal.aborted) this.told(heap);
  }

  stop() {
    this.abort.abort();
    clearTimeout(this.timer);
  }
}

/** Have `told` called with heaps of events (an empty one after a break), until the panel is left or another is watched. */
export function watch({ types, endpoint, after }, told) {
  current?.stop();
  const query = {};
  if (types) query.types = types.join(",");
  if (endpoint) query.endpoint = endpoint;
  if (after !== undefined) query.after = after;
  current = new Stream(query, told);
}

export function unwatch() {
  current?.stop();
  current = null;
}
