// The list of traces, newest first.

import { arrowKeys, byId, clock, duration, lay, make, plural, short } from "./dom.js";

export const WORDS = { waiting: "waits for approval" };
const CALM = ["completed", "waiting", "running"];

function create(choose) {
  return (id) => {
    const button = make("button", { type: "button", className: "trace fresh" });
    button.addEventListener("click", () => choose(id));
    return make("li", {}, button);
  };
}

function fill(item, trace, chosen) {
  const button = item.firstChild;
  button.setAttribute("aria-current", String(chosen));
  if (item.dataset.version === String(trace.version)) return;
  item.dataset.version = trace.version;
  const calm = CALM.includes(trace.state);
  const why = calm ? trace.errors && plural(trace.errors, "error") : trace.reason;
  button.replaceChildren(
    make("span", { className: "title" }, trace.name),
    make("span", { className: "chip", data: { tone: trace.state } }, WORDS[trace.state] ?? trace.state),
    make(
      "span",
      { className: "line" },
      make("span", {}, clock(trace.start)),
      make("span", {}, duration(trace.duration)),
      make("span", {}, plural(trace.steps, "step")),
      trace.tokens_in && calm ? make("span", {}, `${short(trace.tokens_in + trace.tokens_out)} tokens`) : null,
      why && why !== trace.state ? make("span", { className: "why", title: why }, why) : null,
    ),
  );
}

export function showList(order, traces, chosen, choose) {
  lay(byId("traces"), order, create(choose), (item, id) => fill(item, traces.get(id), id === chosen));
  byId("count").textContent = order.length || "";
  byId("empty").hidden = order.length > 0;
}

arrowKeys(byId("traces"));
