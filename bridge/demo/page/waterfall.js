// One trace: its facts, its spans on a time axis, and what one span holds.

import { arrowKeys, byId, clock, count, duration, lay, make, plural, short } from "./dom.js";
import { WORDS } from "./list.js";

const TICKS = [0, 0.25, 0.5, 0.75, 1];
const STOPPED = ["cancelled", "abandoned"];

let shown = null;
let chosen = null;

const status = (span) => (STOPPED.includes(span.attributes["error.type"]) ? "stopped" : span.status);

function note(span) {
  const { attributes } = span;
  if (span.kind === "chat" && attributes["gen_ai.usage.input_tokens"] !== undefined)
    return `${short(attributes["gen_ai.usage.input_tokens"])} → ${short(attributes["gen_ai.usage.output_tokens"] ?? 0)}`;
  if (span.kind === "tool" || span.status === "error") return attributes["error.type"] ?? "";
  if (span.kind === "step") return attributes["letta.step.stop_reason"] ?? "";
  return "";
}

function row(span) {
  const whole = shown.duration || 1;
  const left = (100 * span.start) / whole;
  const width = (100 * span.duration) / whole;
  const name = make("span", { className: "name" }, make("span", { className: "label" }, span.name), make("span", { className: "note" }, note(span)));
  name.style.setProperty("--depth", Math.min(span.depth, 8));
  const bar = make("span", { className: "bar" });
  bar.style.left = `${left}%`;
  bar.style.width = `${width}%`;
  const late = left + width > 88 && left > 12;
  const took = make("span", { className: late ? "took before" : "took" }, duration(span.duration));
  took.style.left = `${late ? left : left + width}%`;
  return [name, make("span", { className: "lane" }, bar, took)];
}

function create(id) {
  const button = make("button", { type: "button", className: "row" });
  button.addEventListener("click", () => chooseSpan(id));
  return make("li", {}, button);
}

function fill(item, span) {
  const button = item.firstChild;
  Object.assign(button.dataset, { kind: span.kind, status: status(span) });
  button.setAttribute("aria-current", String(span.id === chosen));
  button.replaceChildren(...row(span));
}

function chooseSpan(id) {
  chosen = id;
  for (const button of byId("spans").querySelectorAll("button"))
    button.setAttribute("aria-current", String(button.parentElement.dataset.id === id));
  showSpan(shown.spans.find((span) => span.id === id));
}

const text = (value) => (typeof value === "string" ? value : typeof value === "number" ? String(value) : JSON.stringify(value));

function problem(span) {
  const exception = span.events.find((event) => event.name === "exception")?.attributes ?? {};
  if (span.status !== "error") return null;
  const words = span.message || exception["exception.message"] || "failed";
  const trace = exception["exception.stacktrace"];
  return make("div", { className: "problem", data: { status: status(span) } }, words, trace ? make("pre", { tabIndex: 0 }, trace) : null);
}

function showSpan(span) {
  const rows = Object.entries(span.attributes).map(([name, value]) =>
    make("tr", {}, make("td", {}, name), make("td", {}, text(value))),
  );
  const half = Math.ceil(rows.length / 2);
  const links = span.links.map((link) => make("a", { href: `#${link.trace}` }, `linked to ${link.trace}`));
  byId("span").replaceChildren(
    make("header", {}, make("h2", {}, span.name), make("span", { className: "muted" }, duration(span.duration)), ...links),
    problem(span) ?? "",
    make("div", { className: "columns" }, make("table", {}, ...rows.slice(0, half)), make("table", {}, ...rows.slice(half))),
  );
}

function facts(trace) {
  const found = [
    ["started", clock(trace.start)],
    ["took", duration(trace.duration)],
    ["", `${plural(trace.steps, "step")}, ${plural(trace.tools, "tool call")}`],
    ["tokens", trace.tokens_in ? `${count(trace.tokens_in)} in, ${count(trace.tokens_out)} out` : "none"],
    ["model", trace.models.join(", ")],
    ["trace", trace.id],
  ];
  return found
    .filter(([, value]) => value)
    .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", { className: name === "trace" ? "id" : "" }, value)));
}

function tick(share) {
  const mark = make("span", {}, share ? duration(share * shown.duration) : "0");
  mark.style.left = `${100 * share}%`;
  return mark;
}

export function showTrace(trace) {
  byId("trace").hidden = !trace;
  byId("none").hidden = Boolean(trace);
  if (!trace) return;
  if (shown?.id !== trace.id) chosen = null;
  shown = trace;
  byId("trace-name").textContent = trace.name;
  byId("trace-state").dataset.tone = trace.state;
  byId("trace-state").textContent = WORDS[trace.state] ?? trace.state;
  byId("trace-reason").textContent = trace.reason && trace.reason !== trace.state ? trace.reason : "";
  byId("trace-facts").replaceChildren(...facts(trace));
  byId("ticks").replaceChildren(...TICKS.map(tick));
  const spans = new Map(trace.spans.map((span) => [span.id, span]));
  lay(byId("spans"), [...spans.keys()], create, (item, id) => fill(item, spans.get(id)));
  const telling = trace.spans.find((span) => span.status === "error" && span.depth > 0) ?? trace.spans[0];
  chooseSpan(spans.has(chosen) ? chosen : telling.id);
}

arrowKeys(byId("spans"));
