// Makes elements. Text from outside is set only as text, never as HTML.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) set(made, key, value);
  made.append(...children);
  return made;
}

export function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function set(node, key, value) {
  if (value === false || value === null || value === undefined) node.removeAttribute(key);
  else node.setAttribute(key, value === true ? "" : value);
}

export const find = (selector, within = document) => within.querySelector(selector);

// Replaces the text only if it differs, so that a screen reader does not read it again.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export const hidden = (value) => element("span", { class: "hidden" }, value);

const SHAPES = {
  ok: "M8 3a5 5 0 1 0 .01 0z",
  warning: "M8 2 15 14H1z",
  wrong: "M8 1 15 8 8 15 1 8z",
};

// The shape of a state: circle, triangle, diamond, or an empty circle. A word always follows it.
export function shape(state) {
  const path = SHAPES[state] ?? SHAPES.ok;
  return drawing("svg", { class: `shape ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, drawing("path", { d: path }));
}
