// What the page asks people: why a lock shall be released, and who they are.

import { Refusal, ask, coalesced, onUnauthenticated, words } from "./ask.js";
import { $, say } from "./dom.js";
import { count, tame } from "./format.js";

let toast = 0;

/** Says a sentence for a while. */
export function tell(text) {
  say($("toast"), text);
  $("toast").dataset.shown = "";
  clearTimeout(toast);
  toast = setTimeout(() => delete $("toast").dataset.shown, 6000);
}

let chosen = {}; // { key } that is about to be released; another one each time that the dialog is opened

/** Asks why, and releases a lock by force. */
export function force(lock) {
  chosen = { key: lock.key };
  say($("force-key"), lock.key);
  say($("force-wrong"), "");
  $("force-reason").value = "";
  $("force-do").disabled = false;
  drawFacts(lock);
  $("force").showModal();
  $("force-reason").focus();
}

/**
 * Has the lock looked at again, soon. While somebody looks for words it can go to another owner, who is not the one that was
 * meant; and then, or when locks come before it, the list may not show it any more. So it is asked for by itself.
 */
export const look = coalesced(async () => {
  if (!$("force").open) return;
  const asked = chosen;
  const { key } = asked;
  try {
    const { locks } = await ask("GET", "/locks", { prefix: key, limit: 1 }); // if it is there, it is the first of these
    if (asked === chosen) drawFacts(locks.find((lock) => lock.key === key) ?? { holders: [], waiters: [] });
  } catch {
    // The list of locks says what is wrong.
  }
}, 400);

/** Says whether an event may change who would be released. */
export function concerns({ type, key }) {
  return $("force").open && (key === chosen.key || type === "gap");
}

function drawFacts({ holders, waiters }) {
  const [first] = holders;
  const who = holders.length > 1 ? `Held by ${count(holders.length, "owner")}` : first ? `Held by ${isolated(first.uid)}` : "Held by nobody now";
  say($("force-facts"), `${who}; ${waiters.length > 0 ? `${count(waiters.length, "request")} in line behind.` : "nobody waits."}`);
}

// U+2068 and U+2069 keep a name that runs the other way from turning the sentence round.
const isolated = (text) => `\u2068${tame(text)}\u2069`;

async function release(event) {
  event.preventDefault();
  const reason = $("force-reason").value.trim();
  if (reason === "") return say($("force-wrong"), "Say a reason.");
  const asked = chosen;
  const { key } = asked;
  const name = isolated(key);
  const here = () => asked === chosen && $("force").open; // the dialog can be closed while the server takes its time
  $("force-do").disabled = true;
  try {
    // The key goes into the query: in a path browsers take "." and ".." for directories.
    const { released } = await ask("DELETE", "/locks", { key, reason });
    if (here()) $("force").close();
    const owners = released.map(({ uid }) => isolated(uid)).slice(0, 3).join(", ");
    tell(released.length > 0 ? `Released ${name}, held by ${owners}.` : `Nobody held ${name} any more.`);
  } catch (error) {
    // Who takes it for not done does it again, to the next owner.
    const unknown = !(error instanceof Refusal) || error.unknown;
    const what = `${unknown ? "It may have been released" : "Not released"}: ${words(error)}.`;
    here() ? say($("force-wrong"), what) : tell(`${name}: ${what}`);
  } finally {
    if (asked === chosen) $("force-do").disabled = false;
  }
}

function askForToken(again) {
  say($("token-wrong"), again ? "The server does not take this token." : "");
  $("token-text").value = "";
  $("token").showModal();
  // There is nothing behind it to go back to. A browser may close it all the same, at Escape.
  $("token").onclose = () => $("token").showModal();
  return new Promise((resolve) => {
    $("token-form").onsubmit = (event) => {
      event.preventDefault();
      const given = $("token-text").value.trim();
      $("token-text").value = "";
      // What no header can carry would be kept, and no server could refuse it.
      if (!/^[!-~]+$/.test(given)) return say($("token-wrong"), "This is not all of the token, or not it alone.");
      $("token").onclose = null;
      $("token").close();
      resolve(given);
    };
  });
}

export function start() {
  onUnauthenticated(askForToken);
  $("force-form").addEventListener("submit", release);
  $("force-cancel").addEventListener("click", () => $("force").close());
}
