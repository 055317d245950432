// The viewer in a notebook: state, panes and what passes between a person and the kernel. The volume is in the kernel; here are pictures.

import { showEarly } from "./early.js";
import { Flow } from "./flow.js";
import { press } from "./keys.js";
import { Pane } from "./pane.js";
import { Panels, make } from "./panels.js";
import { SolidPane } from "./solid.js";
import { STYLE } from "./style.js";
import { Tools } from "./tools.js";

const CINE_MS = 1000 / 12;
const ASIDE_MS = 3000;
// For so long what is drawn over the pictures waits to be drawn with new ones: drawing all panes twice costs more than a picture.
const TOGETHER_MS = 100;
const COMPARED = ["labels", "truth", "differences"];
const PASSING = ["Tab", "Shift", "Control", "Alt", "Meta"];

// Questions pass a running cell by on a subshell of the kernel's; one that is sent before there is one would wait for the cell.
function aside(comm) {
  const started = comm?.jsServicesComm?.subshellStarted;
  if (started === undefined) return Promise.resolve();
  return Promise.race([started, new Promise((done) => setTimeout(done, ASIDE_MS))]).catch(() => undefined);
}

export function makeView(DOMWidgetView) {
  return class ViewerView extends DOMWidgetView {
    render() {
      super.render();
      const ready = aside(this.model.comm);
      this.viewer = new Viewer(this.el, (message) => void ready.then(() => this.model.send(message, this.callbacks?.() ?? {})));
      this.el.ctlab = this.viewer;
      this.listenTo(this.model, "msg:custom", (content, buffers) => this.viewer.heard(content, buffers));
      const begin = () => void this.viewer.begin(this.model.get("_facts"), this.model.get("_first"));
      // They change while a series is still being opened.
      this.listenTo(this.model, "change:_facts", begin);
      begin();
    }

    remove() {
      this.viewer.stop();
      super.remove();
    }
  };
}

class Viewer {
  constructor(el, send) {
    this.el = el;
    this.id = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.send = (message) => send({ ...message, view: this.id });
    this.state = null;
    this.dirty = {};
    this.revision = 0;
    this.panes = [];
    this.tool = "window";
    this.brushMm = 4;
    this.drawn = 1;
    this.measures = [];
    this.playing = false;
    this.share = 0;
    this.refused = false;
    this.tools = new Tools(this);
    this.flow = new Flow(this);
    this.pendingMeasures = new Map();
    this.corrections = 0;
    el.classList.add("ctlab-viewer");
    // The notebook's own keys, one letter each, must not fire while a person uses these.
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    el.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["contextmenu", "dblclick"]) el.addEventListener(name, (event) => event.stopPropagation());
  }

  ask(message) {
    return this.flow.say(message);
  }

  heard(content, buffers) {
    if (content.view !== this.id && !["state", "arriving"].includes(content.is)) return;
    const act = this[`on_${content.is}`];
    if (act !== undefined) act.call(this, content, buffers);
  }

  // With what came along with the widget; what has changed since comes with the answer to "hello".
  async begin(facts, first) {
    if (facts.is === "early") {
      this.stop();
      showEarly(this.el, facts, first);
      return;
    }
    this.build(facts);
    const made = first.map((each) => (each.byteLength > 0 ? createImageBitmap(new Blob([each], { type: "image/png" })) : null));
    const keys = this.panes.map((pane) => pane.wanted());
    this.panes.forEach((pane, each) => {
      pane.asked = keys[each];
    });
    const bitmaps = await Promise.all(made);
    this.panes.forEach((pane, each) => {
      if (bitmaps[each] === null) pane.hold();
      else pane.show(bitmaps[each], pane.slice(), keys[each], 0, true);
    });
    this.ask({ do: "hello" });
  }

  on_hello({ state, revision, bookmarks, share, refused }) {
    this.on_state({ state, revision, but: "" });
    this.on_arriving({ share, refused });
    this.panels.showBookmarks(bookmarks);
    if (this.facts.overlays.length > 1) this.act("volumes");
  }

  build(facts) {
    this.facts = facts;
    this.state = { hidden: [], ...facts.state };
    this.revision = facts.revision;
    this.drawn = facts.labels[0]?.value ?? 1;
    this.panels = new Panels(this, facts);
    this.stage = make("div", { class: "ctlab-panes" });
    this.said = make("div", { class: "ctlab-said", role: "status" });
    this.problem = make("div", { class: "ctlab-problem", role: "alert" }, facts.problem);
    this.about = make("div", { class: "ctlab-about" }, `${facts.name} · ${facts.about.join(" ")}`);
    this.el.setAttribute("role", "group");
    this.el.setAttribute("aria-label", `${facts.words.controls.viewer}: ${facts.name}`);
    this.el.replaceChildren(make("style", {}, STYLE), this.panels.bar, this.stage, this.said, this.problem, this.about, this.panels.below);
    this.arrange();
    this.watchPixels();
    this.follow();
    this.flow.want();
  }

  // The window may go over to a screen with finer pixels, which changes the size of nothing.
  watchPixels() {
    this.pixels = new AbortController();
    const screen = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    const changed = () => {
      for (const pane of this.panes) pane.resize();
      this.watchPixels();
    };
    screen.addEventListener("change", changed, { once: true, signal: this.pixels.signal });
  }

  // How much of a case that is still being read is there; panes that wait for all of it are asked for again then.
  on_arriving({ share, refused }) {
    this.share = share;
    if (refused) this.refuse(refused);
    for (const pane of this.panes) {
      if (!pane.waits) continue;
      if (share === 1) pane.asked = "";
      pane.draw();
    }
    if (share === 1 && !refused) this.flow.want();
  }

  // What was shown of it is no CT that may be looked at.
  refuse(text) {
    this.refused = true;
    this.problem.textContent = text;
    for (const pane of this.panes) pane.empty();
  }

  on_state({ state, but, revision }) {
    if (but === this.id || this.state === null) return;
    // What was changed here since stays: the kernel will hear of it with the next question.
    this.revision = revision;
    this.state = { ...this.state, ...state, ...this.dirty };
    this.follow(performance.now());
  }

  async on_frame(content, buffers) {
    const asked = this.flow.answered(content.number);
    if (this.revision < content.revision) this.revision = content.revision;
    if (asked === undefined) return;
    this.share = content.share;
    const decode = (bytes) => (bytes.byteLength > 0 ? createImageBitmap(new Blob([bytes], { type: content.type })) : null);
    const bitmaps = await Promise.all(content.panes.map((_, each) => decode(buffers[each]))).catch(() => []);
    if (this.refused) return;
    asked.asked.forEach(({ pane, key }, each) => {
      if (bitmaps[each] === undefined) pane.asked = "";
      else if (bitmaps[each] === null) this.putOff(pane);
      else pane.show(bitmaps[each], content.panes[each].index, key, content.number, content.exact);
    });
    if (!content.exact) this.redraw();
    this.flow.pump();
    // After the frame in which the pictures were drawn, not before it.
    requestAnimationFrame(() => setTimeout(() => this.seen(asked, content, buffers)));
  }

  putOff(pane) {
    pane.hold();
    // It may have come while the answer was on its way.
    if (this.share === 1) pane.asked = "";
  }

  seen(asked, content, buffers) {
    const now = performance.now();
    if (!content.exact) this.flow.seen(now - asked.at);
    const bytes = buffers.reduce((sum, each) => sum + each.byteLength, 0);
    const detail = { number: content.number, exact: content.exact, since: asked.since, asked: asked.at, seen: now, bytes, panes: content.panes };
    this.el.dispatchEvent(new CustomEvent("ctlab-seen", { bubbles: true, detail }));
  }

  on_probe({ number, text }) {
    this.flow.probed(number);
    this.said.textContent = text;
  }

  on_measured({ number, text }) {
    const measure = this.pendingMeasures.get(number) ?? this.measures.find((each) => each.open);
    this.pendingMeasures.delete(number);
    this.flow.probed(number);
    if (measure === undefined) return;
    measure.text = text;
    this.said.textContent = text;
    this.redraw();
  }

  on_edited({ revision, overlays, changed, count }) {
    this.revision = revision;
    this.corrections = count;
    this.problem.textContent = "";
    if (overlays.length > this.facts.overlays.length) this.facts.overlays = overlays;
    this.panels.offerOverlays(this.facts.overlays);
    if (changed && this.state.overlay === "none") this.change({ overlay: "labels" });
    this.follow(performance.now());
    clearTimeout(this.recount);
    this.recount = setTimeout(() => this.act("volumes"), 800);
  }

  on_saved({ text }) {
    this.problem.textContent = "";
    this.said.textContent = text;
  }

  on_volumes({ labels }) {
    this.panels.showLabels(labels);
  }

  on_compared(content) {
    this.panels.showCompared(content);
  }

  on_worst({ plane, index }) {
    if (index === null) return;
    const voxel = [...this.state.voxel];
    voxel[this.facts.planes[plane].axis] = index;
    this.change({ voxel });
  }

  on_bookmarks({ bookmarks }) {
    this.panels.showBookmarks(bookmarks);
  }

  on_problem({ number, text }) {
    this.pendingMeasures.delete(number);
    this.flow.probed(number);
    this.flow.answered(number);
    this.problem.textContent = text;
  }

  // State

  change(values, at = performance.now()) {
    Object.assign(this.state, values);
    Object.assign(this.dirty, values);
    this.follow(at);
  }

  changes() {
    const { dirty } = this;
    this.dirty = {};
    return dirty;
  }

  follow(at = 0) {
    const { arrangement, plane } = this.state;
    if (this.arranged !== `${arrangement} ${plane}`) this.arrange();
    for (const pane of this.panes) {
      if (pane.wanted() !== pane.asked && pane.wantedSince !== pane.asked) {
        pane.since = at;
        pane.wantedSince = pane.asked;
      }
    }
    this.panels.keepUp();
    this.label();
    if (this.stale().length === 0) this.redraw();
    else this.late ??= setTimeout(() => this.redraw(), TOGETHER_MS);
    this.flow.want();
  }

  pictureKey(index, overlay) {
    const { voxel, arrangement, plane, overlay: shown, rendering, azimuth, elevation, ...look } = this.state;
    return JSON.stringify([index, overlay ?? shown, look, this.revision]);
  }

  stale() {
    const stale = this.panes.filter((pane) => pane.wanted() !== pane.asked);
    // What changes no picture is told with the one that is there.
    return stale.length === 0 && Object.keys(this.dirty).length > 0 ? this.panes.slice(0, 1) : stale;
  }

  inexact() {
    const active = this.active();
    return [active, ...this.panes].filter((pane) => pane !== undefined && !pane.waits && (!pane.exact || pane.shown !== pane.wanted()));
  }

  waiting(yes) {
    if (this.said === undefined) return;
    if (yes) this.said.textContent = this.facts.words.controls.waiting;
    else if (this.said.textContent === this.facts.words.controls.waiting) this.said.textContent = "";
  }

  arrange() {
    const { arrangement, plane } = this.state;
    const { planes, overlays } = this.facts.words;
    this.arranged = `${arrangement} ${plane}`;
    for (const pane of this.panes) pane.stop();
    if (arrangement === "three") this.panes = Object.keys(this.facts.planes).map((name) => new Pane(this, name, null, planes[name]));
    else if (arrangement === "3d") this.panes = [new SolidPane(this, "3d", null, this.facts.words.controls["3d"])];
    else if (arrangement === "one") this.panes = [new Pane(this, plane, null, planes[plane])];
    else {
      const title = (overlay) => overlays[overlay === "labels" ? "prediction" : overlay];
      this.panes = COMPARED.map((overlay) => new Pane(this, plane, overlay, `${planes[plane]} · ${title(overlay)}`));
    }
    for (const pane of this.panes) this.tools.attach(pane);
    this.used = this.panes[0];
    this.stage.classList.toggle("ctlab-one", this.panes.length === 1);
    this.stage.replaceChildren(...this.panes.map((pane) => pane.node));
    for (const pane of this.panes) pane.resize();
  }

  // The pane in which somebody last did something. Not the one with the focus: the Tab key passes all of them on its way to a button.
  active() {
    return this.used;
  }

  label() {
    for (const pane of this.panes) {
      const text = pane.label();
      if (text !== pane.node.getAttribute("aria-label")) pane.node.setAttribute("aria-label", text);
    }
  }

  redraw() {
    clearTimeout(this.late);
    this.late = undefined;
    for (const pane of this.panes) pane.draw();
  }

  windowText() {
    const { width, level } = this.state;
    return `W ${Math.round(width)} L ${Math.round(level)}`;
  }

  slabText() {
    const { slab_mm: mm, projection } = this.state;
    return mm > 0 ? `${this.facts.words.controls[projection]} ${mm} mm` : "";
  }

  paintOver(pane, context) {
    for (const measure of this.measures) {
      if (measure.plane === pane.name && measure.index === pane.slice()) pane.paintMeasure(context, measure);
    }
    this.tools.paint(pane, context);
  }

  // What people do

  step(pane, steps, at) {
    const { axis } = pane.plane;
    const voxel = [...this.state.voxel];
    // Downwards is towards the feet, the back and the patient's left.
    voxel[axis] = Math.min(Math.max(voxel[axis] - steps, 0), this.facts.shape[axis] - 1);
    if (voxel[axis] !== this.state.voxel[axis]) this.change({ voxel }, at);
  }

  preset(number, at) {
    const found = this.facts.windows[number];
    if (found !== undefined) this.change({ width: found.width, level: found.level }, at);
  }

  choose(tool) {
    if (!this.facts.correctable && ["brush", "eraser", "lasso"].includes(tool)) return;
    this.tool = tool;
    this.tools.begun = null;
    this.panels.follow();
    this.redraw();
  }

  reset() {
    for (const pane of this.panes) pane.reset();
    const { width, level, azimuth, elevation } = this.facts.state;
    this.change({ width, level, azimuth, elevation, inverted: false });
  }

  hideLabels() {
    const { overlay } = this.state;
    if (overlay !== "none") this.hiddenOverlay = overlay;
    this.change({ overlay: overlay === "none" ? (this.hiddenOverlay ?? this.facts.overlays.at(-1)) : "none" });
  }

  showLabel(value, yes) {
    const hidden = this.state.hidden.filter((each) => each !== value);
    this.change({ hidden: yes ? hidden : [...hidden, value].sort((one, other) => one - other) });
  }

  drawLabel(value) {
    if (!(value >= 1 && value <= 255)) return;
    this.drawn = Math.round(value);
    this.panels.showLabels();
    this.panels.follow();
  }

  drawColour() {
    const found = this.panels.labels.find(({ value }) => value === this.drawn);
    return found === undefined ? "#f0e442" : `rgb(${found.colour.join(", ")})`;
  }

  setBrush(mm) {
    if (mm > 0) this.brushMm = Math.min(Math.max(mm, 0.25), 100);
    this.panels.follow();
    this.redraw();
  }

  resizeBrush(factor) {
    this.setBrush(this.brushMm * factor);
  }

  probe(pane, point) {
    if (pane.waits) return;
    this.flow.probe({ do: "probe", plane: pane.name, index: pane.slice(), point });
  }

  measuring(pane, kind, points, index) {
    if (pane.waits) return;
    this.measures = this.measures.filter((each) => !each.open);
    const measure = { kind, points, plane: pane.name, index, text: "", open: true };
    this.measures.push(measure);
    this.flow.probe({ do: "measure", kind, plane: pane.name, index, points });
    this.redraw();
  }

  measured(pane, kind, points, index) {
    if (pane.waits) return;
    this.measures = this.measures.filter((each) => !each.open);
    const measure = { kind, points, plane: pane.name, index, text: "" };
    this.measures.push(measure);
    this.pendingMeasures.set(this.ask({ do: "measure", kind, plane: pane.name, index, points }), measure);
    this.redraw();
  }

  clearMeasures() {
    this.measures = [];
    this.redraw();
  }

  stroke(pane, kind, points, index) {
    const value = kind === "eraser" ? 0 : this.drawn;
    const step = Math.ceil(points.length / 4000);
    const kept = points.filter((_, each) => each % step === 0 || each === points.length - 1);
    const lasso = kind === "lasso";
    const message = { do: "draw", kind: lasso ? "lasso" : "brush", plane: pane.name, index, points: kept, value, radius_mm: lasso ? 0 : this.brushMm };
    this.ask({ ...message, hu: kind === "eraser" ? null : this.panels.limits() });
  }

  act(what) {
    this.ask({ do: "act", what, value: this.drawn, plane: this.sliced() });
  }

  // The plane that a question is about: that of the active pane, in 3-D the one last chosen.
  sliced() {
    const { name } = this.active();
    return name in this.facts.planes ? name : this.state.plane;
  }

  mark() {
    this.ask({ do: "mark", note: this.panels.note.value });
    this.panels.note.value = "";
  }

  goTo({ voxel, plane, width, level }) {
    this.change({ voxel, plane, width, level });
  }

  cine(pane) {
    this.playing = !this.playing;
    clearInterval(this.player);
    if (this.playing) {
      this.player = setInterval(() => {
        // As fast as pictures come, and no faster.
        if (this.flow.open.size > 1 || document.hidden) return;
        if (pane.solid) {
          pane.turn(3, 0);
          return;
        }
        const { axis } = pane.plane;
        const voxel = [...this.state.voxel];
        voxel[axis] = (voxel[axis] - 1 + this.facts.shape[axis]) % this.facts.shape[axis];
        this.change({ voxel });
      }, CINE_MS);
    }
    this.panels.follow();
  }

  fullScreen() {
    if (document.fullscreenElement === this.el) void document.exitFullscreen();
    else void this.el.requestFullscreen?.();
  }

  escape() {
    if (this.tools.begun) {
      this.tools.begun = null;
      this.redraw();
      return true;
    }
    return false;
  }

  key(event) {
    const pane = this.panes.find(({ node }) => node === event.target);
    if (pane !== undefined && !PASSING.includes(event.key)) this.used = pane;
    if (pane !== undefined && press(this, pane, event)) event.preventDefault();
    // A key in the viewer is the viewer's: the notebook below would run or delete the cell.
    if (event.key !== "Escape" && event.key !== "Tab") event.stopPropagation();
  }

  // For whoever looks from outside: tests and measurements.
  told() {
    const exact = this.panes.length > 0 && !this.panes.some(({ waits }) => waits) && this.inexact().length === 0 && this.flow.open.size === 0 && Object.keys(this.dirty).length === 0;
    const panes = this.panes.map((pane) => ({ name: pane.name, slice: pane.slice(), shown: pane.index, title: pane.title }));
    return { exact, panes, state: this.state, tool: this.tool, measures: this.measures, corrections: this.corrections };
  }

  middleTo(number, place) {
    const pane = this.panes[number];
    const [x, y] = pane.toScreen(place);
    return [x - pane.wide / 2, y - pane.high / 2];
  }

  // What the kernel sent for a pane, without what is drawn over it.
  picture(number) {
    const { bitmap } = this.panes[number];
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { rows: bitmap.height, columns: bitmap.width, pixels: [...data] };
  }

  restart() {
    this.clearMeasures();
    this.choose("window");
    for (const pane of this.panes) pane.reset();
    this.change(structuredClone(this.facts.state));
  }

  unfold() {
    for (const section of this.el.querySelectorAll("details")) section.open = true;
  }

  stop() {
    this.pixels?.abort();
    clearInterval(this.player);
    clearTimeout(this.recount);
    clearTimeout(this.late);
    this.flow.stop();
    for (const pane of this.panes) pane.stop();
  }
}
