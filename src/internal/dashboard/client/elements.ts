/**
 * The first part of the page's script: making elements, and texts for numbers. The parts are joined to one script, so
 * that there is no build step. Texts become text nodes and attributes, and never markup.
 */
export const elements = `
const byId = (id) => document.getElementById(id)

const make = (space) => (tag, attributes, ...children) => {
  const element = space === undefined ? document.createElement(tag) : document.createElementNS(space, tag)
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") element.addEventListener("click", value)
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value)
  }
  element.append(...children)
  return element
}
const html = make(undefined)
const svg = make("http://www.w3.org/2000/svg")

/** Sets a text only if it has changed, so that a selection and a screen reader are left alone. */
const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text
}
const setClass = (element, name) => {
  if (element.className !== name) element.className = name
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })

const count = (value) => (value < 100000 ? whole.format(value) : short.format(value))
const rate = (value) => (value === 0 ? "0" : value < 10 ? value.toFixed(1) : count(value))
const percent = (value) => (value === null ? "–" : value >= 0.9995 ? "100 %" : (value * 100).toFixed(1) + " %")
const millis = (value) =>
  value === null || value === undefined ? "–"
  : value === 0 ? "0 ms"
  : value < 1 ? Math.max(1, Math.round(value * 1000)) + " µs"
  : value < 10 ? value.toFixed(1) + " ms"
  : value < 1000 ? Math.round(value) + " ms"
  : (value / 1000).toFixed(value < 10000 ? 1 : 0) + " s"
const bytes = (value) => {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit++ }
  return (unit === 0 ? value : value.toPrecision(3)) + " " + units[unit]
}
const span = (ms) => {
  const s = Math.max(0, ms) / 1000
  return s < 1 ? Math.round(s * 1000) + " ms"
    : s < 60 ? (s < 10 ? s.toFixed(1) : Math.round(s)) + " s"
    : s < 3600 ? Math.floor(s / 60) + " min " + Math.round(s % 60) + " s"
    : s < 86400 ? Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min"
    : Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h"
}
const when = (at, now) => (at === null ? "–" : at === "never" ? "never" : at <= now ? span(now - at) + " ago" : "in " + span(at - now))
const clock = (at) => new Date(at).toLocaleTimeString("en-GB")
`
