// What keys do while a pane has the focus; the same as OHIF's where it has them.

const TOOLS = { w: "window", s: "scroll", p: "pan", z: "zoom", r: "ruler", a: "angle", g: "region", b: "brush", e: "eraser", l: "lasso" };
const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
const WINDOW_STEP = 1.1;
const LEVEL_STEP = 0.05;

// Whether the key meant something here.
export function press(host, pane, event) {
  if (event.ctrlKey || event.metaKey) return control(host, event.key.toLowerCase());
  if (event.altKey) return !pane.solid && crosshair(host, pane, event);
  if (event.shiftKey && event.key.startsWith("Arrow")) return window_(host, event);
  const { key } = event;
  if (pane.solid && turn(pane, event)) return true;
  const lower = key.toLowerCase();
  if (key in STEPS) host.step(pane, STEPS[key], event.timeStamp);
  else if (/^[1-9]$/.test(key)) host.preset(Number(key) - 1, event.timeStamp);
  else if (lower in TOOLS) host.choose(TOOLS[lower]);
  else if (key === "+" || key === "=") pane.zoomAt(1.25);
  else if (key === "-") pane.zoomAt(0.8);
  else if (key === " ") host.reset();
  else if (key === "[" || key === "]") host.resizeBrush(key === "[" ? 0.8 : 1.25);
  else if (key === "Enter") host.tools.point(pane, pane.crosshair());
  else if (key === "Escape") return host.escape();
  else if (lower === "i") host.change({ inverted: !host.state.inverted }, event.timeStamp);
  else if (lower === "o") host.change({ outline: !host.state.outline }, event.timeStamp);
  else if (lower === "h") host.hideLabels();
  else if (lower === "c") host.cine(pane);
  else if (lower === "f") host.fullScreen();
  else if (lower === "m") host.mark();
  else if (lower === "v" && pane.solid) host.change({ rendering: host.state.rendering === "surfaces" ? "maximum" : "surfaces" }, event.timeStamp);
  else return false;
  return true;
}

// What keys do to the body in 3-D; those that move through slices have no other meaning there.
function turn(pane, { key, timeStamp }) {
  const turns = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5], PageUp: [-45, 0], PageDown: [45, 0] };
  if (key in turns) pane.turn(...turns[key], timeStamp);
  else if (key === "Home" || key === "End") pane.face(key === "Home" ? 0 : -180, timeStamp);
  else return key === "Enter";
  return true;
}

function control(host, key) {
  if (key === "z") host.act("undo");
  else if (key === "y") host.act("redo");
  else return false;
  return true;
}

function crosshair(host, pane, { key, timeStamp }) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!(key in moves)) return false;
  const [column, row] = pane.crosshair();
  const place = [column + moves[key][0], row + moves[key][1]];
  host.change({ voxel: pane.voxel(place) }, timeStamp);
  host.probe(pane, pane.crosshair());
  return true;
}

function window_(host, { key, timeStamp }) {
  const { width, level } = host.state;
  if (key === "ArrowLeft") host.change({ width: Math.max(1, Math.round(width / WINDOW_STEP)) }, timeStamp);
  else if (key === "ArrowRight") host.change({ width: Math.ceil(width * WINDOW_STEP) }, timeStamp);
  else host.change({ level: Math.round(level + (key === "ArrowUp" ? 1 : -1) * Math.max(1, width * LEVEL_STEP)) }, timeStamp);
  return true;
}
