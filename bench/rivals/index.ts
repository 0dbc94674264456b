/** All libraries that take part, this one first. */
import { effects } from "./effects.js"
import { lru } from "./lruCache.js"
import { ours } from "./ours.js"
import { promises } from "./promises.js"
import type { Rival } from "./rival.js"

export const rivals: ReadonlyArray<Rival> = [ours, ...effects, ...lru, ...promises]
