// Firmware of a device: images that are hosted, an update and how far it is.
import { attempt, call, device as pathOf, get, Problem } from "./api.js";
import { bytes, field, h, replace, select, toast } from "./dom.js";

const STEPS = ["preparing", "delivering", "downloading", "downloaded", "installing", "updating", "succeeded"];

async function updateOf(endpoint, signal) {
  try {
    return await get(pathOf(endpoint, "/firmware"), signal);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

export async function showFor(place, { endpoint }, signal) {
  const progress = h("section", { class: "card", "aria-label": "Update" });
  const images = h("div");
  let update = null;

  const draw = () => {
    if (!update) {
      replace(progress, h("h2", {}, "Update"), h("p", { class: "quiet" }, "No update of this device was ordered."));
      return;
    }
    const at = update.over && update.state !== "succeeded" ? -1 : STEPS.indexOf(update.state);
    const part = update.state === "succeeded" ? 1 : update.size ? (update.bytes ?? 0) / update.size : 0;
    replace(
      progress,
      h(
        "div",
        { class: "spread" },
        h("h2", {}, `${update.image ?? update.uri}: ${update.state}`),
        h(
          "button",
          {
            type: "button",
            onclick: () =>
              attempt(async () => {
                await call("DELETE", pathOf(endpoint, "/firmware"));
                await again();
              }),
          },
          update.over ? "Forget it" : "Cancel it",
        ),
      ),
      h("progress", { max: 1, value: part, "aria-label": `Downloaded ${Math.round(part * 100)} %` }),
      h(
        "p",
        {},
        update.size
          ? `${bytes(update.bytes ?? 0)} of ${bytes(update.size)}, by ${update.method}${update.protocol ? ` over ${update.protocol}` : ""}`
          : `by ${update.method ?? "the device's choice"}`,
      ),
      h(
        "ol",
        { class: "steps" },
        STEPS.map((step, i) =>
          h(
            "li",
            {
              class: i < at || update.state === "succeeded" ? "done" : i === at ? "now" : "",
              "aria-current": i === at && "step",
            },
            step,
          ),
        ),
      ),
      update.result_text && h("p", {}, `Result ${update.result}: ${update.result_text}`),
      update.detail && h("p", { class: "bad" }, update.detail, update.coap_code && ` (${update.coap_code})`),
    );
  };
  const again = async () => {
    update = await updateOf(endpoint, signal);
    draw();
  };

  const start = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    attempt(async () => {
      const order = {
        image: form.get("image"),
        method: form.get("method"),
        protocol: form.get("protocol"),
        update: form.get("update") !== null,
      };
      const answer = await call("POST", pathOf(endpoint, "/firmware"), { json: order });
      update = answer.data;
      draw();
    });
  };
  const upload = (event) => {
    event.preventDefault();
    const [file] = event.target.elements.file.files;
    attempt(async () => {
      await call("PUT", `/v1/firmware/${encodeURIComponent(file.name)}`, {
        body: file,
        type: "application/octet-stream",
      });
      toast(`${file.name} is stored.`);
      await list();
    });
  };
  const list = async () => {
    const { items } = await get("/v1/firmware", signal);
    const shown = items.slice(0, 200);
    replace(
      images,
      shown.length === 0
        ? h("p", { class: "quiet" }, "No image is stored yet.")
        : h(
            "form",
            { class: "form", onsubmit: start },
            field(
              "Image",
              select(
                "image",
                shown.map((i) => [i.name, `${i.name}, ${bytes(i.size)}`]),
                shown[0].name,
              ),
            ),
            field(
              "Method",
              select(
                "method",
                [
                  ["auto", "as the device can"],
                  ["pull", "pull: it fetches"],
                  ["push", "push: it is written"],
                ],
                "auto",
              ),
            ),
            field(
              "Protocol of a pull",
              select(
                "protocol",
                ["auto", "coap", "coaps", "coap+tcp", "coaps+tcp", "http"].map((p) => [p, p]),
                "auto",
              ),
            ),
            h(
              "label",
              { class: "check" },
              h("input", { type: "checkbox", name: "update", checked: true }),
              "install it, too",
            ),
            h("div", {}, h("button", { class: "primary" }, "Update the device")),
          ),
      h(
        "form",
        { class: "filters", onsubmit: upload },
        field("Store another image", h("input", { type: "file", name: "file", required: true })),
        h("button", {}, "Store"),
      ),
    );
  };

  replace(place, progress, h("section", { class: "card" }, h("h2", {}, "Images"), images));
  await Promise.all([again(), list()]);
  return {
    told: (events) => {
      const last = events.filter((e) => e.type === "firmware").at(-1);
      if (!last) return;
      update = { ...update, ...last, over: ["succeeded", "failed", "cancelled"].includes(last.state) };
      draw();
      if (update.over) attempt(again);
    },
  };
}
