/**
 * The part of the page's script that shows numbers and tables. Rows are kept and changed in place, so that the focus
 * stays where it is.
 */
export const tables = `
/** Rows by a name, or an id. A cell is a text, or { text, kind, title, node }. */
const makeTable = (id) => {
  const section = byId(id)
  const body = section.querySelector("tbody")
  const head = section.querySelector(".scroll")
  const empty = section.querySelector(".empty")
  const known = new Map()
  return (rows) => {
    head.hidden = rows.length === 0
    empty.hidden = rows.length > 0
    const idOf = (row) => row.id || row.name
    const ids = new Set(rows.map(idOf))
    for (const [id, row] of known) if (!ids.has(id)) { row.remove(); known.delete(id) }
    rows.forEach((row, at) => {
      let element = known.get(idOf(row))
      if (element === undefined) {
        element = html("tr", {}, html("th", { scope: "row", title: row.name }, row.name), ...row.cells.map(() => html("td", {})))
        if (row.action !== undefined) element.append(html("td", {}))
        known.set(idOf(row), element)
      }
      row.cells.forEach((cell, i) => {
        const { kind, node, text } = typeof cell === "string" ? { text: cell } : cell
        const td = element.children[i + 1]
        setClass(td, (kind || "") + (text === "0" ? " zero" : ""))
        if (node !== undefined) td.replaceChildren(node)
        else setText(td, text)
      })
      // a button that has the focus stays where it is
      if (row.action === null) element.lastChild.replaceChildren()
      else if (row.action !== undefined && !element.contains(row.action)) element.lastChild.replaceChildren(row.action)
      if (body.children[at] !== element) body.insertBefore(element, body.children[at] || null)
    })
  }
}

const failed = (value) => ({ text: count(value), kind: value > 0 ? "bad" : "" })

/** A share as a bar and a text. */
const share = (value) => ({
  text: percent(value),
  node: html("span", { class: "share" },
    svg("svg", { viewBox: "0 0 56 6", "aria-hidden": "true" },
      svg("rect", { class: "track", width: 56, height: 6, rx: 3 }),
      svg("rect", { class: "part", width: (56 * (value || 0)).toFixed(1), height: 6, rx: 3 })), percent(value))
})

const showNumber = (id, text, hint, kind) => {
  const box = byId(id)
  setClass(box, "number " + (kind || ""))
  setText(box.querySelector("strong"), text)
  if (hint !== undefined) setText(box.querySelector("span"), hint)
}

const tables = { functions: makeTable("functions"), tiers: makeTable("tiers"), background: makeTable("background"), running: makeTable("running") }

const showFunctions = (caches, action) =>
  tables.functions(caches.slice().sort((a, b) => b.reads - a.reads || (a.name < b.name ? -1 : 1)).map((one) => ({
    name: one.name,
    cells: [count(one.reads), share(one.reads === 0 ? null : one.hitRate), count(one.hits), count(one.stale), count(one.misses),
      count(one.loads), failed(one.failures), millis(one.load && one.load.p95)],
    action: action(one)
  })))

const showTiers = (tiers, now) =>
  tables.tiers(tiers.map((one) => ({
    name: one.name,
    cells: [
      { node: html("span", { class: "mark " + (one.status === "up" ? "good" : "bad") }, one.status +
        (one.openSince === null ? "" : ", breaker open") + (one.undelivered > 0 ? ", " + count(one.undelivered) + " undelivered" : "")) },
      share(one.hits + one.misses === 0 ? null : one.hitRate), count(one.hits), count(one.misses), count(one.sets), failed(one.errors),
      millis(one.get && one.get.p95)]
  })))

const showBackground = (runs, now) =>
  tables.background(runs.map((one) => ({
    name: one.name,
    cells: [count(one.runs), failed(one.failures), when(one.lastSuccess, now),
      one.nextDue === null ? "running" : when(one.nextDue, now)]
  })))

const showRunning = (running) =>
  tables.running(running.map((one) => ({
    id: one.id,
    name: one.name,
    cells: [{ node: html("code", {}, one.key) }, one.kind, span(one.age), count(one.waiters)]
  })))

const showProblems = (problems, now) => {
  const section = byId("problems")
  section.hidden = problems.length === 0
  const texts = problems.map((one) =>
    one.name + (one.subject === "" ? "" : " (" + one.subject + ")") + ": " + one.message + (one.count > 1 ? " Seen " + count(one.count) + " times." : ""))
  const list = section.querySelector("ul")
  if (list.dataset.texts === texts.join("|")) return
  list.dataset.texts = texts.join("|")
  list.replaceChildren(...texts.map((text) => html("li", {}, text)))
}

const kinds = { Hit: "hit", Stale: "stale", Miss: "miss", LoadFailed: "bad", StoreFailed: "bad", StoreUp: "hit" }

const showEvents = (events) => {
  const section = byId("events")
  section.querySelector(".scroll").hidden = events.length === 0
  section.querySelector(".empty").hidden = events.length > 0
  section.querySelector("tbody").replaceChildren(...events.map((one) => html("tr", {},
    html("td", {}, clock(one.at)),
    html("td", {}, html("span", { class: "tag " + (kinds[one.kind] || "") }, one.kind)),
    html("td", { class: "wide" }, one.name || ""),
    html("td", { class: "wide" }, one.key === undefined ? "" : html("code", {}, one.key)),
    html("td", { class: "wide" }, one.detail || ""))))
}
`
