// One slice on the screen: where its voxels are, its picture, and what is drawn over it. Places are (column, row) in voxels, centres at
// whole numbers; a millimetre is as long across as down.

import { fill } from "./panels.js";

const LINES = { axial: "#56b4e9", coronal: "#e69f00", sagittal: "#cc79a7" };
const FONT = "13px sans-serif";
const MARK = "#f0e442";
// What lies around every letter and line: below them may be any picture, white bone too.
const GROUND = "#000";
// Pixels of it on either side.
const AROUND_LETTERS = 2;
const AROUND_LINES = 1;
const NICE_MM = [1, 2, 5, 10, 20, 50, 100, 200];

export class Pane {
  constructor(host, name, overlay, title) {
    this.host = host;
    this.name = name;
    this.overlay = overlay;
    this.title = title;
    this.plane = host.facts.planes[name] ?? host.facts.solid;
    this.zoom = 1;
    this.pan = [0, 0];
    this.asked = "";
    this.shown = "";
    this.number = 0;
    this.exact = false;
    // For a slice of a case of which not enough was read yet.
    this.waits = false;
    this.since = 0;
    this.bitmap = null;
    this.index = -1;
    this.drawing = false;
    this.node = document.createElement("div");
    this.node.className = "ctlab-pane";
    this.node.tabIndex = 0;
    this.node.setAttribute("role", "application");
    this.canvas = document.createElement("canvas");
    this.node.append(this.canvas);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.node);
  }

  names() {
    return this.overlay === null ? { plane: this.name } : { plane: this.name, overlay: this.overlay };
  }

  slice() {
    return this.host.state.voxel[this.plane.axis];
  }

  // Counted as people leaf through: from the head, the front or the patient's right, beginning with 1.
  ordinal() {
    return this.host.facts.shape[this.plane.axis] - this.slice();
  }

  label() {
    const { words, shape } = this.host.facts;
    const values = { plane: this.title, slice: this.ordinal(), count: shape[this.plane.axis] };
    return `${fill(words.controls.slice, values)}, ${words.seen[this.name]}`;
  }

  // Everything that the picture depends on.
  wanted() {
    return this.host.pictureKey(this.slice(), this.overlay);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: wide, clientHeight: high } = this.node;
    this.wide = wide;
    this.high = high;
    this.canvas.width = Math.max(1, Math.round(wide * ratio));
    this.canvas.height = Math.max(1, Math.round(high * ratio));
    // As many pixels as it has: a pane's own width is seldom whole, and letters that are stretched by a fraction are blurred.
    Object.assign(this.canvas.style, { width: `${wide}px`, height: `${high}px` });
    this.draw();
  }

  // Screen pixels (CSS) a millimetre.
  scale() {
    const { rows, columns, mm } = this.plane;
    return Math.min(this.wide / (columns * mm[0]), this.high / (rows * mm[1])) * this.zoom;
  }

  toScreen([column, row]) {
    const { rows, columns, mm } = this.plane;
    const scale = this.scale();
    const x = this.wide / 2 + this.pan[0] + (column + 0.5 - columns / 2) * mm[0] * scale;
    const y = this.high / 2 + this.pan[1] + (row + 0.5 - rows / 2) * mm[1] * scale;
    return [x, y];
  }

  fromScreen([x, y]) {
    const { rows, columns, mm } = this.plane;
    const scale = this.scale();
    const column = (x - this.wide / 2 - this.pan[0]) / (mm[0] * scale) + columns / 2 - 0.5;
    const row = (y - this.high / 2 - this.pan[1]) / (mm[1] * scale) + rows / 2 - 0.5;
    return [column, row];
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  crosshair() {
    const [across, down] = this.plane.inside;
    const { shape } = this.host.facts;
    const { voxel } = this.host.state;
    return [shape[across] - 1 - voxel[across], shape[down] - 1 - voxel[down]];
  }

  // The voxel at a place of this slice, the nearest one beside the picture.
  voxel([column, row]) {
    const [across, down] = this.plane.inside;
    const { shape } = this.host.facts;
    const found = [...this.host.state.voxel];
    const inside = (value, count) => Math.min(Math.max(value, 0), count - 1);
    found[across] = inside(shape[across] - 1 - Math.floor(column + 0.5), shape[across]);
    found[down] = inside(shape[down] - 1 - Math.floor(row + 0.5), shape[down]);
    return found;
  }

  show(bitmap, index, key, number, exact) {
    if (number < this.number) {
      bitmap.close();
      return;
    }
    this.bitmap?.close();
    Object.assign(this, { bitmap, index, shown: key, number, exact, waits: false });
    this.draw();
  }

  hold() {
    this.waits = true;
    this.empty();
  }

  empty() {
    this.bitmap?.close();
    this.bitmap = null;
    this.draw();
  }

  draw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.paint();
    });
  }

  paint() {
    if (!this.wide || !this.high) return;
    const context = this.canvas.getContext("2d", { alpha: false });
    const ratio = this.canvas.width / this.wide;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.wide, this.high);
    if (this.bitmap !== null) {
      const { rows, columns } = this.plane;
      const [left, top] = this.toScreen([-0.5, -0.5]);
      const [right, bottom] = this.toScreen([columns - 0.5, rows - 0.5]);
      context.imageSmoothingEnabled = true;
      context.imageSmoothingQuality = right - left < this.bitmap.width ? "high" : "low";
      context.drawImage(this.bitmap, left, top, right - left, bottom - top);
    }
    if (this.waits) {
      context.font = FONT;
      context.textAlign = "center";
      context.textBaseline = "middle";
      write(context, fill(this.host.facts.words.controls.reading, { percent: Math.floor(this.host.share * 100) }), this.wide / 2, this.high / 3);
    }
    this.paintCross(context);
    this.host.paintOver(this, context);
    this.paintWords(context);
  }

  paintCross(context) {
    // On whole pixels: between two of them a thin line is half as bright.
    const [x, y] = this.toScreen(this.crosshair()).map((each) => Math.floor(each) + 0.5);
    const [across, down] = this.plane.inside;
    const of = (axis) => Object.entries(this.host.facts.planes).find(([, plane]) => plane.axis === axis)[0];
    const gap = 12;
    context.globalAlpha = 0.8;
    line(context, LINES[of(across)], [x, 0], [x, y - gap]);
    line(context, LINES[of(across)], [x, y + gap], [x, this.high]);
    line(context, LINES[of(down)], [0, y], [x - gap, y]);
    line(context, LINES[of(down)], [x + gap, y], [this.wide, y]);
    context.globalAlpha = 1;
  }

  paintSides(context, [left, right, top, bottom]) {
    const { wide, high } = this;
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "center";
    write(context, left, 10 + 4 * (left.length - 1), high / 2);
    write(context, right, wide - 10 - 4 * (right.length - 1), high / 2);
    write(context, top, wide / 2, 11);
    write(context, bottom, wide / 2, high - 11);
  }

  paintWords(context) {
    const { wide } = this;
    const count = this.host.facts.shape[this.plane.axis];
    this.paintSides(context, this.plane.letters);
    context.textAlign = "left";
    write(context, this.title, 6, 11, LINES[this.name]);
    write(context, `${this.ordinal()} / ${count}`, 6, 28);
    context.textAlign = "right";
    write(context, this.host.windowText(), wide - 6, 11);
    if (this.host.slabText() !== "") write(context, this.host.slabText(), wide - 6, 28);
    this.paintScale(context);
  }

  // The longest round length that fits into a third of the pane.
  paintScale(context) {
    const scale = this.scale();
    const mm = NICE_MM.filter((each) => each * scale <= this.wide / 3).at(-1);
    if (mm === undefined) return;
    const x = this.wide - 10;
    const y = this.high - 12;
    context.beginPath();
    for (const [from, to] of [[[x - mm * scale, y], [x, y]], [[x - mm * scale, y - 4], [x - mm * scale, y + 4]], [[x, y - 4], [x, y + 4]]]) {
      context.moveTo(...from);
      context.lineTo(...to);
    }
    trace(context, "#fff", 2);
    context.textAlign = "right";
    write(context, `${mm} mm`, x, y - 12);
  }

  paintMeasure(context, { kind, points, text }) {
    const places = points.map((point) => this.toScreen(point));
    context.beginPath();
    if (kind === "region" && places.length > 1) {
      const [[x0, y0], [x1, y1]] = places;
      context.ellipse((x0 + x1) / 2, (y0 + y1) / 2, Math.abs(x1 - x0) / 2, Math.abs(y1 - y0) / 2, 0, 0, 2 * Math.PI);
    } else {
      for (const place of places) context.lineTo(...place);
      for (const [x, y] of places) {
        context.moveTo(x + 3, y);
        context.arc(x, y, 3, 0, 2 * Math.PI);
      }
    }
    trace(context, MARK, 1.5);
    const [x, y] = places.at(-1);
    context.font = FONT;
    // Wherever the measurement lies, all of its text is inside the pane.
    const long = context.measureText(text).width;
    const left = Math.max(4, Math.min(x > this.wide * 0.6 ? x - 8 - long : x + 8, this.wide - 4 - long));
    context.textAlign = "left";
    write(context, text, left, Math.max(12, y - 10), MARK);
  }

  // A stroke that the kernel has not drawn yet, or the brush at the cursor.
  paintStroke(context, { points, radiusMm, closed, colour }) {
    const places = points.map((point) => this.toScreen(point));
    context.strokeStyle = colour;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = closed ? 1.5 : Math.max(1, 2 * radiusMm * this.scale());
    context.globalAlpha = closed ? 1 : 0.4;
    context.beginPath();
    context.moveTo(...places[0]);
    for (const place of places.length > 1 ? places.slice(1) : places) context.lineTo(...place);
    if (closed) context.closePath();
    context.stroke();
    context.globalAlpha = 1;
  }

  reset() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.draw();
  }

  // Zoom by `factor` so that what is under `at` (screen) stays there.
  zoomAt(factor, at = [this.wide / 2, this.high / 2]) {
    const place = this.fromScreen(at);
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.25), 32);
    const [x, y] = this.toScreen(place);
    this.pan = [this.pan[0] + at[0] - x, this.pan[1] + at[1] - y];
    this.draw();
  }

  stop() {
    this.sizes.disconnect();
    this.bitmap?.close();
    this.bitmap = null;
    this.number = Infinity;
  }
}

// The path that was begun, in `colour`, on its ground.
function trace(context, colour, wide) {
  for (const [style, width] of [[GROUND, wide + 2 * AROUND_LINES], [colour, wide]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
}

export function line(context, colour, [x0, y0], [x1, y1]) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  trace(context, colour, 1);
}

// Whatever is written over a picture is written by this: white and the planes' colours have 7 to 1 and more against the ground.
export function write(context, text, x, y, colour = "#fff") {
  if (text === "") return;
  const box = context.measureText(text);
  const left = Math.floor(x - box.actualBoundingBoxLeft - AROUND_LETTERS);
  const top = Math.floor(y - box.actualBoundingBoxAscent - AROUND_LETTERS);
  const right = Math.ceil(x + box.actualBoundingBoxRight + AROUND_LETTERS);
  const bottom = Math.ceil(y + box.actualBoundingBoxDescent + AROUND_LETTERS);
  context.fillStyle = GROUND;
  // A box and no outline: a wide outline leaves holes in round letters.
  context.fillRect(left, top, right - left, bottom - top);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
