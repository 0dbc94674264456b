/**
 * The last part of the page's script: the connection, the forms, and what is shown when.
 */
export const live = `
const meta = (name) => document.querySelector('meta[name="dashboard-' + name + '"]').content
const canInvalidate = meta("can-invalidate") === "true"
let token = meta("token")

const send = async (path, body) => {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-dashboard-token": token },
    body: JSON.stringify(body)
  })
  if (!response.ok) throw new Error(await refusalOf(response))
  return response.json()
}

/** Why the dashboard refused a request. What stands before it, such as a proxy, answers with another kind of text. */
const refusalOf = async (response) => {
  try { return (await response.json()).message } catch { return "The server answered " + response.status + "." }
}

let samples = []
let events = []
let length = 300
let interval = 1000
let latest = null
let paused = false

const number = { text: (value) => (value === null || value === undefined ? "–" : rate(value)), axis: (value) => rate(value), interval: () => interval }
const plots = [
  makePlot("plot-rate", { series: [{ name: "hit rate", kind: "hit", of: (one) => one.hitRate, area: true }],
    max: 1, text: percent, axis: (value) => Math.round(value * 100) + " %", interval: () => interval }),
  makePlot("plot-load", { ...number, series: [
    { name: "hits", kind: "hit", of: (one) => one.hits, area: true, stacked: true },
    { name: "stale", kind: "stale", of: (one) => one.stale, area: true, stacked: true },
    { name: "misses", kind: "miss", of: (one) => one.misses, area: true, stacked: true }] }),
  makePlot("plot-time", { text: millis, axis: (value) => (value === 0 ? "0" : millis(value)), interval: () => interval, series: [
    { name: "load p50", kind: "p50", of: (one) => one.loadP50 },
    { name: "load p95", kind: "p95", of: (one) => one.loadP95 },
    { name: "get p95", kind: "get", of: (one) => one.getP95 }] })
]

/** The samples of the last minute. */
const lastMinute = () => samples.slice(-Math.max(1, Math.round(60000 / interval)))
const sum = (of) => lastMinute().reduce((total, one) => total + of(one) * one.seconds, 0)

const showNumbers = (now) => {
  const reads = sum((one) => one.hits + one.stale + one.misses)
  const hitRate = reads === 0 ? null : sum((one) => one.hits + one.stale) / reads
  const last = samples[samples.length - 1]
  showNumber("hit-rate", percent(hitRate), undefined, hitRate === null ? "" : "good")
  showNumber("reads", last ? rate(last.hits + last.stale + last.misses) : "–", "/ s · " + short.format(latest.reads) + " in all")
  showNumber("loads", last ? rate(last.loads) : "–", "/ s · " + short.format(latest.loads) + " in all")
  showNumber("load-time", latest.load === null ? "–" : millis(latest.load.p95), "95 % are faster")
  showNumber("in-flight", count(latest.inFlight))
  showNumber("entries", latest.entries === null ? "–" : count(latest.entries), latest.bytes === null ? "in memory" : bytes(latest.bytes) + " in memory")
  showNumber("saved", count(latest.coalesced))
  showNumber("errors", count(latest.errors), undefined, latest.errors > 0 ? "bad" : "")
}

/** A button that asks once more before it acts. */
const sureButton = (text, act, attributes) => {
  let timer
  const button = html("button", { type: "button", class: "small danger", ...attributes }, text)
  const calm = () => { clearTimeout(timer); setText(button, text); button.classList.remove("sure") }
  button.addEventListener("click", () => {
    if (!button.classList.contains("sure")) {
      button.classList.add("sure")
      setText(button, "Really?")
      timer = setTimeout(calm, 4000)
      return
    }
    calm()
    act()
  })
  button.addEventListener("blur", calm)
  return button
}

const answer = document.querySelector("#look-up .answer")
const tell = (...children) => answer.replaceChildren(...children)
const attempt = (promise, shown) => promise.then(shown).catch((error) => tell(html("p", { class: "bad-text" }, error.message)))

const invalidate = (kind, name) => attempt(send("invalidate", { kind, name }), () =>
  tell(html("p", {}, kind === "key" ? "The key is invalidated." : kind === "tag" ? "What has the tag is invalidated." : "What " + name + " stored is invalidated.")))

const functionButtons = new Map()
const functionAction = ({ name, isFunction }) => {
  if (!canInvalidate) return undefined
  if (!isFunction) return null
  if (!functionButtons.has(name)) functionButtons.set(name, sureButton("Invalidate", () => invalidate("function", name), { "aria-label": "Invalidate " + name }))
  return functionButtons.get(name)
}

const show = () => {
  if (latest === null) return
  const now = samples.length === 0 ? Date.now() : samples[samples.length - 1].at
  showNumbers(now)
  showFunctions(latest.caches, functionAction)
  showTiers(latest.tiers, now)
  showBackground(latest.background, now)
  showRunning(latest.running)
  showProblems(latest.problems, now)
  showEvents(events)
  for (const plot of plots) plot(samples, length)
  setText(byId("uptime"), "up " + span(latest.uptime))
  const condition = byId("condition")
  const isWell = latest.status === "up" && latest.coherent && latest.undelivered === 0
  setClass(condition, "state " + (isWell ? "good" : "bad"))
  setText(condition, "store " + latest.status + (latest.coherent ? "" : ", blind") + (latest.undelivered > 0 ? ", undelivered" : ""))
}

const showConnection = (text, kind) => {
  setText(byId("connection"), text)
  setClass(byId("connection"), "state " + kind)
}

const showLive = () => showConnection(paused ? "paused" : "live", paused ? "" : "good")

const lookedUp = (key) => (found) => {
  const rows = []
  const add = (name, text) => { if (text !== undefined && text !== null && text !== "") rows.push(html("dt", {}, name), html("dd", {}, String(text))) }
  const next = found.explanation
  if (next !== undefined) {
    add("Next read", next.outcome + (next.reason === undefined ? "" : ", because " + next.reason) + (next.tag === undefined ? "" : " " + next.tag))
    add("Tier", next.tier)
    add("Load", next.load === undefined ? undefined : "runs for " + span(next.load.age) + ", " + next.load.waiters + " waiting")
    add("Cache-Status", next.cacheStatus)
  }
  add("State", found.state)
  add("Owner", found.owner)
  if (found.state !== "absent") {
    add("Stored", when(found.createdAt, found.now))
    add("Fresh until", when(found.freshUntil, found.now))
    if (found.staleUntil !== found.freshUntil) add("Stale until", when(found.staleUntil, found.now))
    add("Expires", when(found.expiresAt, found.now))
  }
  add("Hash in spans", found.hash)
  tell(html("p", {}, html("code", {}, key), key === key.trim() ? "" : " (begins or ends with white space)"), html("dl", {}, ...rows),
    ...(found.value === undefined ? [] : [html("pre", { tabindex: "0", "aria-label": "Value" }, found.value)]),
    ...(canInvalidate ? [sureButton("Invalidate the key", () => invalidate("key", key))] : []))
}

document.querySelector("#look-up form").addEventListener("submit", (event) => {
  event.preventDefault()
  const key = byId("key").value
  attempt(send("lookup", { key }), lookedUp(key))
})
for (const kind of canInvalidate ? ["tag", "function"] : []) byId("invalidate-" + kind).addEventListener("submit", (event) => {
  event.preventDefault()
  invalidate(kind, byId(kind).value)
})
byId("pause").addEventListener("click", () => {
  paused = !paused
  byId("pause").setAttribute("aria-pressed", String(paused))
  setText(byId("pause"), paused ? "Resume" : "Pause")
  showLive()
  if (!paused) show()
})

const take = (message) => {
  latest = message.snapshot
  events = message.events.slice().reverse().concat(events).slice(0, 100)
  if (!paused && !document.hidden) show()
}
const received = {
  hello: (message) => {
    ({ history: length, interval, samples, token } = message)
    events = []
    setText(document.querySelector("h1"), message.title)
    setText(byId("process"), message.process)
    document.title = message.title + " \u00b7 effect-cached"
    byId("refusal").hidden = true
    showLive()
    take(message)
  },
  tick: (message) => {
    samples.push(message.sample)
    if (samples.length > length) samples.shift()
    take(message)
  }
}

/** Reads the messages of one connection until it ends. An EventSource would not say why it was refused. */
const readMessages = async (body) => {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ""
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const parts = (text + decoder.decode(value, { stream: true })).split("\\n\\n")
    text = parts.pop()
    for (const part of parts) {
      const [event, data] = part.split("\\n")
      try { received[event.slice("event: ".length)](JSON.parse(data.slice("data: ".length))) } catch (error) { reportError(error) }
    }
  }
}

const longestPause = 30000

/** Connects again and again, with a pause that grows until a connection succeeds. */
const connect = async () => {
  let pause = 500
  for (;;) {
    let reason = ""
    try {
      const response = await fetch("live", { headers: { accept: "text/event-stream" } })
      if (response.ok) {
        pause = 500
        await readMessages(response.body)
      } else reason = await refusalOf(response)
    } catch {}
    showConnection("reconnecting", "bad")
    setText(byId("refusal"), reason + " This page tries again.")
    byId("refusal").hidden = reason === ""
    await new Promise((resume) => setTimeout(resume, pause))
    pause = Math.min(pause * 2, longestPause)
  }
}
void connect()
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) show() })
`
