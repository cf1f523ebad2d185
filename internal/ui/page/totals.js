// How much there is, and how much of it happens: the server counts the first,
// the second is what the events since this page was opened add up to.

import { ask, coalesced } from "./ask.js";
import { $, h, mark, say, svg } from "./dom.js";
import { number, rate } from "./format.js";

const SECONDS = 90; // what a line shows
const MEAN = 5; // seconds over which a rate is taken
const ROOM = { width: 240, height: 40 };

const tiles = [
  { name: "Holds", of: "holds" },
  { name: "In line", of: "waiters", tone: "amber" },
  { name: "Granted", type: "granted" },
  { name: "Given back", type: "released" },
  { name: "Extended", type: "extended" },
  { name: "Ran out", type: "expired", tone: "amber" },
];

let count; // { holds, waiters }, as the server said last; undefined if it does not count
let following = false;
let tally = {}; // events of this second, by type

/** Asks the server again, soon. It gives what it says to anybody who wants to know. */
export const refresh = coalesced(load, 900);
const told = [];
export const onCount = (tell) => told.push(tell);

async function load() {
  try {
    count = await ask("GET", "/count");
  } catch (error) {
    if (error.status === 404) count = undefined; // a store that does not count
  }
  for (const tile of tiles) if (tile.of) drawCount(tile);
  for (const tell of told) tell(count);
}

/** Counts events. Those that come again after a break happened before, and count for no second. */
export function add(events) {
  for (const { type } of events) tally[type] = (tally[type] ?? 0) + 1;
}

/** Says whether events are being followed. While they are not, nothing is known, and a line has a hole. */
export function known(yes) {
  following = yes;
  tally = {};
}

export function start() {
  for (const tile of tiles) {
    tile.past = []; // a number for each second, undefined where it is not known
    tile.value = h("dd", {}, "–");
    tile.stroke = svg("path", { class: "stroke" });
    tile.area = svg("path", { class: "area" });
    const spark = svg("svg", { class: "spark", viewBox: `0 0 ${ROOM.width} ${ROOM.height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, tile.area, tile.stroke);
    tile.element = h("div", { className: "tile" }, h("dt", {}, tile.name), tile.value, spark);
    mark(tile.element, "tone", tile.tone);
    $("tiles").append(tile.element);
  }
  let last = performance.now();
  setInterval(() => {
    // A page in the background is called less often than once a second.
    const passed = Math.max(1, Math.round((performance.now() - last) / 1000));
    last += passed * 1000;
    second(passed);
  }, 1000);
}

function second(passed) {
  for (const tile of tiles) {
    const now = tile.type ? (tally[tile.type] ?? 0) / passed : document.hidden ? undefined : count?.[tile.of];
    for (let i = 0; i < passed; i++) tile.past.push(following ? now : undefined);
    tile.past.splice(0, tile.past.length - SECONDS);
    draw(tile);
  }
  tally = {};
  if (following && !document.hidden) refresh();
}

function drawCount(tile) {
  tile.element.hidden = count === undefined;
  say(tile.value, count ? number(count[tile.of]) : "–");
}

function draw(tile) {
  if (tile.of) {
    drawCount(tile);
  } else {
    const recent = tile.past.slice(-MEAN).filter((n) => n !== undefined);
    const mean = recent.length > 0 ? recent.reduce((sum, n) => sum + n, 0) / recent.length : undefined;
    if (!tile.text) tile.value.replaceChildren((tile.text = document.createTextNode("")), h("small", {}, "/ s"));
    const text = mean === undefined ? "–" : rate(mean);
    if (tile.text.data !== text) tile.text.data = text;
  }
  const top = Math.max(1, ...tile.past.filter((n) => n !== undefined)) * 1.15;
  const { stroke, area } = paths(tile.past, top);
  tile.stroke.setAttribute("d", stroke);
  tile.area.setAttribute("d", area);
}

/** A line through the past, the newest at the right, with a hole where nothing is known. */
function paths(past, top) {
  const step = ROOM.width / (SECONDS - 1);
  const base = ROOM.height;
  let stroke = "";
  let area = "";
  let from;
  past.forEach((n, i) => {
    if (n === undefined) return;
    const x = ((SECONDS - past.length + i) * step).toFixed(1);
    const y = (base - 1 - (n / top) * (base - 4)).toFixed(1);
    if (past[i - 1] === undefined) {
      from = x;
      stroke += `M${x} ${y}`;
      area += `M${x} ${base}L${x} ${y}`;
    } else {
      stroke += `L${x} ${y}`;
      area += `L${x} ${y}`;
    }
    if (past[i + 1] === undefined) area += `L${x} ${base}L${from} ${base}Z`;
  });
  return { stroke, area };
}
