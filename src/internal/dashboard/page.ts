/**
 * The page of the dashboard: its parts without their numbers. The script fills them in.
 */

/** A text for HTML. */
const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

export interface PageOptions {
  readonly title: string
  readonly process: string
  readonly token: string
  readonly keys: boolean
  readonly canInvalidate: boolean
}

const number = (id: string, label: string, hint: string): string =>
  `<div class="number" id="${id}"><dt>${label}</dt><dd><strong>–</strong><span>${hint}</span></dd></div>`

const plot = (id: string, title: string, unit: string): string => `
<figure class="card plot" id="${id}">
  <figcaption><h2>${title}</h2><span class="unit">${unit}</span><ul class="legend"></ul></figcaption>
  <div class="canvas" tabindex="0" role="img" aria-label="${title}"></div>
  <p class="readout" aria-hidden="true"></p>
</figure>`

const table = (id: string, title: string, columns: ReadonlyArray<string>, empty: string, skip: string = ""): string => `
<section class="card" id="${id}" aria-labelledby="${id}-title">${skip}
  <h2 id="${id}-title">${title}</h2>
  <div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-title">
    <table>
      <thead><tr>${columns.map((column) => `<th scope="col">${column}</th>`).join("")}</tr></thead>
      <tbody></tbody>
    </table>
  </div>
  <p class="empty" hidden>${empty}</p>
</section>`

/** With the keyboard, each row of the functions is a stop. */
const skipFunctions = `
  <a class="skip" id="skip-functions" href="#tiers">Skip the functions</a>`

const invalidateFunction = `
<form class="row" id="invalidate-function">
  <label for="function">Function</label>
  <input id="function" name="name" autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="4096" required>
  <button type="submit" class="danger">Invalidate the function</button>
</form>`

const invalidateTag = `
<form class="row" id="invalidate-tag">
  <label for="tag">Tag</label>
  <input id="tag" name="name" autocomplete="off" spellcheck="false" maxlength="4096" required>
  <button type="submit" class="danger">Invalidate the tag</button>
</form>`

export const page = ({ canInvalidate, keys, process, title, token }: PageOptions): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="dashboard-token" content="${escape(token)}">
<meta name="dashboard-can-invalidate" content="${canInvalidate}">
<title>${escape(title)} · effect-cached</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="dashboard.css">
<script src="dashboard.js" defer></script>
</head>
<body>
<a class="skip" id="skip" href="#content">Skip to the numbers</a>
<header>
  <img src="icon.svg" alt="" width="28" height="28">
  <div class="what">
    <h1>${escape(title)}</h1>
    <p>process <b id="process">${escape(process)}</b><span id="uptime"></span></p>
  </div>
  <p class="states" role="status" aria-live="polite">
    <span class="state" id="condition">…</span>
    <span class="state" id="connection">connecting</span>
  </p>
</header>
<noscript><p class="notice">This page needs JavaScript, which it serves itself.</p></noscript>
<p class="notice" id="refusal" role="alert" hidden></p>
<main id="content" tabindex="-1">
<section class="problems card" id="problems" aria-labelledby="problems-title" hidden>
  <h2 id="problems-title">Problems</h2>
  <ul></ul>
</section>
<dl class="numbers" aria-label="Now">
${number("hit-rate", "Hit rate", "last minute")}
${number("reads", "Reads", "per second")}
${number("loads", "Loads", "per second")}
${number("load-time", "Load time", "95 % are faster")}
${number("in-flight", "In flight", "loads now")}
${number("entries", "Entries", "in memory")}
${number("saved", "Coalesced", "loads saved")}
${number("errors", "Store errors", "in all")}
</dl>
<div class="plots">
${plot("plot-rate", "Hit rate", "%")}
${plot("plot-load", "Reads", "per second")}
${plot("plot-time", "Latency", "ms")}
</div>
${table("functions", "Functions", ["Function", "Reads", "Hit rate", "Hits", "Stale", "Misses", "Loads", "Failed", "Load p95", ...(canInvalidate ? ['<span class="quiet">Invalidate</span>'] : [])], "No cached function has been read yet.", canInvalidate ? skipFunctions : "")}
<div class="pair">
${table("tiers", "Tiers", ["Tier", "State", "Hit rate", "Hits", "Misses", "Sets", "Errors", "Get p95"], "")}
<div class="stack">
${table("running", "Loads in flight", ["Function", keys ? "Key" : "Key hash", "Kind", "Age", "Waiting"], "No load runs.")}
${table("background", "Background runs", ["Function", "Runs", "Failed", "Last success", "Next due"], "There is no background loader in this store.")}
</div>
</div>
<div class="pair">
<section class="card" id="look-up" aria-labelledby="look-up-title">
  <h2 id="look-up-title">Look up a key</h2>
  <form class="row">
    <label for="key">Key</label>
    <input id="key" name="key" autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="4096" required placeholder="user:42">
    <button type="submit">Explain</button>
  </form>
  <div class="answer" role="status" aria-live="polite"></div>
${canInvalidate ? invalidateTag + invalidateFunction : ""}
  <p class="note">${keys ? "" : "Keys are shown as hashes, those of <code>cache.key_hash</code> in spans. "}${canInvalidate ? "" : "This page is read-only."}</p>
</section>
${table("events", "Events", ["Time", "Event", "Function", keys ? "Key" : "Key hash", "Detail"], "Nothing has happened since this page was opened.")}
</div>
</main>
<footer><p>effect-cached · this process only · <button type="button" id="pause" aria-pressed="false">Pause</button></p></footer>
</body>
</html>
`

/** Two bars over a base line: what is kept near, and what is kept far. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0f766e"/><path d="M9 21.5h14M9 16h14" stroke="#99f6e4" stroke-width="3" stroke-linecap="round"/><path d="M9 10.5h7" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>`
