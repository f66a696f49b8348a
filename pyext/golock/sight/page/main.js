// Asks the command for the picture each second, and shows it.

import { Flame } from "./flame.js";
import { Graph } from "./graph.js";
import { read } from "./model.js";
import { Table } from "./table.js";
import { counted, duration, element, setText, stackList } from "./text.js";

const PERIOD = 1000; // milliseconds
// At the others threads often wait because there is no work.
const CONTENDED = new Set(["Lock", "RLock", "Semaphore", "BoundedSemaphore"]);

const byId = (id) => document.getElementById(id);
const table = new Table(byId("locks"), byId("more"));
const graph = new Graph(byId("graph"), byId("graph-note"), (row) => table.open(row));
const flame = new Flame(byId("flame"), byId("flame-note"), byId("tooltip"));
const level = byId("level");
const pause = byId("pause");

let isPaused = false;
let hasEnded = false;
let timer = 0;
let lastWaits = [];
let shownLevel = null;
let shownOrder = "[]";

async function refresh() {
  clearTimeout(timer);
  let picture;
  try {
    picture = await (await fetch("picture")).json();
  } catch {
    end("The command that serves this page has ended. This is its last picture.");
    return;
  }
  show(picture);
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!isPaused && !hasEnded && !document.hidden) timer = setTimeout(refresh, PERIOD);
}

function end(text) {
  hasEnded = true;
  tell(text);
  level.disabled = true;
  pause.disabled = true;
  tellState();
}

function tell(text) {
  const notice = byId("notice");
  setText(notice, text);
  notice.hidden = !text;
}

function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function tellState() {
  const state = hasEnded ? "Ended" : isPaused ? "Paused" : "Live";
  setText(byId("state"), state);
  byId("state").className = `state ${state.toLowerCase()}`;
}

function show(picture) {
  const { snapshot, problem } = picture;
  if (picture.has_ended) end(`${sentence(problem)} This is the last picture.`);
  else tell(sentence(problem));
  setText(byId("title"), `Locks of process ${picture.process}`);
  document.title = `${picture.process} – golock`;
  tellState();
  if (!snapshot) return;
  const since = duration(snapshot.recorded_for);
  setText(byId("command"),
    [picture.command, since && `recorded for ${since}`].filter(Boolean).join(" · "));
  showLevel(picture);
  showDeadlocks(snapshot, picture.texts);
  const { rows, locks, dead } = read(picture);
  table.show(rows, dead);
  const notes = [];
  if (!rows.length) {
    notes.push(snapshot.level === "off"
      ? "Nothing is recorded. Choose a level above." : "No lock is held, and nobody waits.");
  }
  if (picture.left) notes.push(`Not shown: ${counted(picture.left, "more lock")}.`);
  const dropped = Object.values(snapshot.dropped).reduce((sum, number) => sum + number, 0);
  if (dropped) notes.push(`${counted(dropped, "record")} dropped for lack of room.`);
  setText(byId("locks-note"), notes.join(" "));
  showOrder(snapshot);
  graph.show(locks, dead);
  lastWaits = picture.waits.map((wait) =>
    ({ ...wait, stack: wait.stack.map((index) => picture.frames[index]) }));
  showFlame();
}

function showFlame() {
  flame.show(lastWaits.filter(({ kind }) => byId("all-kinds").checked || CONTENDED.has(kind)));
}

function showLevel({ snapshot, levels }) {
  if (level.options.length !== levels.length) {
    level.replaceChildren(...levels.map((name) => element("option", { value: name }, name)));
  }
  if (shownLevel !== snapshot.level) level.value = shownLevel = snapshot.level;
  level.disabled = hasEnded;
}

function showDeadlocks({ deadlocks, threads }, texts) {
  const names = new Map(threads.map(({ key, name }) => [key, name]));
  const told = deadlocks.map(({ waits, certain }) => {
    const members = waits.map(({ thread }) => names.get(thread)).join(", ");
    return `${certain ? "Deadlock" : "Possible deadlock"}: ${members}.`;
  });
  const alarm = byId("alarm");
  setText(alarm, told.join(" "));
  alarm.hidden = !told.length;
  const place = byId("deadlocks");
  while (place.children.length > texts.length) place.lastChild.remove();
  texts.forEach((text, index) => {
    if (!place.children[index]) {
      place.append(element("details", { open: index < 2 ? "" : null },
        element("summary"), element("pre")));
    }
    const [summary, pre] = place.children[index].children;
    const end = text.indexOf("\n");
    setText(summary, text.slice(0, end).replace(/:$/, ""));
    setText(pre, text.slice(end + 1));
  });
}

function showOrder({ order, threads }) {
  const names = new Map(threads.map(({ key, name }) => [key, name]));
  byId("order").hidden = !order.length;
  const written = JSON.stringify(order);
  if (written === shownOrder) return;
  shownOrder = written;
  byId("order-text").replaceChildren(...order.map((edges) => {
    const chain = [...edges.map(({ first }) => first), edges.at(-1).second].join(" → ");
    const parts = edges.flatMap((edge) => [
      element("h3", {}, `${names.get(edge.thread)} took ${edge.first}`), stackList(edge.first_at),
      element("h3", {}, `and then ${edge.second}`), stackList(edge.second_at),
    ]);
    return element("details", {}, element("summary", {}, chain), ...parts);
  }));
}

level.addEventListener("change", async () => {
  const wanted = level.value;
  shownLevel = null; // so that it shows what the process says
  const { problem } = await (await fetch("level", { method: "POST", body: wanted })).json();
  await refresh();
  if (problem && !hasEnded) tell(sentence(problem));
});

byId("all-kinds").addEventListener("change", showFlame);

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", isPaused);
  tellState();
  if (isPaused) clearTimeout(timer);
  else refresh();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isPaused && !hasEnded) refresh();
});

refresh();
