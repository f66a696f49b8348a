// Elements, and numbers as text.

/** Makes an element; a property that is null or undefined is left out. Text is never parsed. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  return fill(made, properties, children);
}

export function svg(tag, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return fill(made, properties, children);
}

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Seconds as text; "" if they are unknown. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds === 0) return "0 s";
  if (seconds < 0.0005) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

export function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Makes a list of the lines of a stack. */
export function stackList(stack) {
  return element("ol", { class: "stack" }, ...stack.map(({ file, line, function: name }) =>
    element("li", {}, name, " ",
      element("span", { class: "where" }, line ? `${file}:${line}` : file))));
}

/**
 * Makes exactly these the children, in this order. To move an element takes the focus from it, so
 * that no more are moved than must be, and the focus is put back.
 */
export function arrange(parent, wanted) {
  const focused = document.activeElement;
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  wanted.forEach((child, index) => {
    const there = parent.children[index];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
  if (focused !== document.activeElement && parent.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}
