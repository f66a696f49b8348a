// What the table and the graph show, from the document that the command serves.

/**
 * Returns {locks, dead}. A lock has its waits; those that have it already and wait for the GIL,
 * `taken`; its holders as {thread, seconds, stack}; how many wait for it, which may be more than
 * the waits; and the seconds that were spent waiting for it. `dead` is a Map from the keys of
 * the threads that take part in a deadlock, after a "t", and the ids of the locks, after an "l", to
 * what to call it.
 */
export function read(picture) {
  const { snapshot, sums } = picture;
  const threads = new Map(snapshot.threads.map((thread) => [thread.key, thread]));
  const locks = new Map();
  for (const lock of snapshot.locks) {
    const holders = lock.holder === null ? [] : [
      { thread: threads.get(lock.holder), seconds: lock.held_for, stack: lock.acquired_at },
    ];
    const [waiters, total] = sums[lock.id] ?? [0, 0];
    locks.set(lock.id, { ...lock, waits: [], taken: [], holders, waiters, total });
  }
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
  return { locks: [...locks.values()], dead };
}

export function heldFor(lock) {
  const known = lock.holders.map(({ seconds }) => seconds).filter((seconds) => seconds !== null);
  return known.length ? Math.max(...known) : null;
}

/** Says who holds the lock, or what else is known of its state. */
export function holderText(lock) {
  if (lock.holders.length > 2) return `${lock.holders.length} threads`;
  if (lock.holders.length) return lock.holders.map(({ thread }) => thread.name).join(", ");
  if (lock.state === "held") return "unknown";
  if (lock.missing) return `${lock.missing} of ${lock.parties} missing`;
  return lock.state;
}
