export { HoldfastError, type Code } from "./error.js";
export type { Hold } from "./hold.js";
export { Holdfast, type HoldfastOptions } from "./holdfast.js";
export type * from "./types.js";
