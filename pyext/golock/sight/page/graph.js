// The wait-for graph.

import { layOut } from "./layout.js";
import { heldFor, holderText } from "./model.js";
import { arrange, counted, duration, element, setText, svg } from "./text.js";

const MOST_NODES = 60;
const FEW_WAITERS = 4;

export class Graph {
  #seen = new Map(); // ids to numbers, in the order in which they were first drawn
  #count = 0;
  #nodes = new Map();
  #last = null;
  #open;

  /** `open` is called with the id of the row of a lock that is chosen. */
  constructor(place, note, open) {
    this.place = place;
    this.note = note;
    this.#open = open;
    this.edges = svg("g");
    this.words = svg("g");
    this.boxes = svg("g");
    const markers = ["", " dead"].map((kind) => svg("marker", {
      id: `arrow${kind.trim()}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8,
      markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto",
    }, svg("path", { d: "M0 0L8 4L0 8z", class: `arrow${kind}` })));
    this.svg = svg("svg", { role: "group" },
      svg("defs", {}, ...markers), this.edges, this.words, this.boxes);
    place.append(this.svg);
    const resized = new ResizeObserver(() => this.#last && this.show(...this.#last));
    resized.observe(place);
  }

  show(locks, dead) {
    this.#last = [locks, dead];
    const { nodes, edges, left } = this.#choose(locks, dead);
    const drawn = layOut(nodes, edges, this.#seen, this.place.clientWidth);
    this.svg.setAttribute("width", drawn.width);
    this.svg.setAttribute("height", nodes.length ? drawn.height : 0);
    const threads = nodes.filter(({ kind }) => kind === "thread").length;
    const count = nodes.filter(({ kind }) => kind === "lock").length;
    this.svg.setAttribute("aria-label",
      `${counted(threads, "thread")} and ${counted(count, "lock")}`);
    setText(this.note, nodes.length === 0 ? "Nobody waits." : left === 0 ? ""
      : `${counted(left, "more lock")} that threads wait for: see the table.`);

    const both = new Set(edges.map(({ from, to }) => `${from} ${to}`));
    this.edges.replaceChildren(...edges.map((edge) => svg("path", {
      class: `edge ${edge.held ? "held" : ""} ${edge.dead ? "dead" : ""}`,
      d: line(drawn, edge, both.has(`${edge.to} ${edge.from}`)),
      "marker-end": edge.dead ? "url(#arrowdead)" : "url(#arrow)",
    })));
    this.words.replaceChildren(...drawn.words.map(({ x, y, word }) =>
      svg("text", { class: "word", x, y }, word)));
    for (const node of nodes) this.#draw(node, drawn);
    const order = nodes.map(({ id }) => ({ id, ...drawn.places.get(id) }))
      .sort((one, other) => one.y - other.y || one.x - other.x);
    arrange(this.boxes, order.map(({ id }) => this.#nodes.get(id).box));
    const ids = new Set(nodes.map(({ id }) => id));
    for (const id of this.#nodes.keys()) if (!ids.has(id)) this.#nodes.delete(id);
    if (this.#seen.size > 10000) {
      for (const id of this.#seen.keys()) if (!ids.has(id)) this.#seen.delete(id);
    }
  }

  /** Returns the nodes and edges to draw, and how many locks are left out. */
  #choose(locks, dead) {
    const waitedFor = locks.filter(({ waits }) => waits.length);
    for (const lock of waitedFor) {
      for (const { thread } of lock.waits) this.#see(`t${thread.key}`);
      this.#see(`l${lock.id}`);
      for (const { thread } of lock.holders) this.#see(`t${thread.key}`);
    }
    const holders = new Set(
      waitedFor.flatMap((lock) => lock.holders.map(({ thread }) => thread.key)));
    const waiting = new Map();
    for (const lock of waitedFor) {
      for (const wait of lock.waits) {
        if (!wait.is_suspended || !waiting.has(wait.thread.key)) {
          waiting.set(wait.thread.key, { wait, lock });
        }
      }
    }
    const few = waitedFor.length + new Set([...waiting.keys(), ...holders]).size > MOST_NODES;
    waitedFor.sort((one, other) => dead.has(`l${other.id}`) - dead.has(`l${one.id}`)
      || this.#seen.get(`l${one.id}`) - this.#seen.get(`l${other.id}`));

    const nodes = new Map();
    const edges = [];
    let left = 0;
    for (const lock of waitedFor) {
      if (nodes.size >= MOST_NODES && !dead.has(`l${lock.id}`)) {
        left += 1;
        continue;
      }
      this.#choosePart(nodes, edges, lock, dead, holders, waiting, few);
    }
    // The wait that a thread is in comes before those that it left to run signal handlers.
    edges.sort((one, other) => one.suspended - other.suspended);
    return { nodes: [...nodes.values()], edges, left };
  }

  #choosePart(nodes, edges, lock, dead, holders, waiting, few) {
    const id = `l${lock.id}`;
    const connect = (from, to, held, suspended = false) =>
      edges.push({ from, to, held, suspended, dead: dead.has(from) && dead.has(to) });
    const text = lock.holders.length || lock.state === "held"
      ? `held by ${holderText([lock])}` : lock.state;
    nodes.set(id, {
      id,
      kind: "lock",
      row: lock.row.id,
      dead: dead.get(id),
      first: lock.name.replace(`${lock.kind} `, ""), // the kind is below
      second: [lock.kind, duration(heldFor([lock]))].filter(Boolean).join(" · "),
      label: [lock.name, lock.kind, text].filter(Boolean).join(", "),
    });
    const isLeaf = ({ thread }) => !holders.has(thread.key) && !dead.has(`t${thread.key}`);
    const leaves = lock.waits.filter(isLeaf).sort((one, other) =>
      this.#seen.get(`t${one.thread.key}`) - this.#seen.get(`t${other.thread.key}`));
    const hidden = new Set(few && leaves.length > FEW_WAITERS + 1
      ? leaves.slice(FEW_WAITERS) : []);
    for (const wait of lock.waits) {
      if (hidden.has(wait)) continue;
      connect(chooseThread(nodes, wait.thread, dead, waiting), id, false, wait.is_suspended);
    }
    if (hidden.size) {
      const key = `m${lock.id}`;
      this.#see(key);
      const first = `${hidden.size} more`;
      nodes.set(key, { id: key, kind: "more", first, second: "wait", label:
        `${first} wait for ${lock.name}` });
      connect(key, id, false);
    }
    for (const holder of lock.holders) {
      connect(id, chooseThread(nodes, holder.thread, dead, waiting), true);
    }
  }

  #see(id) {
    if (this.#seen.has(id)) return;
    this.#count += 1;
    this.#seen.set(id, this.#count);
  }

  #draw(node, { nodeWidth, nodeHeight, places }) {
    const { x, y } = places.get(node.id);
    const drawn = this.#nodes.get(node.id) ?? this.#newNode(node);
    drawn.box.setAttribute("class", `node ${node.kind} ${node.dead ? "dead" : ""}`);
    drawn.box.setAttribute("transform", `translate(${x} ${y})`);
    drawn.box.setAttribute("aria-label", node.dead ? `${node.label}, ${node.dead}` : node.label);
    drawn.shape.setAttribute("width", nodeWidth);
    drawn.shape.setAttribute("height", nodeHeight);
    drawn.shape.setAttribute("rx", node.kind === "lock" ? 3 : nodeHeight / 2);
    const room = nodeWidth - 16;
    const texts = [[drawn.first, 17, node.first], [drawn.second, 31, node.second]];
    for (const [text, y, content] of texts) {
      text.setAttribute("x", nodeWidth / 2);
      text.setAttribute("y", y);
      setText(text, shortened(content, room, text === drawn.first));
    }
    setText(drawn.title, node.label);
  }

  #newNode({ id, kind, row }) {
    const title = svg("title");
    const shape = svg("rect", { class: "box" });
    const first = svg("text", { "text-anchor": "middle" });
    const second = svg("text", { class: "second", "text-anchor": "middle" });
    const isButton = kind === "lock";
    const box = svg("g", { role: isButton ? "button" : "img", tabindex: isButton ? 0 : null },
      title, shape, first, second);
    if (isButton) {
      box.addEventListener("click", () => this.#open(row));
      box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.#open(row);
      });
    }
    const drawn = { box, title, shape, first, second };
    this.#nodes.set(id, drawn);
    return drawn;
  }
}

/** Adds a thread to the nodes, and returns its id there. */
function chooseThread(nodes, { key, name, kind }, dead, waiting) {
  const id = `t${key}`;
  if (nodes.has(id)) return id;
  const found = waiting.get(key);
  const second = found ? `waits ${duration(found.wait.seconds)}` : "not waiting";
  const what = kind === "Python" ? "" : `${kind}, `;
  const limit = found?.wait.limited ? ", with a time-out" : "";
  const label = `${name}, ${what}${second}${found ? ` for ${found.lock.name}` : ""}${limit}`;
  nodes.set(id, { id, kind: "thread", dead: dead.get(id), first: name, second, label });
  return id;
}

/** Returns the path of an edge; two that join the same nodes run side by side. */
function line({ places, nodeWidth, nodeHeight }, { from, to }, isDouble) {
  const [start, end] = [places.get(from), places.get(to)];
  if (start.x === end.x) {
    const x = start.x + nodeWidth / 2;
    const isDown = start.y < end.y;
    return `M${x} ${start.y + (isDown ? nodeHeight : 0)}V${end.y + (isDown ? 0 : nodeHeight)}`;
  }
  const isRight = start.x < end.x;
  const shift = isDouble ? (isRight ? -8 : 8) : 0;
  const x1 = start.x + (isRight ? nodeWidth : 0);
  const x2 = end.x + (isRight ? 0 : nodeWidth);
  const y1 = start.y + nodeHeight / 2 + shift;
  const y2 = end.y + nodeHeight / 2 + shift;
  if (y1 === y2) return `M${x1} ${y1}H${x2}`;
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

const ruler = element("canvas").getContext("2d");

function shortened(text, room, isFirst) {
  ruler.font = isFirst ? "550 12.5px system-ui, sans-serif" : "11px system-ui, sans-serif";
  if (ruler.measureText(text).width <= room) return text;
  const characters = [...text];
  let [fits, tooLong] = [0, characters.length];
  while (tooLong - fits > 1) {
    const middle = (fits + tooLong) >> 1;
    const width = ruler.measureText(`${characters.slice(0, middle).join("")}…`).width;
    if (width <= room) fits = middle;
    else tooLong = middle;
  }
  return `${characters.slice(0, fits).join("")}…`;
}
