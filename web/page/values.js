// Values as /v1 tells them, as text for people; and what a person types, as JSON for /v1.
import { h, select } from "./dom.js";

const SHOWN = 160; // characters of a long value

function cut(text) {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}… (${text.length} characters)` : text;
}

function single(type, value) {
  if (value === null || value === undefined) return "—";
  if (typeof value === "object") return cut(JSON.stringify(value));
  if (type === "opaque" && value === "") return "(empty)";
  return cut(String(value));
}

/** {"type","value"}, {"type","values"}, {"value_b64"} → text */
export function valueText(data) {
  if (!data) return "—";
  if (data.value_b64 !== undefined) return `${cut(data.value_b64)} (Base64)`;
  if (data.values) {
    const parts = Object.entries(data.values).map(([id, v]) => `${id}: ${single(data.type, v?.value ?? v)}`);
    return parts.length ? parts.join(" · ") : "(no instances)";
  }
  if (data.type === "time" && data.iso) return data.iso.replace("T", " ").replace(".000Z", " UTC");
  return single(data.type, data.value);
}

/** Every resource in an answer to a Read: [[path, data], …] */
export function flatten(data) {
  if (data?.instances) {
    return Object.entries(data.instances).flatMap(([id, i]) => flatten({ path: `${data.path}/${id}`, ...i }));
  }
  if (!data?.resources) return data?.path ? [[data.path, data]] : [];
  return Object.entries(data.resources).map(([id, r]) => [id.startsWith("/") ? id : `${data.path}/${id}`, r]);
}

/** A control to type a value of that type into. */
export function control(type, multiple, value) {
  if (multiple) return h("textarea", { name: "value", value: value ?? '{"0": }', spellcheck: "false" });
  if (type === "boolean")
    return select(
      "value",
      [
        ["true", "true"],
        ["false", "false"],
      ],
      String(value ?? true),
    );
  if (type === "integer" || type === "unsigned" || type === "float")
    return h("input", {
      name: "value",
      inputmode: type === "float" ? "decimal" : "numeric",
      required: true,
      pattern: "-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?",
      value: value ?? "",
    });
  if (type === "time") return h("input", { name: "value", type: "datetime-local", step: 1, required: true });
  return h("input", { name: "value", value: value ?? "", maxlength: 4096 });
}

export const HINTS = {
  opaque: "Base64",
  objlnk: "object:instance, such as 3:0",
  corelnk: "link format",
  time: "in UTC",
};

/** The JSON of a body, as text: numbers stay as they were typed. */
export function bodyOf(type, multiple, typed) {
  if (multiple) return `{"values":${typed}}`;
  if (type === "boolean" || type === "integer" || type === "unsigned" || type === "float") return `{"value":${typed}}`;
  if (type === "time") return `{"value":${Math.round(Date.parse(`${typed}Z`) / 1000)}}`;
  return JSON.stringify({ value: typed });
}
