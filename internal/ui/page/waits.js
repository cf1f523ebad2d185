// Draws who waits for whom: each owner a line of text, below the one for whom
// it waits, like the stops of a railway; the longest chain is the main line.

import { ask, coalesced } from "./ask.js";
import { forest } from "./chains.js";
import { $, h, say, svg } from "./dom.js";
import { count, duration, number, shortened } from "./format.js";

const KEYS = 100; // that are looked at
const ROWS = 28; // owners that are drawn
const FEW = 4; // owners below one another that are drawn before the rest is only counted
const STEP = { x: 20, y: 44 };
const DEEPEST = 8; // steps to the right; whoever stands deeper is drawn there too
const EDGE = 9;

let trees = [];
let known = false;
let more = false;
let shown = 0;

/** Has it looked at again, soon. */
export const refresh = coalesced(load, 1000);

/** Says whether an event may change who waits for whom. While nobody stands in line only a new waiter does. */
export function concerns({ type }) {
  return type === "waiting" || type === "gap" || (trees.length > 0 && type !== "extended");
}

/** The server says how many stand in line, which may tell what no event has. */
export function counted({ waiters } = {}) {
  if (waiters > 0 !== trees.length > 0) refresh();
}

/** Has it looked at again if there is something to look at, or may be: how long somebody waits grows without an event. */
export function look() {
  if (!known || trees.length > 0) refresh();
}

export function start() {
  new ResizeObserver(() => draw()).observe($("waits"));
}

async function load() {
  try {
    const page = await ask("GET", "/locks", { waited: true, limit: KEYS });
    trees = forest(page.locks);
    known = true;
    more = page.next !== undefined;
    draw();
  } catch {
    // The list of locks says what is wrong.
  }
}

function draw() {
  if (!known) return;
  const width = $("waits").clientWidth - 40;
  if (trees.length === 0) {
    say($("waits-facts"), "");
    $("waits").replaceChildren(h("p", {}, "Nobody waits."));
    return;
  }
  const rows = choose();
  const picture = svg("svg", { role: "img", width, height: rows.length * STEP.y, "aria-label": inWords() });
  const edges = svg("g");
  const dots = svg("g");
  const at = new Map(rows.filter(({ owner }) => owner).map((row, i) => [row.owner, { ...row, i }]));
  rows.forEach((row, i) => drawRow(row, i, { width, at, edges, dots }));
  picture.append(edges, dots);
  $("waits").replaceChildren(picture);
  const waiting = trees.reduce((sum, tree) => sum + tree.behind, 0);
  const cut = trees.some((tree) => tree.cut);
  say($("waits-facts"), `${least(cut)}${count(waiting, "owner")} in ${count(trees.length, "chain")}${more ? ", and more" : ""}`);
}

/** The rows to draw: { owner, step, longest }, or { rest, step } for those that are only counted. */
function choose() {
  const rows = [];
  shown = 0;
  const visit = (owner, step, longest) => {
    rows.push({ owner, step, longest });
    const drawn = owner.below.slice(0, rows.length < ROWS ? FEW : 0);
    drawn.forEach((below, i) => rows.length < ROWS + FEW && step < 200 && visit(below, step + 1, longest && i === 0));
    const rest = owner.below.length - drawn.length;
    if (rest > 0) rows.push({ rest, step: step + 1, above: owner });
  };
  for (const tree of trees) {
    if (rows.length >= ROWS) break;
    visit(tree, 0, tree === trees[0]);
    shown++;
  }
  if (shown < trees.length) rows.push({ chains: trees.length - shown, step: 0 });
  return rows;
}

const x = (step) => EDGE + Math.min(step, DEEPEST) * STEP.x;
const y = (i) => 12 + i * STEP.y;

function drawRow({ owner, step, longest, rest, chains, above }, i, { width, at, edges, dots }) {
  const left = x(step);
  const text = left + 16;
  const fits = (size) => Math.floor((width - text) / size);
  if (!owner) {
    const words = chains ? `and ${count(chains, "more chain")}` : `and ${least(above.cut)}${number(rest)} more`;
    if (above) edges.append(edge(at.get(above), left, y(i), ""));
    dots.append(svg("text", { x: text, y: y(i) + 4, class: "why" }, words));
    return;
  }
  if (owner.above && at.has(owner.above)) edges[longest ? "append" : "prepend"](edge(at.get(owner.above), left, y(i), longest ? "longest" : ""));
  for (const other of owner.others) {
    if (!at.has(other)) continue;
    const to = y(at.get(other).i);
    edges.append(svg("path", { class: "edge other", d: `M${left} ${y(i)}C-6 ${y(i)} -6 ${to} ${x(at.get(other).step)} ${to}` }));
  }
  const tone = longest ? " longest" : "";
  dots.append(
    svg("circle", { cx: left, cy: y(i), r: 4.5, class: (owner.why ? "knot" : "holds") + tone }),
    svg("text", { x: text, y: y(i) + 4.5 }, shortened(owner.uid, fits(7.6)), svg("title", {}, owner.uid)),
    why(owner, text, y(i) + 21, fits(6.9)),
  );
}

const least = (cut) => (cut ? "at least " : "");

function why({ why, others, behind, depth, cut }, x, y, most) {
  if (!why) {
    const deep = depth > 1 ? `, ${depth} deep` : "";
    return svg("text", { x, y, class: "why" }, `${least(cut)}${count(behind, "owner")} behind${deep}`);
  }
  const tail = `${others.length > 0 ? ` and ${count(others.length, "other owner")}` : ""} · ${duration(why.waited)}`;
  const key = svg("tspan", {}, shortened(why.key, Math.max(6, most - tail.length - 5)));
  return svg("text", { x, y, class: "why" }, "for ", key, tail, svg("title", {}, why.key));
}

/** From the dot of the one above down, and round the corner to the right. */
function edge(above, left, bottom, tone) {
  const from = x(above.step);
  const top = y(above.i) + 5;
  const d = from === left ? `M${from} ${top}V${bottom - 5}` : `M${from} ${top}V${bottom - 8}Q${from} ${bottom} ${from + 8} ${bottom}H${left - 5}`;
  return svg("path", { class: `edge ${tone}`, d });
}

/** The picture for those who hear it: the longest chain. */
function inWords() {
  const chain = [];
  for (let owner = trees[0]; owner && chain.length < 12; owner = owner.below[0]) chain.push(owner);
  const links = chain.slice(1).reverse().map(({ uid, why, above }) => `${uid} waits for ${above.uid} because of ${why.key}`);
  return `${count(trees.length, "chain")}. The longest: ${links.join("; ")}.`;
}
