/**
 * The style sheet of the dashboard. Colours have a contrast of at least 4.5 : 1 to what is behind them, in both schemes,
 * and no meaning is carried by colour alone.
 */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f4f6f8; --card: #ffffff; --edge: #dde3ea; --text: #15202b; --soft: #52606d;
  --hit: #0f766e; --hit-soft: #0f766e22; --stale: #b45309; --stale-soft: #b4530922; --miss: #be185d; --miss-soft: #be185d22;
  --blue: #1d4ed8; --good: #0f766e; --bad: #b91c1c; --grid: #e6ebf0; --focus: #1d4ed8;
  --radius: 12px;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0c1116; --card: #151c23; --edge: #26313b; --text: #e8edf2; --soft: #9fb0bf;
    --hit: #2dd4bf; --hit-soft: #2dd4bf26; --stale: #fbbf24; --stale-soft: #fbbf2426; --miss: #f472b6; --miss-soft: #f472b626;
    --blue: #7cb0ff; --good: #2dd4bf; --bad: #ff8a8a; --grid: #212b34; --focus: #7cb0ff;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { background: var(--ground); color: var(--text); -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1320px; padding: 20px clamp(12px, 3vw, 32px) 32px; }
h1, h2, p, dl, dd, ul, figure { margin: 0; padding: 0; }
h1 { font-size: 1.25rem; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 0.95rem; font-weight: 650; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 4px; }
main:focus { outline: none; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 8px; z-index: 2; padding: 6px 12px; background: var(--card); color: var(--text); }
header { display: flex; align-items: center; gap: 14px; margin-bottom: 20px; flex-wrap: wrap; }
header img { display: block; }
.what { flex: 1 1 240px; min-width: 0; }
.what p { color: var(--soft); font-size: 0.85rem; overflow-wrap: anywhere; }
.what b { color: var(--text); font-weight: 600; font-variant-numeric: tabular-nums; }
#uptime:not(:empty)::before { content: " · "; }
.states { display: flex; gap: 8px; }
.state { display: inline-flex; align-items: center; gap: 7px; border: 1px solid var(--edge); border-radius: 99px; padding: 3px 12px; background: var(--card); font-size: 0.85rem; white-space: nowrap; }
.state::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--soft); }
.state.good::before, .mark.good::before { background: var(--good); }
.state.bad { color: var(--bad); border-color: var(--bad); }
.state.bad::before { background: var(--bad); border-radius: 1px; }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: var(--radius); padding: 16px 18px; min-width: 0; }
.notice { padding: 12px; }
#refusal { margin-bottom: 16px; color: var(--bad); background: var(--card); border: 1px solid var(--bad); border-radius: var(--radius); }
section .skip:focus { position: static; display: inline-block; margin-bottom: 8px; border: 1px solid var(--edge); border-radius: 8px; }
main > * + * { margin-top: 16px; }
.problems { border-color: var(--bad); }
.problems h2 { color: var(--bad); }
.problems ul { list-style: none; }
.problems li { margin-top: 8px; font-size: 0.9rem; overflow-wrap: anywhere; }
.numbers { display: grid; grid-template-columns: repeat(8, minmax(0, 1fr)); gap: 1px; background: var(--edge); border: 1px solid var(--edge); border-radius: var(--radius); overflow: hidden; }
.number { background: var(--card); padding: 14px 16px; }
.number dt { color: var(--soft); font-size: 0.8rem; }
.number strong { display: block; font-size: 1.55rem; line-height: 1.25; font-weight: 650; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; white-space: nowrap; }
.number span { color: var(--soft); font-size: 0.75rem; display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.number.good strong { color: var(--hit); }
.number.bad strong { color: var(--bad); }
.plots { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px; }
.stack { display: grid; gap: 16px; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; align-items: start; }
figcaption { display: flex; align-items: baseline; gap: 8px; flex-wrap: wrap; }
.unit { color: var(--soft); font-size: 0.8rem; }
.legend { list-style: none; display: flex; gap: 12px; margin-left: auto; font-size: 0.78rem; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: 6px; }
.legend svg { width: 16px; height: 8px; display: block; }
.canvas { margin-top: 10px; height: 168px; border-radius: 6px; }
.canvas svg { display: block; width: 100%; height: 100%; overflow: visible; }
.canvas text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); stroke-width: 1; }
.cross { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.area { stroke: none; }
.hit.line { stroke: var(--hit); } .hit.area { fill: var(--hit-soft); }
.stale.line { stroke: var(--stale); stroke-dasharray: 6 4; } .stale.area { fill: var(--stale-soft); }
.miss.line { stroke: var(--miss); stroke-dasharray: 2 4; } .miss.area { fill: var(--miss-soft); }
.stacked.hit { fill: var(--hit); } .stacked.stale { fill: var(--stale); } .stacked.miss { fill: var(--miss); }
.p50.line { stroke: var(--blue); } .p95.line { stroke: var(--miss); stroke-dasharray: 6 4; } .get.line { stroke: var(--hit); stroke-dasharray: 2 4; }
.readout { white-space: pre-wrap; min-height: 1.3em; margin-top: 6px; font-size: 0.78rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.scroll { position: relative; overflow-x: auto; margin: 10px -18px 0; padding: 0 18px; }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 500; color: var(--soft); font-size: 0.78rem; padding: 4px 0 6px 16px; border-bottom: 1px solid var(--edge); white-space: nowrap; }
td, tbody th { text-align: right; padding: 6px 0 6px 16px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { color: var(--text); font-weight: 550; font-size: 0.86rem; max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
td.text { text-align: left; } td.wide { max-width: 300px; overflow: hidden; text-overflow: ellipsis; }
td.zero { color: var(--soft); }
td.bad, .bad-text { color: var(--bad); font-weight: 600; }
.share { display: inline-flex; align-items: center; gap: 8px; }
.share svg { width: 56px; height: 6px; display: block; }
.share .track { fill: var(--grid); } .share .part { fill: var(--hit); }
.mark::before { content: ""; display: inline-block; width: 7px; height: 7px; border-radius: 50%; background: var(--bad); margin-right: 7px; vertical-align: 1px; }
#events .scroll { max-height: 340px; overflow-y: auto; }
#events thead th { position: sticky; top: 0; background: var(--card); }
#events th, #events td { text-align: left; }
#events code, #look-up code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.82em; white-space: pre; }
#look-up code { padding: 1px 0; background: var(--ground); white-space: pre-wrap; overflow-wrap: anywhere; }
.tag { display: inline-block; border-radius: 5px; padding: 0 7px; font-size: 0.78rem; border: 1px solid var(--edge); }
.tag.hit { color: var(--hit); } .tag.stale { color: var(--stale); } .tag.miss { color: var(--miss); } .tag.bad { color: var(--bad); border-color: var(--bad); }
.empty, .note { color: var(--soft); font-size: 0.85rem; margin-top: 10px; }
.empty:empty, .note:empty { display: none; }
.row { display: flex; gap: 8px; align-items: center; margin-top: 12px; flex-wrap: wrap; }
.row label { font-size: 0.85rem; color: var(--soft); min-width: 2.2em; }
input { flex: 1 1 160px; min-width: 0; font: inherit; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.88rem; color: var(--text); background: var(--ground); border: 1px solid var(--soft); border-radius: 8px; padding: 7px 10px; }
button { font: inherit; font-size: 0.86rem; color: var(--text); background: var(--ground); border: 1px solid var(--soft); border-radius: 8px; padding: 6px 14px; min-height: 34px; cursor: pointer; }
button:hover { border-color: var(--text); }
button.small { padding: 1px 9px; min-height: 26px; font-size: 0.8rem; }
button.danger { color: var(--bad); border-color: var(--bad); }
button.sure { background: var(--bad); color: var(--card); }
.answer { margin-top: 12px; font-size: 0.88rem; }
.answer:empty { display: none; }
.answer dl { display: grid; grid-template-columns: auto 1fr; gap: 3px 16px; margin: 8px 0; }
.answer dt { color: var(--soft); }
.answer dd { overflow-wrap: anywhere; }
.answer button { margin-top: 10px; }
.answer pre { margin: 8px 0 0; padding: 10px 12px; background: var(--ground); border: 1px solid var(--edge); border-radius: 8px; overflow: auto; max-height: 220px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.82rem; }
footer { margin-top: 20px; color: var(--soft); font-size: 0.82rem; }
.quiet { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 1080px) {
  .numbers { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .plots { grid-template-columns: minmax(0, 1fr); }
  .pair { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 560px) {
  .numbers { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .card { padding: 14px; }
  .scroll { margin: 10px -14px 0; padding: 0 14px; }
  button { min-height: 40px; }
  button.small { min-height: 32px; }
}
@media (prefers-reduced-motion: no-preference) { .state { transition: color 0.2s; } }
`
