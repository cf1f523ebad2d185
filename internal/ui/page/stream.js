// Follows GET /events. EventSource would do, but cannot send a token.

import { send } from "./ask.js";

const SILENCE = 40_000; // the server writes something every 15 s
const FIRST = 400; // how long to wait before the first attempt to come back, doubled each time
const LAST = 8_000;

/**
 * Follows events for ever. on.events gets them, some at a time; on.live is told when the stream stands, and whether it went
 * on where it was cut; on.lost when it does not stand any more, and why.
 */
export function follow(on) {
  let lastID = "";
  let wait = FIRST;
  let cut = () => {};

  async function once() {
    const control = new AbortController();
    let watch = setTimeout(() => control.abort(), SILENCE);
    cut = () => control.abort();
    try {
      const response = await send("/events", { signal: control.signal, headers: lastID ? { "Last-Event-ID": lastID } : {} });
      if (!response.ok) {
        const { message } = await response.json().catch(() => ({}));
        throw new Error(message ?? `the server answered ${response.status}`);
      }
      on.live(lastID !== "");
      const read = parser();
      for await (const chunk of pieces(response.body.pipeThrough(new TextDecoderStream()).getReader())) {
        clearTimeout(watch);
        watch = setTimeout(() => control.abort(), SILENCE);
        wait = FIRST;
        const events = read(chunk);
        if (events.length === 0) continue;
        lastID = events.at(-1).id;
        on.events(events);
      }
      throw new Error("the server ended the connection");
    } finally {
      clearTimeout(watch);
      control.abort(); // also when it was not the connection that failed
    }
  }

  async function forever() {
    for (;;) {
      try {
        await once();
      } catch (error) {
        on.lost(error);
      }
      await pause(wait * (0.8 + 0.4 * Math.random()));
      wait = Math.min(2 * wait, LAST);
    }
  }

  let wake = () => {};
  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => (clearTimeout(timer), resolve());
  });
  addEventListener("online", () => wake());
  addEventListener("offline", () => cut());
  forever();
}

async function* pieces(reader) {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** Gives a function that takes the next piece of a stream, and gives the events that have become whole. */
export function parser() {
  let rest = "";
  return (piece) => {
    const events = [];
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = {};
      let data;
      for (const line of block.split("\n")) {
        if (line.startsWith("id: ")) event.id = line.slice(4);
        else if (line.startsWith("event: ")) event.type = line.slice(7);
        else if (line.startsWith("data: ")) data = line.slice(6);
      }
      if (event.type && data) events.push(Object.assign(JSON.parse(data), event));
    }
    return events;
  };
}
