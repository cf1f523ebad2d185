// The page: brings its parts to life, and tells each of them of events.

import { words } from "./ask.js";
import * as cluster from "./cluster.js";
import * as dialogs from "./dialogs.js";
import { $, mark, say } from "./dom.js";
import { timeOfDay } from "./format.js";
import * as latest from "./latest.js";
import { freeze } from "./lives.js";
import * as locks from "./locks.js";
import { follow } from "./stream.js";
import * as totals from "./totals.js";
import * as waits from "./waits.js";

const LOOK = 5_000; // ms between two looks at what events may not have told
const SOONER = 1_000; // the same, after a refusal
const GRACE = 1_000; // ms of trouble before the page is called stale
const MISSED = 1_000; // ms in which events that were missed come after the stream stands again

let lost; // why the stream does not stand
let refused; // why the list could not be had
let fresh; // when the list came last: trouble is noticed long after the last thing that is known
let again = 0; // a timer, after a refusal
let missed = 0; // a timer, while what comes was missed
let stale = 0; // a timer, or true

function refresh() {
  if (document.hidden) return;
  locks.refresh();
  totals.refresh();
  waits.look();
  dialogs.look();
}

/** Shows whether what is seen can be trusted. */
function judge() {
  const trouble = lost ?? refused;
  if (!trouble) {
    clearTimeout(stale);
    if (stale === true) freeze(false);
    stale = 0;
    show("live", "Live");
    return;
  }
  if (!stale) {
    stale = setTimeout(() => {
      stale = true;
      freeze(true);
      judge();
    }, GRACE);
    say($("state-text"), "Reconnecting");
  } else if (stale === true) {
    const what = fresh ? `What you see is from ${timeOfDay(fresh)}, and may not be so any more` : "Nothing is known yet";
    show("stale", "Stale", `${what}: ${words(trouble)}. Trying again.`);
  }
}

function show(state, text, banner = "") {
  mark($("state"), "state", state);
  say($("state-text"), text);
  mark(document.querySelector("main"), "stale", state === "stale");
  say($("banner"), banner);
  $("banner").hidden = banner === "";
}

function caughtUp() {
  missed = 0;
  if (!lost) totals.known(true);
}

const on = {
  live(resumed) {
    lost = undefined;
    judge();
    refresh();
    totals.known(!resumed);
    clearTimeout(missed);
    missed = resumed ? setTimeout(caughtUp, MISSED) : 0;
  },
  lost(error) {
    lost = error;
    totals.known(false);
    judge();
  },
  events(events) {
    totals.add(events);
    latest.add(events, missed ? undefined : new Date());
    if (document.hidden) return;
    // Each is asked: some of them change what is on the page by themselves; but not those that were missed, and are not of now.
    if (missed || events.filter(locks.concerns).length > 0) locks.refresh();
    if (events.some(waits.concerns)) waits.refresh();
    if (events.some(dialogs.concerns)) dialogs.look();
  },
};

say($("host"), location.host);
dialogs.start();
totals.start();
totals.onCount(waits.counted);
waits.start();
locks.start({
  onForce: dialogs.force,
  onTrouble(error) {
    refused = error;
    if (!error) fresh = Date.now();
    judge();
    clearTimeout(again);
    if (error) again = setTimeout(refresh, SOONER);
  },
});
setInterval(refresh, LOOK);
document.addEventListener("visibilitychange", refresh);
cluster.start();
follow(on);
