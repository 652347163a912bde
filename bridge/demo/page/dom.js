// The few ways in which this page makes elements. Text is only ever set as text: a name cannot become markup.

export const byId = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Lay `ids` out as the children of `list`, in that order. An element keeps its identity, and so its focus, as long
// as its id stays; `fill` brings it up to date.
export function lay(list, ids, create, fill) {
  const known = new Map([...list.children].map((child) => [child.dataset.id, child]));
  ids.forEach((id, place) => {
    let child = known.get(id);
    if (!child) {
      child = create(id);
      child.dataset.id = id;
    }
    known.delete(id);
    if (list.children[place] !== child) list.insertBefore(child, list.children[place] ?? null);
    fill(child, id);
  });
  for (const gone of known.values()) gone.remove();
}

// Up, Down, Home and End move between the buttons of a list.
export function arrowKeys(list) {
  list.addEventListener("keydown", (event) => {
    const buttons = [...list.querySelectorAll("button")];
    const here = buttons.indexOf(document.activeElement);
    const target = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (target === undefined || here < 0 || !buttons[target]) return;
    event.preventDefault();
    buttons[target].focus();
  });
}

export function duration(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${(ms / 60_000).toFixed(1)} min`;
}

export const count = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 2 });

export function short(number) {
  if (number < 10_000) return count(number);
  return number < 1e6 ? `${(number / 1e3).toFixed(1)}k` : `${(number / 1e6).toFixed(2)}M`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
