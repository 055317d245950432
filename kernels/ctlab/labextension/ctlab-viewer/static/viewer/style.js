// How the viewer looks. Its text keeps a contrast of at least 7 to 1 in light and dark themes: it has colours of its own. Where
// somebody's system has colours for all pages, those hold; what a colour alone would tell keeps its own or gets a line around it.

export const STYLE = `
.ctlab-viewer { display: flex; flex-direction: column; background: #1b1b1b; color: #f2f2f2; font: 13px/1.4 sans-serif; padding: 6px; gap: 6px; border-radius: 4px; max-width: 1400px; }
.ctlab-viewer :focus-visible { outline: 3px solid #f0e442; outline-offset: -3px; }
.ctlab-viewer [hidden] { display: none !important; }
.ctlab-bar { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; }
.ctlab-bar label, .ctlab-row label { display: inline-flex; gap: 4px; align-items: center; }
.ctlab-viewer button, .ctlab-viewer select, .ctlab-viewer input { background: #333; color: #f2f2f2; border: 1px solid #8a8a8a; border-radius: 3px; padding: 2px 7px; font: inherit; min-height: 24px; box-sizing: border-box; }
.ctlab-viewer button[aria-pressed="true"] { background: #f0e442; color: #111; }
.ctlab-viewer button:disabled { color: #9a9a9a; }
.ctlab-viewer input::placeholder { color: #c8c8c8; opacity: 1; }
.ctlab-viewer input[type="number"] { width: 5.5em; }
.ctlab-viewer input[type="range"] { padding: 0; width: 90px; accent-color: #f0e442; }
.ctlab-panes { display: grid; gap: 4px; grid-template-columns: repeat(3, minmax(0, 1fr)); height: var(--ctlab-high, 420px); resize: vertical; overflow: hidden; }
.ctlab-panes.ctlab-one { grid-template-columns: minmax(0, 1fr); }
.ctlab-pane { position: relative; background: #000; overflow: hidden; min-width: 0; min-height: 0; touch-action: none; cursor: crosshair; }
.ctlab-pane canvas { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; }
.ctlab-said { min-height: 1.4em; font-variant-numeric: tabular-nums; }
.ctlab-problem { background: #8a1c1c; color: #fff; padding: 3px 8px; white-space: pre-wrap; }
.ctlab-problem:empty { display: none; }
.ctlab-early { display: flex; flex-direction: column; gap: 6px; align-items: flex-start; }
.ctlab-early img { border: 3px dashed #f0e442; max-width: 100%; }
.ctlab-mark { background: #f0e442; color: #111; padding: 3px 8px; }
.ctlab-mark:empty { display: none; }
.ctlab-about { color: #d0d0d0; }
.ctlab-viewer details { border-top: 1px solid #555; padding-top: 4px; }
.ctlab-viewer summary { cursor: pointer; }
.ctlab-viewer table { border-collapse: collapse; color: inherit; background: transparent; }
.ctlab-viewer th, .ctlab-viewer td { padding: 2px 8px; text-align: left; font-variant-numeric: tabular-nums; }
.ctlab-viewer caption { text-align: left; padding: 6px 8px 2px; color: inherit; }
.ctlab-viewer tr.ctlab-drawn { background: #444; }
.ctlab-swatch { display: inline-block; width: 1.2em; height: 1.2em; vertical-align: middle; }
.ctlab-lists { display: flex; flex-wrap: wrap; gap: 6px 24px; align-items: flex-start; }
.ctlab-list { max-height: 220px; overflow: auto; }
.ctlab-row { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center; padding: 4px 0; }
@media (forced-colors: active) {
  .ctlab-swatch, .ctlab-viewer button[aria-pressed="true"] { forced-color-adjust: none; }
  .ctlab-viewer button[aria-pressed="true"] { background: Highlight; color: HighlightText; }
  .ctlab-viewer tr.ctlab-drawn { outline: 2px solid Highlight; outline-offset: -2px; }
}
.ctlab-viewer:fullscreen { max-width: none; --ctlab-high: calc(100vh - 260px); overflow: auto; }
`;
