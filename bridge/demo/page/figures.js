// The counters: a few tiles made of the metric series, and the table of all of them.

import { byId, count, make, plural, short } from "./dom.js";

const ORDER = ["completed", "success", "failed", "error", "cancelled", "abandoned"];

function sums(series, name, attribute) {
  const found = new Map();
  for (const one of series.filter((each) => each.name === name)) {
    const key = one.attributes[attribute] ?? "";
    found.set(key, (found.get(key) ?? 0) + one.value);
  }
  return found;
}

const total = (map) => [...map.values()].reduce((sum, value) => sum + value, 0);
const place = (key) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);
const parts = (map) => [...map].sort(([a], [b]) => place(a) - place(b)).map(([key, value]) => [key, value, key]);
const number = (series, name) => total(sums(series, name, ""));

function tiles(series) {
  const tokens = sums(series, "letta.tokens", "letta.token.type");
  const of = (type) => tokens.get(type) ?? 0;
  return [
    ["Runs", sums(series, "letta.runs", "letta.run.status")],
    ["Steps", sums(series, "letta.steps", "letta.step.status")],
    ["Tool calls", sums(series, "letta.tool.calls", "letta.tool.status")],
  ]
    .map(([label, found]) => [label, total(found), parts(found)])
    .concat([
      ["Tokens", of("input") + of("output"), [["in", of("input")], ["out", of("output")], ["from cache", of("cache_read")]]],
      [
        "Open runs",
        number(series, "letta.runs.open"),
        [["waiting for approval", number(series, "letta.approvals.waiting"), "waiting"]],
      ],
    ]);
}

function tile([label, value, details]) {
  const list = details.map(([name, amount, tone]) => make("li", tone ? { data: { tone: amount ? tone : "none" } } : {}, `${short(amount)} ${name}`));
  return make("div", { className: "tile" }, make("h3", {}, label), make("strong", {}, short(value)), make("ul", {}, ...list));
}

function row(one) {
  const attributes = Object.entries(one.attributes).map(([name, value]) => `${name}=${value}`);
  const unit = one.unit.startsWith("{") || one.unit === "1" ? "" : ` ${one.unit}`;
  const value = one.count === null ? count(one.value) + unit : `${count(one.value)}${unit} in ${count(one.count)}`;
  return make("tr", {}, make("td", {}, one.name), make("td", {}, attributes.join("  ")), make("td", { className: "number" }, value));
}

export function showFigures(series, spans) {
  byId("tiles").replaceChildren(...tiles(series).map(tile));
  byId("metrics").replaceChildren(...series.map(row));
  byId("series").textContent = series.length;
  byId("proof").textContent = `${plural(spans.received, "span")} received, ${spans.twice || "none"} of them twice.`;
}
