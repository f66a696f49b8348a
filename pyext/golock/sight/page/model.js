// What the table and the graph show, from the document that the command serves.

/**
 * Returns {rows, locks, dead}. A lock has its waits; those that have it already and wait for the
 * GIL, `taken`; its holders as {thread, seconds, stack}; and the row that it belongs to. A row is
 * for the locks of one name and kind; it says how many wait for them, and for how many seconds
 * threads have waited. `dead` is a Map from the keys of the threads that take part in a deadlock,
 * after a "t", and the ids of the locks, after an "l", to what to call it.
 */
export function read({ snapshot, sums }) {
  const threads = new Map(snapshot.threads.map((thread) => [thread.key, thread]));
  const rows = new Map();
  const rowOf = ({ name, kind }) => {
    const id = `${kind} ${name}`;
    if (!rows.has(id)) rows.set(id, { id, name, kind, locks: [], waiters: 0, total: 0 });
    return rows.get(id);
  };
  const locks = new Map();
  for (const lock of snapshot.locks) {
    const holders = lock.holder === null ? [] : [
      { thread: threads.get(lock.holder), seconds: lock.held_for, stack: lock.acquired_at },
    ];
    const row = rowOf(lock);
    const made = { ...lock, waits: [], taken: [], holders, row };
    locks.set(lock.id, made);
    row.locks.push(made);
  }
  for (const sum of sums) Object.assign(rowOf(sum), { waiters: sum.waiters, total: sum.seconds });
  for (const permit of snapshot.permits) {
    locks.get(permit.lock).holders.push({
      thread: threads.get(permit.thread),
      seconds: permit.held_for,
      stack: permit.acquired_at,
      count: permit.count,
    });
  }
  for (const wait of snapshot.waits) {
    const lock = locks.get(wait.lock);
    const waits = wait.gil_seconds === null ? lock.waits : lock.taken;
    waits.push({ ...wait, thread: threads.get(wait.thread) });
  }
  const dead = new Map();
  for (const { waits, certain } of snapshot.deadlocks) {
    const word = certain ? "deadlock" : "possible deadlock";
    for (const { thread, lock } of waits) dead.set(`t${thread}`, word).set(`l${lock}`, word);
  }
  return { rows: [...rows.values()], locks: [...locks.values()], dead };
}

/** Returns for how long the locks have been held at most, or null. */
export function heldFor(locks) {
  const known = locks.flatMap(({ holders }) => holders.map(({ seconds }) => seconds))
    .filter((seconds) => seconds !== null);
  return known.length ? Math.max(...known) : null;
}

/** Says which process holds a lock of several processes. */
export function processText({ pid, host, program, slot, is_this: isThis }) {
  if (isThis) return "this process";
  return [
    pid === null ? "a process whose id is unknown here" : `process ${pid}`,
    program && ` (${program})`,
    ` of ${host || "this machine"}`,
    slot !== null && `, slot ${slot}`,
  ].filter(Boolean).join("");
}

/** Says who holds the locks, or what else is known of their state. */
export function holderText(locks) {
  const names = locks.flatMap(({ holders }) => holders.map(({ thread }) => thread.name));
  if (names.length > 2) return `${names.length} threads`;
  if (names.length) return names.join(", ");
  const processes = locks.map(({ across }) => across?.holder).filter(Boolean);
  if (processes.length > 1) return `${processes.length} processes`;
  if (processes.length) return processText(processes[0]);
  if (locks.some(({ state }) => state === "held")) return "unknown";
  if (locks.length !== 1) return "";
  const [{ state, missing, parties }] = locks;
  return missing ? `${missing} of ${parties} missing` : state;
}
