// What has just happened, the newest first. Extensions are left out: they are
// the heartbeat of everything.

import { $, h, reconcile } from "./dom.js";
import { timeOfDay } from "./format.js";

const MOST = 12;
const MOST_ORDINARY = 5; // of them are locks that come and go; what is rarer stays longer
const EVERY = 400; // ms between two changes of what is shown
let latest = [];
let drawing = false;

const isOrdinary = ({ type }) => type === "granted" || type === "released";

/** Adds events. When they were they do not say: if it is not known, it was earlier. */
export function add(events, when) {
  const told = events.filter(({ type }) => type !== "extended").slice(-200);
  if (told.length === 0) return;
  let ordinary = 0;
  latest = [...told.reverse().map((event) => ({ ...event, when })), ...latest]
    .filter((event) => !isOrdinary(event) || ++ordinary <= MOST_ORDINARY)
    .slice(0, MOST);
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    $("latest-empty").hidden = true;
    reconcile($("latest"), latest, ({ id }) => id, make);
  }, EVERY);
}

const words = {
  granted: "granted", released: "given back", expired: "ran out", forced: "forced", waiting: "waits", cancelled: "gave up", gap: "missed",
};

function make({ type, key, uid, reason, when }) {
  const what = type === "gap"
    ? h("span", { className: "by" }, "Some events are gone; what you see is up to date.")
    : h("span", {}, h("bdi", { className: "key" }, key), " ", h("bdi", { className: "by" }, uid));
  const word = h("span", { className: "type" }, words[type] ?? type);
  word.dataset.type = type;
  const time = when ? h("time", { dateTime: when.toISOString() }, timeOfDay(when)) : h("span", { className: "when" }, "earlier");
  return h("li", {}, time, word, what, h("bdi", { className: "reason" }, reason ?? ""));
}
