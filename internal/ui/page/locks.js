// The list of locks: one page of it, which the server filters and cuts.

import { ask, coalesced } from "./ask.js";
import { $, h, mark, reconcile, say } from "./dom.js";
import { compare, count, number } from "./format.js";
import { renew, show, showWaited } from "./lives.js";

const PAGE = 50; // locks on a page
const MOST = 6; // holders or waiters of a lock that are shown
const EVERY = 400; // ms between two looks at the server

const filter = { prefix: "", uid: "", waited: false };
let before = [""]; // where the pages up to this one begin, each a key that stands before it
let page = { locks: [] };
let refuse = () => {};
let force = () => {};

/** Has the list looked at again, soon. */
export const refresh = coalesced(load, EVERY);

/** Starts the list: onTrouble is told of refusals, onForce of a lock that somebody wants to be released. */
export function start({ onTrouble, onForce }) {
  [refuse, force] = [onTrouble, onForce];
  readHash();
  addEventListener("hashchange", readHash);
  let timer = 0;
  $("filter").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => (location.hash = hashOf({ prefix: $("prefix").value, uid: $("uid").value, waited: $("waited").checked })), 200);
  });
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("back").addEventListener("click", () => turn(before.slice(0, -1)));
  $("next").addEventListener("click", () => turn([...before, page.next]));
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && event.target === document.body) {
      event.preventDefault();
      $("prefix").focus();
    }
  });
}

// The filter stands in the address, so that it can be kept and sent.
const hashOf = ({ prefix, uid, waited }) =>
  new URLSearchParams(Object.entries({ prefix, uid, waited: waited ? "true" : "" }).filter(([, value]) => value)).toString();

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  Object.assign(filter, { prefix: given.get("prefix") ?? "", uid: given.get("uid") ?? "", waited: given.get("waited") === "true" });
  if ($("prefix").value !== filter.prefix) $("prefix").value = filter.prefix;
  if ($("uid").value !== filter.uid) $("uid").value = filter.uid;
  $("waited").checked = filter.waited;
  turn([""]);
}

function turn(pages) {
  before = pages;
  refresh();
}

async function load() {
  const pages = before;
  try {
    const got = await ask("GET", "/locks", { ...filter, limit: PAGE, after: pages.at(-1) });
    if (pages !== before) return refresh(); // the page was turned meanwhile, or filtered
    if (got.locks.length === 0 && before.length > 1) return turn([""]);
    page = got;
    draw();
    refuse();
  } catch (error) {
    refuse(error);
  }
}

/** Says whether an event may change what the page shows, or changes it where no look at the server is needed. */
export function concerns(event) {
  if (event.type === "gap") return true;
  const row = $("rows").children_?.get(event.key);
  if (event.type === "extended") {
    const holder = row?.querySelector(".holders").children_?.get(event.uid);
    if (holder) renew(holder, event.version, event.exp);
    return row !== undefined && !holder;
  }
  if (row) return true;
  if (event.type !== "granted" && event.type !== "waiting") return false;
  if (!event.key.startsWith(filter.prefix) || (filter.uid && filter.uid !== event.uid)) return false;
  if (compare(event.key, before.at(-1)) <= 0) return false;
  return !page.next || compare(event.key, page.next) < 0;
}

function draw() {
  reconcile($("rows"), page.locks, (lock) => lock.key, makeRow, updateRow);
  drawEmpty();
  const first = (before.length - 1) * PAGE + 1;
  $("pager").hidden = before.length === 1 && !page.next;
  $("back").disabled = before.length === 1;
  $("next").disabled = !page.next;
  say($("range"), `${number(first)} to ${number(first + page.locks.length - 1)}`);
}

function drawEmpty() {
  const empty = $("empty");
  empty.hidden = page.locks.length > 0;
  if (empty.hidden) return empty.replaceChildren();
  if (filter.prefix || filter.uid || filter.waited) return empty.replaceChildren("No lock is like that.");
  empty.replaceChildren(
    "Nobody holds anything. Try:",
    h("code", {}, `curl ${location.origin}/lock -d '{"uid":"me","keys":"a","exp":60000,"note":"trying"}'`),
  );
}

function makeRow(lock) {
  const release = h("button", { type: "button", className: "release" }, "Release…");
  release.setAttribute("aria-label", `Release ${lock.key} by force`);
  const row = h("tr", { className: "lock", role: "row" },
    h("th", { role: "rowheader", scope: "row" }, h("bdi", { className: "key", title: lock.key }, lock.key), h("span", { className: "mode" })),
    h("td", { role: "cell", className: "holding" }, h("div", { className: "holders" }), h("p", { className: "more" })),
    h("td", { role: "cell", className: "waiters" }, h("ol", { className: "line" }), h("p", { className: "more" })),
    h("td", { role: "cell", className: "action" }, release),
  );
  release.addEventListener("click", () => force(row.lock));
  return row;
}

function updateRow(row, lock) {
  row.lock = lock;
  const { holders, waiters } = lock;
  const mode = row.querySelector(".mode");
  say(mode, modeOf(holders));
  mark(mode, "mode", holders[0]?.mode ?? "free");
  row.querySelector(".release").disabled = holders.length === 0;
  reconcile(row.querySelector(".holders"), holders.slice(0, MOST), (holder) => holder.uid, makeHolder, updateHolder);
  reconcile(row.querySelector(".line"), waiters.slice(0, MOST), placeOf(), makeWaiter, updateWaiter);
  const [moreHolders, moreWaiters] = row.querySelectorAll(".more");
  say(moreHolders, holders.length > MOST ? `and ${count(holders.length - MOST, "more owner")}` : "");
  say(moreWaiters, waiters.length > MOST ? `and ${number(waiters.length - MOST)} more` : "");
}

function modeOf(holders) {
  if (holders.length === 0) return "held by nobody";
  if (holders[0].mode === "exclusive") return "exclusive";
  const limits = holders.map((holder) => holder.limit).filter(Boolean);
  return limits.length > 0 ? `shared by ${holders.length} of ${Math.min(...limits)}` : `shared by ${holders.length}`;
}

/** An owner can stand in one line twice, with different requests. */
function placeOf() {
  const seen = new WeakMap();
  const times = new Map();
  return (waiter) => {
    if (!seen.has(waiter)) {
      times.set(waiter.uid, (times.get(waiter.uid) ?? 0) + 1);
      seen.set(waiter, JSON.stringify([waiter.uid, waiter.mode, waiter.limit, times.get(waiter.uid)]));
    }
    return seen.get(waiter);
  };
}

const owner = (uid) => h("a", { className: "uid", href: `#${hashOf({ uid })}`, title: "Show only this owner" }, h("bdi", {}, uid));

function makeHolder(holder) {
  return h("div", { className: "holder" },
    h("div", { className: "who" }, owner(holder.uid), h("span", { className: "since" }), h("span", { className: "left" })),
    h("p", { className: "note" }),
    h("div", { className: "bar", ariaHidden: "true" }, h("i")),
  );
}

function updateHolder(element, holder) {
  const note = element.querySelector(".note");
  say(note, holder.note ?? "");
  note.title = holder.note ?? "";
  show(element, holder);
}

function makeWaiter(waiter) {
  return h("li", {}, owner(waiter.uid), h("span", { className: "waited" }), h("p", { className: "note" }));
}

function updateWaiter(element, waiter) {
  const limit = waiter.mode === "shared" ? "shared" : "";
  const note = [limit, waiter.note].filter(Boolean).join(" · ");
  say(element.querySelector(".note"), note);
  element.querySelector(".note").title = note;
  showWaited(element.querySelector(".waited"), waiter.waited);
}
