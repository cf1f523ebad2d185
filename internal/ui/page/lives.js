// What is left of holds: a bar that runs by itself, and a text that is looked
// at four times a second.

import { mark, say } from "./dom.js";
import { duration, timeOfDay } from "./format.js";

const LOW = 0.15; // the part of a life that counts as its end
const SLACK = 250; // ms by which two ends may differ that are the same: answers take their time

const running = new Map(); // element of a holder → its life
const still = matchMedia("(prefers-reduced-motion: reduce)");
let frozen = false;

/**
 * Shows what is left of a hold. A list does not say how long its whole life is. It is what was left when it began, if it has
 * never been extended, and so the first guess is that; an extension, seen in an event or in a later end, tells more.
 */
export function show(element, { version, exp, held }) {
  const now = performance.now();
  const known = running.get(element);
  const ends = now + exp;
  if (known?.version !== version) {
    begin(element, { version, ends, life: exp + held, guessed: true });
    element.querySelector(".since").title = `since ${timeOfDay(Date.now() - held)}`;
  } else if (ends > known.ends + SLACK) {
    begin(element, { version, ends, life: known.guessed ? exp : Math.max(known.life, exp) });
  } else if (ends < known.ends - SLACK) {
    begin(element, { ...known, ends });
  }
  running.get(element).since = now - held;
  tick(element, running.get(element), now);
}

/** A life that begins now. */
export function renew(element, version, exp) {
  const known = running.get(element);
  if (known?.version !== version) return;
  begin(element, { ...known, ends: Math.max(known.ends, performance.now() + exp), life: exp, guessed: false });
}

function begin(element, life) {
  life.since ??= running.get(element)?.since;
  running.set(element, life);
  if (still.matches) return;
  const bar = element.querySelector(".bar i");
  const left = Math.max(0, life.ends - performance.now());
  for (const old of bar.getAnimations()) old.cancel();
  const run = bar.animate([{ transform: `scaleX(${part(life, left)})` }, { transform: "scaleX(0)" }], { duration: left, fill: "forwards" });
  if (frozen) run.pause();
}

const part = (life, left) => Math.min(1, left / Math.max(1, life.life));

function tick(element, life, now) {
  const left = life.ends - now;
  say(element.querySelector(".left"), left > 0 ? duration(left, true) : "ending");
  say(element.querySelector(".since"), `for ${duration(now - life.since)}`);
  mark(element, "low", part(life, left) < LOW);
  if (still.matches) element.querySelector(".bar i").style.transform = `scaleX(${Math.max(0, part(life, left))})`;
}

/** Times that grow: since when somebody stands in line. */
const growing = new Map();

export function showWaited(element, waited) {
  const since = performance.now() - waited;
  const known = growing.get(element);
  if (known === undefined || Math.abs(known - since) > SLACK) growing.set(element, since);
  say(element, duration(performance.now() - growing.get(element)));
}

/** Stops all bars and texts, while nobody knows how it goes on. */
export function freeze(stop) {
  frozen = stop;
  for (const element of running.keys()) {
    for (const run of element.querySelector(".bar i").getAnimations()) stop ? run.pause() : run.play();
  }
  if (!stop) for (const [element, life] of running) begin(element, life);
}

setInterval(() => {
  const now = performance.now();
  for (const [element, life] of running) {
    if (!element.isConnected) running.delete(element);
    else if (!frozen) tick(element, life, now);
  }
  for (const [element, since] of growing) {
    if (!element.isConnected) growing.delete(element);
    else if (!frozen) say(element, duration(now - since));
  }
}, 250);
