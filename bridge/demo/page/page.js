// Ask every second what is new, and show it.

import { byId } from "./dom.js";
import { showFigures } from "./figures.js";
import { showList } from "./list.js";
import { showTrace } from "./waterfall.js";

const EVERY_MS = 1000;

const traces = new Map();
let versions = { traces: 0, figures: 0 };
let order = [];
let chosen = location.hash.slice(1) || null;
let shownVersion = null;

async function json(path) {
  const answer = await fetch(path);
  if (answer.status === 204) return null;
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function take(state) {
  versions = state.versions;
  order = state.order;
  for (const trace of state.traces) traces.set(trace.id, trace);
  for (const id of traces.keys()) if (!order.includes(id)) traces.delete(id);
  if (!traces.has(chosen)) chosen = fullest();
  showFigures(state.figures, state.spans);
}

// With nothing chosen, the trace that shows most; of several the newest.
function fullest() {
  const size = (id) => traces.get(id).steps + traces.get(id).tools;
  return order.reduce((best, id) => (best === null || size(id) > size(best) ? id : best), null);
}

async function refresh() {
  const state = await json(`api/state?traces=${versions.traces}&figures=${versions.figures}`);
  if (state) take(state);
  showList(order, traces, chosen, choose);
  await showChosen();
}

async function showChosen() {
  const wanted = chosen && `${chosen} ${traces.get(chosen).version}`;
  if (wanted === shownVersion) return;
  const trace = chosen ? await json(`api/traces/${chosen}`) : null;
  if (wanted !== (chosen && `${chosen} ${traces.get(chosen)?.version}`)) return;
  showTrace(trace);
  shownVersion = wanted;
}

function choose(id) {
  if (!traces.has(id)) return;
  chosen = id;
  history.replaceState(null, "", `#${id}`);
  showList(order, traces, chosen, choose);
  showChosen().catch(lost);
}

function say(live, words) {
  byId("live").dataset.live = live;
  if (byId("live").textContent !== words) byId("live").textContent = words;
}

function lost() {
  say("no", "the demo has stopped");
}

async function keepAsking() {
  try {
    await refresh();
    say("yes", "live");
  } catch {
    lost();
  }
  setTimeout(keepAsking, EVERY_MS);
}

addEventListener("hashchange", () => choose(location.hash.slice(1)));
keepAsking();
