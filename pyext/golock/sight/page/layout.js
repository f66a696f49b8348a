// Places the wait-for graph. A thread waits for one lock, and a lock mostly has one holder, so a
// connected part is a tree that ends at a thread that runs, or trees that end at one circle.
//
// A tree grows to the right, the first branch beside its parent and the others below, so that a new
// branch moves only what is below it. A circle is two columns, down the right one and up the left
// one; trees grow from it to both sides. Nodes are kept in the order in which they were first seen.

const SIZES = {
  wide: { width: 136, height: 40, across: 40, down: 14 },
  narrow: { width: 96, height: 40, across: 22, down: 14 },
};
const MARGIN = 6;
const BETWEEN = 36; // between parts
const WORD = 22; // room for the word above a deadlock
const APART = 0.25; // rows between the rows of a circle, for its vertical edges

/**
 * Places nodes, {id, dead}, that edges, {from, to}, connect, in the order of `seen`, a Map from ids
 * to numbers; `dead` is what to write above a deadlock. Returns {width, height, nodeWidth,
 * nodeHeight, places, words}: `places` is a Map from ids to {x, y}, the upper left corner, and
 * `words` is what to write where, {x, y, word}.
 */
export function layOut(nodes, edges, seen, available) {
  const size = available < 620 ? SIZES.narrow : SIZES.wide;
  const pitch = { x: size.width + size.across, y: size.height + size.down };
  const graph = connect(nodes, edges, seen);
  const parts = graph.parts.map((part) => place(graph, part));

  const places = new Map();
  const words = [];
  let [x, y, shelf, width] = [0, 0, 0, 0];
  for (const part of parts) {
    const room = part.columns * pitch.x - size.across;
    const tall = part.rows * pitch.y - size.down + (part.dead ? WORD : 0);
    if (x > 0 && x + room > available - 2 * MARGIN) [x, y, shelf] = [0, y + shelf + BETWEEN, 0];
    const top = MARGIN + y + (part.dead ? WORD : 0);
    for (const [id, { column, row }] of part.cells) {
      places.set(id, { x: MARGIN + x + column * pitch.x, y: top + row * pitch.y });
    }
    if (part.dead) {
      words.push({ x: MARGIN + x + part.dead.column * pitch.x, y: top - 8, word: part.word });
    }
    width = Math.max(width, x + room);
    shelf = Math.max(shelf, tall);
    x += room + BETWEEN;
  }
  return {
    width: width + 2 * MARGIN,
    height: y + shelf + 2 * MARGIN,
    nodeWidth: size.width,
    nodeHeight: size.height,
    places,
    words,
  };
}

/** Finds each node's next one, those that come to it, and the connected parts. */
function connect(nodes, edges, seen) {
  const inOrder = [...nodes].sort((one, other) => seen.get(one.id) - seen.get(other.id));
  const next = new Map();
  const comers = new Map(inOrder.map(({ id }) => [id, []]));
  const others = new Map(inOrder.map(({ id }) => [id, []])); // further holders of a semaphore
  const besides = new Set();
  const neighbours = new Map(inOrder.map(({ id }) => [id, []]));
  for (const { from, to } of edges) {
    neighbours.get(from).push(to);
    neighbours.get(to).push(from);
    if (next.has(from)) {
      others.get(from).push(to);
      besides.add(to);
    } else {
      next.set(from, to);
    }
  }
  for (const { id } of inOrder) if (next.has(id)) comers.get(next.get(id)).push(id);

  const parts = [];
  const reached = new Set();
  for (const { id } of inOrder) {
    if (reached.has(id)) continue;
    const part = new Set([id]);
    for (const member of part) neighbours.get(member).forEach((other) => part.add(other));
    part.forEach((member) => reached.add(member));
    parts.push(inOrder.filter((node) => part.has(node.id)));
  }
  const isDead = (part) => Number(part.some(({ dead }) => dead));
  // What is deadlocked comes first. A sort keeps the order of the rest.
  parts.sort((one, other) => isDead(other) - isDead(one));
  return { inOrder, next, comers, others, besides, parts };
}

/** Places a part in cells; returns {cells, columns, rows, dead, word}. */
function place(graph, part) {
  const cells = new Map();
  const words = new Map(part.map(({ id, dead }) => [id, dead]));
  let [rows, dead] = [0, undefined];
  for (const core of cores(graph, part)) {
    const inCore = new Set(core);
    if (words.get(core[0]) && cells.size === 0) dead = core[0];
    const count = core.length;
    for (let row = 0; row < Math.max(1, count / 2); row++) {
      const side = count > 1 ? -1 : 1;
      let used = grow(graph, cells, inCore, core[(count - row) % count], 0, rows, side);
      if (count > 1) used = Math.max(used, grow(graph, cells, inCore, core[row + 1], 1, rows, 1));
      rows += used + (row + 1 < count / 2 ? APART : 0);
    }
  }
  const first = Math.min(...[...cells.values()].map(({ column }) => column));
  let columns = 0;
  for (const cell of cells.values()) {
    cell.column -= first;
    columns = Math.max(columns, cell.column + 1);
  }
  return { cells, columns, rows, dead: cells.get(dead), word: words.get(dead) };
}

/** Places a node and all that comes to it, and returns how many rows they take. */
function grow(graph, cells, inCore, id, column, row, side) {
  cells.set(id, { column, row });
  let rows = 0;
  for (const comer of graph.comers.get(id)) {
    if (inCore.has(comer) || cells.has(comer)) continue;
    rows += grow(graph, cells, inCore, comer, column + side, row + rows, side);
  }
  // Further holders that do not wait stand below the first one, beside the semaphore.
  let beside = 1;
  for (const other of graph.others.get(id)) {
    if (cells.has(other) || !isBeside(graph, other)) continue;
    cells.set(other, { column: column - side, row: row + beside });
    beside += 1;
  }
  return Math.max(rows, beside);
}

/** Returns the circles of a part, then the nodes that lead nowhere, each as a list of nodes. */
function cores(graph, part) {
  const found = [];
  const done = new Set();
  for (const { id } of part) {
    const path = [];
    let at = id;
    while (at !== undefined && !done.has(at) && !path.includes(at)) {
      path.push(at);
      at = graph.next.get(at);
    }
    if (path.includes(at)) found.push(turned(graph, path.slice(path.indexOf(at))));
    else if (at === undefined && !isBeside(graph, path.at(-1))) found.push(path.slice(-1));
    path.forEach((member) => done.add(member));
  }
  return found.sort((one, other) => other.length - one.length);
}

/** Turns a circle so that it begins with the member that was seen first. */
function turned(graph, circle) {
  const first = graph.inOrder.find(({ id }) => circle.includes(id));
  const at = circle.indexOf(first.id);
  return [...circle.slice(at), ...circle.slice(0, at)];
}

/** Whether a node is a further holder only, which stands below the first one. */
function isBeside(graph, id) {
  return graph.besides.has(id) && !graph.next.has(id) && !graph.comers.get(id).length;
}
