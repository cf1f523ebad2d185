// The nodes of a cluster and its leader. A store that is none answers 404.

import { ask } from "./ask.js";
import { $, h, mark, reconcile, say } from "./dom.js";
import { count, number } from "./format.js";

const EVERY = 2_000; // ms

export async function start() {
  for (;;) {
    if (!document.hidden) {
      try {
        draw(await ask("GET", "/cluster"));
      } catch (error) {
        if (error.status === 404) {
          $("cluster").hidden = true;
          return;
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

function draw({ id, leader, term, applied, nodes }) {
  $("cluster").hidden = false;
  const led = leader ? `led by ${leader}` : "without a leader";
  say($("cluster-facts"), `${led}, term ${number(term)}, ${number(applied)} applied; you see ${id}`);
  reconcile($("nodes"), nodes, (node) => node.id, makeNode, (element, node) => {
    const [name, role, lag, api] = element.children;
    mark(element, "role", node.role);
    say(name, node.id);
    say(role, node.role);
    mark(lag, "behind", node.lag > 0);
    say(lag, node.role === "away" ? "" : node.lag > 0 ? `${count(node.lag, "entry", "entries")} behind` : "up to date");
    say(api, node.api ?? node.peer);
  });
}

function makeNode() {
  return h("li", { className: "node" },
    h("bdi", { className: "uid" }), h("span", { className: "role" }), h("span", { className: "lag" }), h("bdi", { className: "api" }));
}
