// Making elements. What comes from the server becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function apply(element, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "width%") element.style.width = `${value}%`;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled", "indeterminate", "selected", "open"].includes(name))
      element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child);
  }
}

/** h("button", {class: "x", onclick: f}, "text", [more]) */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  append(element, children);
  apply(element, props); // after the children: a select's value is one of its options
  return element;
}

export function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  append(element, children);
  apply(element, props);
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Set text only where it has changed, so that what a person has selected stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Keep the children of `parent` one for each item, by key: made once, updated after, in the items' order. */
export function keyed(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child) {
      old.delete(key);
    } else {
      child = make(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  for (const child of old.values()) child.remove();
}

let labels = 0;

/** A form field with its label. */
export function field(label, control, hint) {
  control.id ||= `field-${++labels}`;
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint && h("small", {}, hint));
}

export function select(name, choices, value, props) {
  return h(
    "select",
    { name, value, ...props },
    choices.map(([key, text]) => h("option", { value: key }, text)),
  );
}

export function toast(text, isError) {
  const place = document.getElementById("toast");
  const note = h("p", { class: isError ? "bad" : "good" }, text);
  place.append(note);
  while (place.children.length > 3) place.firstElementChild.remove();
  setTimeout(() => note.remove(), isError ? 9000 : 4000);
}

export function copyButton(text, label = "Copy") {
  return h(
    "button",
    {
      type: "button",
      class: "small",
      onclick: async () => {
        const given = typeof text === "function" ? text() : text;
        try {
          await navigator.clipboard.writeText(given);
        } catch {
          const area = h("textarea", { class: "away", value: given, "aria-hidden": "true" });
          document.body.append(area);
          area.select();
          document.execCommand("copy"); // what is left where the page did not come over https
          area.remove();
        }
        toast("Copied.");
      },
    },
    label,
  );
}

/** Give the browser a file to keep. */
export function download(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** A dialog with a form; resolves with its data, or null when it is closed. */
export function ask(title, fields, { yes = "OK", danger = false } = {}) {
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      fields,
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { class: danger ? "danger" : "primary", value: "yes" }, yes),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// ---- numbers and times ----

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(1)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

export function count(n) {
  return n.toLocaleString("en");
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 && s < 600 ? ` ${s % 60} s` : ""}`;
  if (s < 172800) return `${Math.floor(s / 3600)} h${s % 3600 >= 60 ? ` ${Math.floor((s % 3600) / 60)} min` : ""}`;
  return `${Math.floor(s / 86400)} d`;
}

/** "20:44:18.143" in the time of this browser. */
export function clockText(iso, milliseconds = true) {
  const at = new Date(iso);
  const text = at.toLocaleTimeString("en-GB");
  return milliseconds ? `${text}.${String(at.getMilliseconds()).padStart(3, "0")}` : text;
}
