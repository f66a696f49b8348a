// The table of locks.

import { heldFor, holderText } from "./model.js";
import { arrange, counted, duration, element, setText, stackList } from "./text.js";

const FEW = 20; // locks
const MOST_NAMES = 10;
const COLUMNS = [
  { label: "Name", of: (lock) => lock.name },
  { label: "Kind", of: (lock) => lock.kind },
  { label: "Holder", of: holderText },
  { label: "Held for", of: heldFor, text: duration },
  { label: "Waiters", of: (lock) => lock.waiters, text: String },
  { label: "Total wait", of: (lock) => lock.total, text: (total) => total && duration(total) },
];

export class Table {
  #rows = new Map();
  #opened = new Set();
  #sorted = 5;
  #ascending = false;
  #all = false;
  #locks = [];
  #dead = new Map();

  /** `more` is a button that shows all locks, and fewer again. */
  constructor(table, more) {
    this.more = more;
    more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.#draw();
    });
    this.#headings(table.tHead.rows[0]);
    this.body = table.tBodies[0];
  }

  show(locks, dead) {
    this.#locks = locks;
    this.#dead = dead;
    this.#draw();
  }

  /** Opens the stacks of a lock, and moves the focus there. */
  open(id) {
    this.#opened.add(id);
    this.#draw();
    if (!this.#rows.has(id)) {
      this.#all = true;
      this.#draw();
    }
    const { button } = this.#rows.get(id);
    button.focus();
    button.scrollIntoView({ block: "center" });
  }

  #headings(row) {
    this.headings = COLUMNS.map(({ label, text }, index) => {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => {
        // Names ascend at first, numbers descend.
        this.#ascending = this.#sorted === index ? !this.#ascending : !text;
        this.#sorted = index;
        this.#draw();
      });
      const heading = element(
        "th", { scope: "col", role: "columnheader", class: text && "number" }, button);
      row.append(heading);
      return heading;
    });
  }

  #draw() {
    this.headings.forEach((heading, index) => {
      const order = this.#ascending ? "ascending" : "descending";
      heading.setAttribute("aria-sort", index === this.#sorted ? order : "none");
    });
    const wanted = [];
    const ids = new Set();
    const locks = this.#inOrder();
    this.more.hidden = locks.length <= FEW;
    setText(this.more, this.#all ? "Show fewer" : `Show all ${locks.length}`);
    for (const lock of this.#all ? locks : locks.slice(0, FEW)) {
      ids.add(lock.id);
      const row = this.#rows.get(lock.id) ?? this.#newRow(lock.id);
      this.#update(row, lock);
      wanted.push(row.main);
      if (this.#opened.has(lock.id)) wanted.push(row.detail);
    }
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
    arrange(this.body, wanted);
  }

  #inOrder() {
    const { of } = COLUMNS[this.#sorted];
    const sign = this.#ascending ? 1 : -1;
    // What is unknown comes last either way, and equals stay in the order of their names.
    return [...this.#locks].sort((first, second) => {
      const [one, other] = [of(first), of(second)];
      if ((one === null) !== (other === null)) return one === null ? 1 : -1;
      return sign * compare(one, other) || compare(first.name, second.name)
        || first.id - second.id;
    });
  }

  #newRow(id) {
    const button = element("button", { type: "button", class: "open" });
    button.addEventListener("click", () => {
      if (!this.#opened.delete(id)) this.#opened.add(id);
      this.#draw();
    });
    const mark = element("span", { class: "mark" });
    const cells = COLUMNS.slice(1).map(({ label, text }) =>
      element("td", { role: "cell", class: text && "number", "data-label": label }));
    const name = element("td", { role: "cell", class: "name" }, button, mark);
    const main = element("tr", { role: "row" }, name, ...cells);
    const inside = element("td", { role: "cell", colspan: COLUMNS.length });
    const detail = element("tr", { role: "row", class: "detail", id: `stacks-${id}` }, inside);
    const row = { button, mark, cells, main, detail, inside };
    this.#rows.set(id, row);
    return row;
  }

  #update(row, lock) {
    const open = this.#opened.has(lock.id);
    const word = this.#dead.get(`l${lock.id}`) ?? "";
    setText(row.button, lock.name);
    row.button.setAttribute("aria-expanded", open);
    if (open) row.button.setAttribute("aria-controls", row.detail.id);
    else row.button.removeAttribute("aria-controls");
    setText(row.mark, word);
    row.main.classList.toggle("dead", word !== "");
    row.cells.forEach((cell, index) => {
      const { of, text = String } = COLUMNS[index + 1];
      setText(cell, text(of(lock)) || "–");
    });
    row.cells[1].classList.toggle("unknown", !lock.holders.length);
    if (!open) return;
    merge(row.inside, stacks(lock));
  }
}

function compare(one, other) {
  if (typeof one === "string") return one.localeCompare(other, "en", { numeric: true });
  return one === null ? 0 : one - other;
}

/** Makes these the children, and keeps those that say the same: the reader may have marked text. */
function merge(parent, parts) {
  parts.forEach((part, index) => {
    const there = parent.children[index];
    if (!there) parent.append(part);
    else if (there.tagName !== part.tagName) there.replaceWith(part);
    else if (part.tagName === "H3") setText(there, part.textContent);
    else if (there.textContent !== part.textContent) there.replaceWith(part);
  });
  while (parent.children.length > parts.length) parent.lastChild.remove();
}

/** Makes what an opened row shows. */
function stacks(lock) {
  const parts = [];
  const add = (title, stack) => {
    parts.push(element("h3", {}, title));
    if (stack?.length) parts.push(stackList(stack));
  };
  if (lock.created_at) add("Made at", [lock.created_at]);
  for (const { thread, seconds, stack, count } of lock.holders) {
    const permits = count === undefined ? "" : ` ${counted(count, "permit")}`;
    const since = seconds === null ? "" : `, for ${duration(seconds)}`;
    add(`Held by ${thread.name}${permits}${since}${stack.length ? ", acquired at" : ""}`, stack);
  }
  if (!lock.holders.length && lock.state === "held") add("The holder is unknown");
  const last = lock.last_set_by ?? lock.last_notified_by;
  if (last !== null || lock.last_at.length) {
    const how = lock.kind === "Event" ? "set" : "notified";
    const ago = lock.last_ago === null ? "" : ` ${duration(lock.last_ago)} ago`;
    add(`Last ${how}${ago}`, lock.last_at);
  }
  if (lock.released_by_another) add("Another thread than its holder has released it, or may");
  for (const waits of groups([...lock.taken, ...lock.waits])) {
    add(waits.length > 1 ? waitsText(waits) : waitText(waits[0]), waits[0].stack);
  }
  const more = lock.waiters - lock.waits.length;
  if (more > 0) add(`${counted(more, "more waiter")}`);
  if (!parts.length) add("Nobody holds it, and nobody waits for it");
  return parts;
}

/** Returns the waits that have the same stack, together. */
function groups(waits) {
  const found = new Map();
  for (const wait of waits) {
    const key = JSON.stringify([wait.gil_seconds === null, wait.stack]);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(wait);
  }
  return found.values();
}

function waitsText(waits) {
  const named = waits.slice(0, MOST_NAMES).map(({ thread, seconds }) =>
    `${thread.name} (${duration(seconds)})`);
  if (waits.length > named.length) named.push(`${waits.length - named.length} more`);
  const what = waits[0].gil_seconds === null ? "wait" : "have it, and wait for the GIL";
  return `${waits.length} ${what}: ${named.join(", ")}`;
}

function waitText(wait) {
  const limit = wait.limited ? `, for ${duration(wait.remaining)} more at most` : "";
  if (wait.gil_seconds !== null) {
    return `${wait.thread.name} has it, and waits ${duration(wait.gil_seconds)} for the GIL`;
  }
  const suspended = wait.is_suspended ? ", and runs signal handlers meanwhile" : "";
  return `${wait.thread.name} has waited ${duration(wait.seconds)}${limit}${suspended}`;
}
