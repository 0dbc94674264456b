/**
 * The part of the page's script that draws the plots, as SVG. A plot can be read with the mouse, with a finger, and with
 * the arrow keys; its label says the latest values.
 */
export const plots = `
const niceTop = (value) => {
  if (!(value > 0)) return 1
  const power = Math.pow(10, Math.floor(Math.log10(value)))
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((top) => top >= value * 1.0001) || 10 * power
}

/** Splits a series where it has no value, so that a gap is drawn as a gap. */
const runsOf = (points) => {
  const runs = []
  let run = []
  for (const point of points) {
    if (point.y === null) { if (run.length > 0) runs.push(run); run = [] } else run.push(point)
  }
  if (run.length > 0) runs.push(run)
  return runs
}

/** A plot of some series, each { name, kind, of(sample), area, stacked }. */
const makePlot = (id, options) => {
  const figure = byId(id)
  const canvas = figure.querySelector(".canvas")
  const readout = figure.querySelector(".readout")
  const title = figure.querySelector("h2").textContent
  figure.querySelector(".legend").append(...options.series.map((one) =>
    html("li", {}, svg("svg", { viewBox: "0 0 16 8", "aria-hidden": "true" },
      one.stacked ? svg("rect", { width: 16, height: 8, rx: 2, class: "area stacked " + one.kind })
        : svg("line", { x1: 0, x2: 16, y1: 4, y2: 4, class: "line " + one.kind })), one.name)))
  let samples = []
  let length = 300
  let chosen = null

  const textOf = (sample) =>
    clock(sample.at) + "   " + options.series.map((one) => one.name + " " + options.text(one.of(sample))).join("   ")

  const draw = () => {
    const width = Math.max(200, canvas.clientWidth)
    const height = Math.max(100, canvas.clientHeight)
    const left = 44, right = 6, top = 8, bottom = 20
    // a short past fills half of the plot at least
    const shown = Math.min(length, Math.max(samples.length, 60))
    const x = (i) => left + ((shown - samples.length + i) / Math.max(1, shown - 1)) * (width - left - right)
    let below = samples.map(() => 0)
    const lines = options.series.map((one) => {
      const values = samples.map((sample, i) => {
        const value = one.of(sample)
        return value === null || value === undefined ? null : one.stacked ? value + below[i] : value
      })
      const base = below
      if (one.stacked) below = values.map((value, i) => (value === null ? below[i] : value))
      return { one, values, base }
    })
    const highest = Math.max(0, ...lines.flatMap((line) => line.values.map((value) => value || 0)))
    const max = options.max || niceTop(highest)
    const y = (value) => top + (1 - value / max) * (height - top - bottom)
    const root = svg("svg", { viewBox: "0 0 " + width + " " + height, preserveAspectRatio: "none", "aria-hidden": "true" })
    for (const part of [0, 0.5, 1]) {
      root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(part * max), y2: y(part * max) }),
        svg("text", { x: left - 8, y: y(part * max) + 4, "text-anchor": "end" }, options.axis(part * max)))
    }
    const past = span(Math.round(shown * options.interval() / 1000) * 1000).replace(" min 0 s", " min")
    root.append(svg("text", { x: left, y: height - 4 }, past + " ago"),
      svg("text", { x: width - right, y: height - 4, "text-anchor": "end" }, "now"))
    for (const { one, values, base } of lines) {
      for (const run of runsOf(values.map((value, i) => ({ x: x(i), y: value === null ? null : y(value), base: y(base[i]) })))) {
        const path = run.map((point, i) => (i === 0 ? "M" : "L") + point.x.toFixed(1) + " " + point.y.toFixed(1)).join("")
        if (one.area && run.length > 1) {
          const back = run.slice().reverse().map((point) => "L" + point.x.toFixed(1) + " " + point.base.toFixed(1)).join("")
          root.append(svg("path", { class: "area " + (one.stacked ? "stacked " : "") + one.kind, d: path + back + "Z" }))
        }
        if (!one.stacked) root.append(run.length === 1
          ? svg("circle", { class: "line " + one.kind, cx: run[0].x, cy: run[0].y, r: 1 })
          : svg("path", { class: "line " + one.kind, d: path }))
      }
    }
    if (chosen !== null && samples.length > 0) {
      const i = Math.min(samples.length - 1, Math.max(0, samples.length - 1 - chosen))
      root.append(svg("line", { class: "cross", x1: x(i), x2: x(i), y1: top, y2: height - bottom }))
      setText(readout, textOf(samples[i]))
    } else setText(readout, samples.length === 0 ? "" : textOf(samples[samples.length - 1]))
    canvas.replaceChildren(root)
  }

  const choose = (event) => {
    const box = canvas.getBoundingClientRect()
    const part = (event.clientX - box.left - 44) / Math.max(1, box.width - 50)
    chosen = Math.min(samples.length - 1, Math.max(0, Math.round((1 - part) * (Math.min(length, Math.max(samples.length, 60)) - 1))))
    draw()
  }
  canvas.addEventListener("pointermove", choose)
  canvas.addEventListener("pointerdown", choose)
  canvas.addEventListener("pointerleave", () => { chosen = null; draw() })
  canvas.addEventListener("blur", () => { chosen = null; draw() })
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: 1, ArrowRight: -1, PageUp: 10, PageDown: -10, Home: length, End: -length }
    if (!(event.key in steps)) return
    event.preventDefault()
    chosen = Math.min(samples.length - 1, Math.max(0, (chosen === null ? 0 : chosen) + steps[event.key]))
    draw()
    if (samples.length > 0) canvas.setAttribute("aria-label", title + ", " + textOf(samples[samples.length - 1 - chosen]))
  })
  new ResizeObserver(draw).observe(canvas)

  return (given, size) => {
    samples = given
    length = size
    draw()
    if (samples.length > 0 && chosen === null) {
      canvas.setAttribute("aria-label", title + ", latest: " + textOf(samples[samples.length - 1]) + ". Arrow keys go back in time.")
    }
  }
}
`
