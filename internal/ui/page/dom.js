// Elements. What comes from users goes into text nodes, attributes of our own
// choice and nothing else: there is no markup here that is made of text.

export const $ = (id) => document.getElementById(id);

/** Makes an element with properties and children; a child that is a string is text. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Makes an element of SVG with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets a text, if it is another one. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes a data attribute. */
export function mark(element, name, value) {
  if (value === undefined || value === false) delete element.dataset[name];
  else if (element.dataset[name] !== String(value)) element.dataset[name] = value;
}

/**
 * Gives parent one child for each item, in order. A child stays the same element as long as its item has the same key,
 * so that whoever has the focus in it keeps it.
 */
export function reconcile(parent, items, keyOf, make, update) {
  const before = parent.children_ ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = keyOf(item);
    after.set(key, before.get(key) ?? make(item));
  }
  for (const [key, child] of before) if (!after.has(key)) child.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const child = after.get(keyOf(item));
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update?.(child, item);
  }
  parent.children_ = after;
}
