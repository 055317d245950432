// What mouse, pen and fingers do on a pane. A click sets the crosshair, whatever the tool; the right button is always the window.

const CLICK_PX = 3;
const NOTCH_PX = 40;
const SLICE_PX = 5;
const POINTS = { ruler: 2, angle: 3, region: 2 };

export class Tools {
  constructor(host) {
    this.host = host;
    this.fingers = new Map();
    this.drag = null;
    this.wheeled = 0;
    this.hover = null;
  }

  attach(pane) {
    const { canvas } = pane;
    const on = (name, act) => canvas.addEventListener(name, (event) => act.call(this, pane, event), { passive: false });
    on("wheel", this.wheel);
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.cancel);
    on("pointerleave", this.leave);
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  wheel(pane, event) {
    event.preventDefault();
    if (event.ctrlKey || pane.solid) {
      pane.zoomAt(Math.exp(-event.deltaY / 300), pane.place(event));
      return;
    }
    // A mouse wheel's notch is one slice; a touch pad's small steps add up to one.
    const big = event.deltaMode !== 0 || Math.abs(event.deltaY) >= NOTCH_PX;
    this.wheeled = big ? Math.sign(event.deltaY) * NOTCH_PX : this.wheeled + event.deltaY;
    const steps = Math.trunc(this.wheeled / NOTCH_PX);
    this.wheeled -= steps * NOTCH_PX;
    if (steps !== 0) this.host.step(pane, steps, event.timeStamp);
  }

  down(pane, event) {
    pane.node.focus({ preventScroll: true });
    this.host.used = pane;
    event.preventDefault();
    pane.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, pane.place(event));
    if (this.fingers.size === 2) {
      this.drag = { kind: "pinch", ...this.pinch() };
      return;
    }
    const start = pane.place(event);
    const { tool } = this.host;
    const left = pane.solid && tool !== "pan" && tool !== "zoom" ? "turn" : tool;
    const kind = event.button === 2 ? "window" : event.button === 1 ? "pan" : left;
    const { width, level } = this.host.state;
    this.drag = { kind, start, last: start, moved: false, width, level, points: [pane.fromScreen(start)], index: pane.slice() };
    if (["brush", "eraser"].includes(kind)) pane.draw();
  }

  pinch() {
    const [first, second] = [...this.fingers.values()];
    const middle = [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2];
    return { middle, apart: Math.hypot(first[0] - second[0], first[1] - second[1]) };
  }

  move(pane, event) {
    const here = pane.place(event);
    const place = pane.fromScreen(here);
    this.hover = pane.solid ? null : { pane, place };
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, here);
    if (this.drag === null) {
      if (pane.solid) return;
      if (event.shiftKey) this.host.change({ voxel: pane.voxel(place) }, event.timeStamp);
      this.host.probe(pane, place);
      if (["brush", "eraser"].includes(this.host.tool)) pane.draw();
      return;
    }
    const { drag } = this;
    if (drag.kind === "pinch") {
      if (this.fingers.size === 2) this.pinched(pane);
      return;
    }
    drag.moved ||= Math.hypot(here[0] - drag.start[0], here[1] - drag.start[1]) > CLICK_PX;
    if (drag.moved) this.dragged(pane, drag, here, place, event.timeStamp);
    drag.last = here;
  }

  pinched(pane) {
    const { middle, apart } = this.pinch();
    const { drag } = this;
    pane.pan = [pane.pan[0] + middle[0] - drag.middle[0], pane.pan[1] + middle[1] - drag.middle[1]];
    pane.zoomAt(apart / Math.max(1, drag.apart), middle);
    Object.assign(drag, { middle, apart });
  }

  dragged(pane, drag, here, place, at) {
    const right = here[0] - drag.start[0];
    const down = here[1] - drag.start[1];
    if (drag.kind === "turn") {
      const degrees = 180 / Math.min(pane.wide, pane.high);
      pane.turn((here[0] - drag.last[0]) * degrees, (here[1] - drag.last[1]) * degrees, at);
    } else if (drag.kind === "window") {
      // A whole pane across doubles or halves a wide window several times, and moves a narrow one by little.
      const width = Math.max(1, drag.width * Math.exp((right / pane.wide) * 2));
      this.host.change({ width: Math.round(width), level: Math.round(drag.level + (down / pane.high) * Math.max(drag.width, 100)) }, at);
    } else if (drag.kind === "scroll") {
      const steps = Math.trunc(down / SLICE_PX);
      if (steps !== (drag.steps ?? 0)) this.host.step(pane, steps - (drag.steps ?? 0), at);
      drag.steps = steps;
    } else if (drag.kind === "pan") {
      pane.pan = [pane.pan[0] + here[0] - drag.last[0], pane.pan[1] + here[1] - drag.last[1]];
      pane.draw();
    } else if (drag.kind === "zoom") {
      pane.zoomAt(Math.exp((drag.last[1] - here[1]) / 150), drag.start);
    } else if (drag.kind === "ruler" || drag.kind === "region") {
      this.host.measuring(pane, drag.kind, [drag.points[0], place], drag.index);
    } else if (["brush", "eraser", "lasso"].includes(drag.kind)) {
      drag.points.push(place);
      pane.draw();
    }
  }

  up(pane, event) {
    this.fingers.delete(event.pointerId);
    const { drag } = this;
    if (drag === null) return;
    this.drag = null;
    if (drag.kind === "pinch") return;
    const place = pane.fromScreen(pane.place(event));
    if (["brush", "eraser"].includes(drag.kind) || (drag.kind === "lasso" && drag.points.length > 2)) {
      this.host.stroke(pane, drag.kind, drag.points, drag.index);
    } else if (drag.moved && (drag.kind === "ruler" || drag.kind === "region")) {
      this.host.measured(pane, drag.kind, [drag.points[0], place], drag.index);
    } else if (!drag.moved && event.button === 0 && !pane.solid) {
      this.click(pane, place, event.timeStamp);
    }
    pane.draw();
  }

  click(pane, place, at) {
    if (this.host.tool in POINTS) this.point(pane, place);
    else this.host.change({ voxel: pane.voxel(place) }, at);
  }

  // One point of the chosen tool, by a click or by the key that stands for one.
  point(pane, place) {
    const kind = this.host.tool;
    if (["brush", "eraser"].includes(kind)) {
      this.host.stroke(pane, kind, [place], pane.slice());
      return;
    }
    if (!(kind in POINTS)) return;
    const begun = this.begun?.kind === kind && this.begun.pane === pane && this.begun.index === pane.slice() ? this.begun : null;
    const points = [...(begun?.points ?? []), place];
    if (points.length === POINTS[kind]) {
      this.begun = null;
      this.host.measured(pane, kind, points, pane.slice());
    } else {
      this.begun = { kind, pane, points, index: pane.slice() };
      pane.draw();
    }
  }

  cancel(pane, event) {
    this.fingers.delete(event.pointerId);
    this.drag = null;
    pane.draw();
  }

  leave(pane) {
    this.hover = null;
    pane.draw();
  }

  // What is drawn over `pane` because of what goes on there.
  paint(pane, context) {
    const { drag, hover, begun } = this;
    const { tool, brushMm } = this.host;
    const colour = tool === "eraser" ? "#ffffff" : this.host.drawColour();
    if (drag !== null && hover?.pane === pane && ["brush", "eraser", "lasso"].includes(drag.kind)) {
      pane.paintStroke(context, { points: drag.points, radiusMm: brushMm, closed: drag.kind === "lasso", colour });
    } else if (hover?.pane === pane && ["brush", "eraser"].includes(tool)) {
      pane.paintStroke(context, { points: [hover.place], radiusMm: brushMm, closed: false, colour });
    }
    if (begun?.pane === pane && begun.index === pane.slice()) pane.paintMeasure(context, { ...begun, text: "" });
  }
}
