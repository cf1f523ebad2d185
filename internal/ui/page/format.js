// How numbers and times are written, and how keys are ordered.

const whole = new Intl.NumberFormat("en");
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const number = (n) => whole.format(n);
export const rate = (n) => (n < 10 ? tenth.format(n) : whole.format(Math.round(n)));

/** A length of time, for a glance: 4.2 s, 42 s, 3 min 20 s, 2 h 5 min. */
export function duration(ms, fine = false) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10 && fine) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return two(min, "min", Math.floor(s % 60), "s");
  const hours = Math.floor(min / 60);
  if (hours < 24) return two(hours, "h", min % 60, "min");
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

const two = (a, unit, b, small) => (b === 0 ? `${a} ${unit}` : `${a} ${unit} ${b} ${small}`);

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
export const timeOfDay = (when) => clock.format(when);

const plurals = new Intl.PluralRules("en");
export const count = (n, one, many = `${one}s`) => `${number(n)} ${plurals.select(n) === "one" ? one : many}`;

/** Compares as the server does: by the bytes of UTF-8, which is by code point. */
export function compare(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1;
  }
  return a.length - b.length;
}

const isSurrogate = (unit) => unit >= 0xd800 && unit <= 0xdfff;

/**
 * Leaves out what ends the isolation of a name from what stands around it: marks that begin or end one, which nobody sees,
 * and ends of paragraphs.
 */
export const tame = (text) => text.replace(/[\u2066-\u2069]/g, "").replace(/[\u2028\u2029]/g, " ");

/** Tame, and at most so many characters, the last of them an ellipsis if something is left out. */
export function shortened(text, most) {
  const characters = Array.from(tame(text));
  return characters.length <= most ? characters.join("") : `${characters.slice(0, Math.max(1, most - 1)).join("")}…`;
}
