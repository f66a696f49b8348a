// The flame graph of waits.

import { arrange, counted, duration, element, setText } from "./text.js";

const ROW = 23;
const NARROWEST = 0.0015; // of the width; what is narrower is not drawn
const TONES = 4;

/** Makes the tree of the waits of {stack: [{file, line, function}], lock, kind, seconds, count}. */
export function grow(waits) {
  const root = node("root", "all waits", "", null);
  for (const { stack, lock, kind, seconds, count } of waits) {
    let at = root;
    at.seconds += seconds;
    at.count += count;
    const levels = stack.map(({ file, line, function: name, is_go: isGo }) =>
      [`${name}\n${file}`, name, file, line, isGo ? "go" : tone(file)]);
    levels.push([`\n${lock}`, lock, kind, 0, "last"]);
    for (const [key, label, where, line, colour] of levels) {
      if (!at.children.has(key)) at.children.set(key, node(colour, label, where, at));
      at = at.children.get(key);
      if (line) at.lines.add(line);
      at.seconds += seconds;
      at.count += count;
    }
  }
  return root;
}

function node(colour, label, where, parent) {
  return {
    colour, label, where, parent, lines: new Set(), seconds: 0, count: 0, children: new Map(),
  };
}

function tone(file) {
  let sum = 0;
  for (const character of file) sum = (sum * 31 + character.codePointAt(0)) % 65521;
  return `tone${sum % TONES}`;
}

export class Flame {
  #bars = new Map();
  #nodes = new Map(); // paths to nodes that are drawn
  #root = grow([]);
  #zoomed = ""; // paths are the keys from the root on
  #current = "";

  constructor(place, note, tooltip) {
    this.place = place;
    this.note = note;
    this.tooltip = tooltip;
    place.addEventListener("keydown", (event) => this.#key(event));
    place.addEventListener("click", (event) => this.#zoom(pathOf(event.target)));
    place.addEventListener("mousemove", (event) =>
      this.#tell(pathOf(event.target), event.clientX, event.clientY));
    place.addEventListener("mouseleave", () => this.#hide());
    place.addEventListener("focusin", (event) => {
      this.#current = pathOf(event.target);
      this.#tabStop();
      if (!event.target.matches(":focus-visible")) return;
      const { left, bottom } = event.target.getBoundingClientRect();
      this.#tell(this.#current, left, bottom);
    });
    place.addEventListener("focusout", () => this.#hide());
  }

  show(waits) {
    this.#root = grow(waits);
    this.#draw();
  }

  #draw() {
    let zoomed = this.#root;
    let path = "";
    const above = [["", this.#root]];
    for (const key of this.#zoomed.split("\0").slice(1)) {
      if (!zoomed.children.has(key)) break;
      zoomed = zoomed.children.get(key);
      path += `\0${key}`;
      above.push([path, zoomed]);
    }
    this.#zoomed = path;
    const drawn = [];
    let depth = above.length;
    above.forEach(([path, node], level) => drawn.push({ path, node, level, left: 0, width: 1 }));
    const descend = (path, node, level, left, width) => {
      let at = left;
      const keys = [...node.children.keys()].sort();
      for (const key of keys) {
        const child = node.children.get(key);
        const share = node.seconds > 0 ? (child.seconds / node.seconds) * width : 0;
        if (share >= NARROWEST) {
          depth = Math.max(depth, level + 1);
          const below = `${path}\0${key}`;
          drawn.push({ path: below, node: child, level, left: at, width: share });
          descend(below, child, level + 1, at, share);
        }
        at += share;
      }
    };
    descend(path, zoomed, above.length, 0, 1);

    this.#nodes = new Map(drawn.map(({ path, node }) => [path, node]));
    for (const bar of drawn) this.#bar(bar, above.length - 1);
    arrange(this.place, drawn.map(({ path }) => this.#bars.get(path)));
    for (const path of this.#bars.keys()) if (!this.#nodes.has(path)) this.#bars.delete(path);
    if (!this.#nodes.has(this.#current)) this.#current = this.#zoomed;
    this.#tabStop();
    this.place.style.height = `${depth * ROW}px`;
    const { count } = this.#root;
    setText(this.note, count ? "" : "No wait has been recorded.");
    this.place.hidden = !count;
  }

  #bar({ path, node, level, left, width }, zoomed) {
    let bar = this.#bars.get(path);
    if (!bar) {
      bar = element("div", { role: "treeitem", tabindex: -1 });
      bar.path = path;
      this.#bars.set(path, bar);
    }
    bar.className = `bar ${node.colour} ${level < zoomed ? "above" : ""} ${
      width < 0.02 ? "slim" : ""}`;
    bar.style.left = `${left * 100}%`;
    bar.style.width = `${width * 100}%`;
    bar.style.top = `${level * ROW}px`;
    bar.setAttribute("aria-level", level + 1);
    bar.setAttribute("aria-label", told(node).replaceAll("\n", ", "));
    bar.setAttribute("aria-selected", path === this.#zoomed);
    setText(bar, node.parent ? node.label : `${node.label}, ${duration(node.seconds)}`);
  }

  #tabStop() {
    for (const [path, bar] of this.#bars) bar.tabIndex = path === this.#current ? 0 : -1;
  }

  #zoom(path) {
    if (path === null) return;
    this.#zoomed = path;
    this.#draw();
  }

  #key(event) {
    const path = pathOf(event.target);
    const node = this.#nodes.get(path);
    if (!node) return;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("\0")));
    const besides = [...this.#nodes.keys()].filter((other) =>
      other && other.slice(0, other.lastIndexOf("\0")) === parent);
    const place = besides.indexOf(path);
    const below = [...this.#nodes.keys()].filter((other) =>
      other && other !== path && other.slice(0, other.lastIndexOf("\0")) === path);
    const widest = below.sort((one, other) =>
      this.#nodes.get(other).seconds - this.#nodes.get(one).seconds)[0];
    const target = {
      ArrowUp: path ? parent : undefined,
      ArrowDown: widest,
      ArrowLeft: besides[place - 1],
      ArrowRight: besides[place + 1],
      Home: "",
    }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#zoom(path);
    else if (event.key === "Escape") this.#zoom("");
    else if (target === undefined) return;
    else this.#bars.get(target).focus();
    event.preventDefault();
  }

  #tell(path, x, y) {
    const node = path === null ? undefined : this.#nodes.get(path);
    if (!node) {
      this.#hide();
      return;
    }
    setText(this.tooltip, told(node));
    this.tooltip.hidden = false;
    const { width, height } = this.tooltip.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    this.tooltip.style.left = `${Math.max(8, Math.min(x + 12, clientWidth - width - 12))}px`;
    const below = y + 16;
    this.tooltip.style.top = `${below + height > clientHeight ? y - height - 12 : below}px`;
  }

  #hide() {
    this.tooltip.hidden = true;
  }
}

function told({ label, where, lines, seconds, count }) {
  const place = lines.size === 1 ? `${where}:${[...lines][0]}` : where;
  const what = place ? `${label}\n${place}` : label;
  return `${what}\n${duration(seconds)} in ${counted(count, "wait")}`;
}

function pathOf(target) {
  return target.path ?? null;
}
