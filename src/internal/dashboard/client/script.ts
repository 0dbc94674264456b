/**
 * The script of the page, from its parts.
 */
import { elements } from "./elements.js"
import { live } from "./live.js"
import { plots } from "./plots.js"
import { tables } from "./tables.js"

export const script = `"use strict";\n(() => {\n${elements}${plots}${tables}${live}})()\n`
