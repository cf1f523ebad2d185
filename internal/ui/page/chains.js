// Who waits for whom, as a forest: an owner hangs on the one for whom it waits
// the longest way, with all that wait for it below. No DOM here.

const MOST = 50; // of one line are looked at

/**
 * Makes the forest of locks with a line. Each owner is { uid, why, others, below, depth, behind, cut }: why it waits,
 * { key, place, waited }; whom it waits for besides; the owners that hang on it, the longest chain first; how many stand
 * between it and the end of the longest chain below it; how many owners hang on it altogether; and, if not all of them have
 * been looked at, cut.
 */
export function forest(locks) {
  const owners = new Map();
  const owner = (uid) => {
    if (!owners.has(uid)) owners.set(uid, { uid, waits: new Map(), below: [], others: [] });
    return owners.get(uid);
  };
  for (const lock of locks) {
    lock.waiters.slice(0, MOST).forEach((waiter, i) => {
      const why = { key: lock.key, place: i + 1, waited: waiter.waited };
      for (const uid of inTheWay(lock, waiter, i)) {
        if (i === MOST - 1 && lock.waiters.length > MOST) owner(uid).cut = true;
        const waits = owner(waiter.uid).waits;
        if (!waits.has(owner(uid))) waits.set(owner(uid), why);
      }
    });
  }
  const all = [...owners.values()];
  for (const one of all) height(one);
  for (const one of all) {
    const [nearest, ...others] = [...one.waits.keys()].sort((a, b) => b.height - a.height || order(a.uid, b.uid));
    if (!nearest || one.height <= nearest.height) continue; // a circle, which only a list from two moments can show
    one.why = one.waits.get(nearest);
    one.others = others;
    nearest.below.push(one);
    one.above = nearest;
  }
  const roots = all.filter((one) => !one.above);
  for (const root of roots) measure(root);
  return roots.filter((root) => root.below.length > 0).sort(longestFirst);
}

/** The owners for whom a waiter waits: those who hold in its way, or else who stands before it. */
function inTheWay({ holders, waiters }, waiter, i) {
  const shares = (holder) => waiter.mode === "shared" && holder.mode === "shared" && !waiter.limit;
  const uids = holders.filter((holder) => holder.uid !== waiter.uid && !shares(holder)).map((holder) => holder.uid);
  if (uids.length === 0 && i > 0 && waiters[i - 1].uid !== waiter.uid) return [waiters[i - 1].uid];
  return uids;
}

/** How many owners stand between this one and one that waits for nobody. Without recursion: a line can be long. */
function height(first) {
  const path = [first];
  while (path.length > 0) {
    const one = path.at(-1);
    if (one.height !== undefined) {
      path.pop();
      continue;
    }
    one.open = true;
    const next = [...one.waits.keys()].find((other) => other.height === undefined && !other.open);
    if (next) {
      path.push(next);
      continue;
    }
    one.height = Math.max(-1, ...[...one.waits.keys()].map((other) => other.height ?? -1)) + 1;
    path.pop();
  }
}

/** Counts what hangs on an owner, and puts the longest chain first. */
function measure(root) {
  const order = [root];
  for (const one of order) order.push(...one.below);
  for (const one of order.reverse()) {
    one.cut ||= one.below.some((other) => other.cut);
    one.behind = one.below.reduce((sum, other) => sum + 1 + other.behind, 0);
    one.depth = Math.max(0, ...one.below.map((other) => other.depth + 1));
    one.below.sort(longestFirst);
  }
}

const longestFirst = (a, b) => b.depth - a.depth || b.behind - a.behind || (a.why?.place ?? 0) - (b.why?.place ?? 0) || order(a.uid, b.uid);
const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
