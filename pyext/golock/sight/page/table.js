// The table of locks.

import { heldFor, holderText, processText } from "./model.js";
import { arrange, counted, duration, element, setText, stackList } from "./text.js";

const FEW = 20; // locks
const MOST_NAMES = 10;
const COLUMNS = [
  { label: "Name", of: (row) => row.name },
  { label: "Kind", of: (row) => row.kind },
  { label: "Holder", of: (row) => holderText(row.locks) },
  { label: "Held for", of: (row) => heldFor(row.locks), text: duration },
  { label: "Waiters", of: (row) => row.waiters, text: String },
  { label: "Total wait", of: (row) => row.total, text: (total) => total && duration(total) },
];

export class Table {
  #drawn = new Map(); // the ids of rows to their elements
  #made = 0;
  #opened = new Set();
  #sorted = 5;
  #ascending = false;
  #all = false;
  #rows = [];
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

  show(rows, dead) {
    this.#rows = rows;
    this.#dead = dead;
    this.#draw();
  }

  /** Opens the stacks of a row, and moves the focus there. */
  open(id) {
    this.#opened.add(id);
    this.#draw();
    if (!this.#drawn.has(id)) {
      this.#all = true;
      this.#draw();
    }
    const { button } = this.#drawn.get(id);
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
    const rows = this.#inOrder();
    this.more.hidden = rows.length <= FEW;
    setText(this.more, this.#all ? "Show fewer" : `Show all ${rows.length}`);
    for (const row of this.#all ? rows : rows.slice(0, FEW)) {
      ids.add(row.id);
      const drawn = this.#drawn.get(row.id) ?? this.#newRow(row.id);
      this.#update(drawn, row);
      wanted.push(drawn.main);
      if (this.#opened.has(row.id)) wanted.push(drawn.detail);
    }
    for (const id of this.#drawn.keys()) if (!ids.has(id)) this.#drawn.delete(id);
    arrange(this.body, wanted);
  }

  #inOrder() {
    const { of } = COLUMNS[this.#sorted];
    const sign = this.#ascending ? 1 : -1;
    // What is unknown comes last either way, and equals stay in the order of their names.
    return [...this.#rows].sort((first, second) => {
      const [one, other] = [of(first), of(second)];
      if ((one === null) !== (other === null)) return one === null ? 1 : -1;
      return sign * compare(one, other) || compare(first.id, second.id);
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
    this.#made += 1;
    const detail = element(
      "tr", { role: "row", class: "detail", id: `stacks-${this.#made}` }, inside);
    const drawn = { button, mark, cells, main, detail, inside };
    this.#drawn.set(id, drawn);
    return drawn;
  }

  #update({ button, mark, cells, main, detail, inside }, row) {
    const isOpen = this.#opened.has(row.id);
    const words = row.locks.map(({ id }) => this.#dead.get(`l${id}`)).filter(Boolean);
    setText(button, row.name);
    button.setAttribute("aria-expanded", isOpen);
    if (isOpen) button.setAttribute("aria-controls", detail.id);
    else button.removeAttribute("aria-controls");
    setText(mark, words[0] ?? "");
    main.classList.toggle("dead", words.length > 0);
    cells.forEach((cell, index) => {
      const { of, text = String } = COLUMNS[index + 1];
      setText(cell, text(of(row)) || "–");
    });
    cells[1].classList.toggle("unknown", !row.locks.some(({ holders }) => holders.length));
    if (isOpen) merge(inside, stacks(row));
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
function stacks({ locks, waiters }) {
  const parts = [];
  const add = (title, stack) => {
    parts.push(element("h3", {}, title));
    if (stack?.length) parts.push(stackList(stack));
  };
  for (const lock of locks.slice(0, MOST_NAMES)) {
    if (locks.length > 1) add(`${lock.kind} at 0x${lock.id.toString(16)}`);
    tell(lock, add);
  }
  if (locks.length > MOST_NAMES) add(counted(locks.length - MOST_NAMES, "more lock"));
  const more = waiters - locks.reduce((sum, { waits }) => sum + waits.length, 0);
  if (more > 0) add(counted(more, "more waiter"));
  if (!parts.length) add("Nobody holds it, and nobody waits for it");
  return parts;
}

function tell(lock, add) {
  if (lock.created_at) add("Made at", [lock.created_at]);
  for (const { thread, seconds, stack, count } of lock.holders) {
    const permits = count === undefined ? "" : ` ${counted(count, "permit")}`;
    const since = seconds === null ? "" : `, for ${duration(seconds)}`;
    add(`Held by ${thread.name}${permits}${since}${stack.length ? ", acquired at" : ""}`, stack);
  }
  if (!lock.holders.length && lock.state === "held" && !lock.across?.holder) {
    add("The holder is unknown");
  }
  if (lock.across) for (const text of acrossTexts(lock)) add(text);
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
}

/** Returns what is known of a lock of several processes. */
function acrossTexts({ across, holders }) {
  const ago = across.known_for === null ? "" : `, ${duration(across.known_for)} ago`;
  return [
    across.holder && !holders.length && `Held by ${processText(across.holder)}${ago}`,
    across.is_abandoned && "Abandoned: a holder has died",
    across.is_lost && "Lost, and not released yet",
    across.token !== null && `Token ${across.token}`,
    across.lease !== null && `Lease for ${duration(across.lease)} more`,
    across.waiting > 0 && `${counted(across.waiting, "thread")} of this process waiting`,
    across.before !== null && `Keys of other processes before its own: ${across.before}`,
    across.endpoints.length > 0 && `etcd at ${across.endpoints.join(", ")}`,
  ].filter(Boolean);
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
