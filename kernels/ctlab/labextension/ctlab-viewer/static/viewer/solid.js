// The body in 3-D on the screen: from which side it is seen, and where the patient's sides are then. The kernel turns it; here are angles.

import { Pane, line, write } from "./pane.js";
import { fill } from "./panels.js";

const SIDES = [["R", "L"], ["A", "P"], ["H", "F"]];
const COLOURS = ["#cc79a7", "#e69f00", "#56b4e9"];
// A letter stands for a side of the picture that lies within about 72 degrees of it.
const NEAR = 0.3;
const CUBE_PX = 22;

// Unit vectors in RAS+: to the right and to the top of the picture, and away from whoever looks; `Side.axes` in the kernel.
function axes({ azimuth, elevation }) {
  const [round, up] = [azimuth, elevation].map((each) => (each * Math.PI) / 180);
  const right = [-Math.cos(round), -Math.sin(round), 0];
  const away = [Math.sin(round) * Math.cos(up), -Math.cos(round) * Math.cos(up), -Math.sin(up)];
  const [x, y] = right;
  return { right, top: [y * away[2], -x * away[2], x * away[1] - y * away[0]], away };
}

// DICOM's letters for a direction, the nearest side first.
function letters(direction) {
  const named = direction.map((part, axis) => ({ part: Math.abs(part), letter: SIDES[axis][part > 0 ? 0 : 1] }));
  return named.filter(({ part }) => part > NEAR).sort((one, other) => other.part - one.part).map(({ letter }) => letter).join("");
}

export class SolidPane extends Pane {
  solid = true;

  names() {
    return { plane: this.name };
  }

  slice() {
    return 0;
  }

  wanted() {
    const { rendering, azimuth, elevation, overlay, hidden, width, level, inverted } = this.host.state;
    const look = rendering === "maximum" ? [width, level, inverted] : [overlay, hidden, this.host.revision];
    return JSON.stringify([rendering, azimuth, elevation, look]);
  }

  label() {
    const { azimuth, elevation } = this.host.state;
    return fill(this.host.facts.words.controls.turned, { azimuth: Math.round(azimuth), elevation: Math.round(elevation) });
  }

  // What is seen goes with the hand: so many degrees to the right and downwards.
  turn(right, down, at) {
    const { azimuth, elevation } = this.host.state;
    const tenth = (value) => Math.round(value * 10) / 10;
    const round = tenth(((((azimuth - right + 180) % 360) + 360) % 360) - 180);
    this.host.change({ azimuth: round, elevation: tenth(Math.min(Math.max(elevation + down, -90), 90)) }, at);
  }

  face(azimuth, at) {
    this.host.change({ azimuth, elevation: 0 }, at);
  }

  paintCross() {}

  paintWords(context) {
    const { state, facts } = this.host;
    const { right, top, away } = axes(state);
    const turned = (direction) => direction.map((part) => -part);
    this.paintSides(context, [letters(turned(right)), letters(right), letters(top), letters(turned(top))]);
    this.paintCube(context, { right, top, away });
    if (state.rendering === "surfaces" && state.overlay === "none") write(context, facts.words.controls.noSurfaces, this.wide / 2, this.high / 2);
    context.textAlign = "left";
    write(context, this.title, 6, 11);
    write(context, `${Math.round(state.azimuth)}° ${Math.round(state.elevation)}°`, 6, 28);
    context.textAlign = "right";
    if (state.rendering === "maximum") write(context, this.host.windowText(), this.wide - 6, 11);
    this.paintScale(context);
  }

  // A cube with a letter on each face that is seen.
  paintCube(context, { right, top, away }) {
    const [x, y] = [CUBE_PX * 2.2, this.high - CUBE_PX * 2.2];
    const place = (point) => [right, top].map((unit) => unit.reduce((sum, part, axis) => sum + part * point[axis], 0) * CUBE_PX);
    const screen = (point) => place(point).map((part, each) => (each === 0 ? x + part : y - part));
    context.textAlign = "center";
    for (let axis = 0; axis < 3; axis += 1) {
      const sign = away[axis] < 0 ? 1 : -1;
      const point = (one, other) => {
        const found = [0, 0, 0];
        found[axis] = sign;
        found[(axis + 1) % 3] = one;
        found[(axis + 2) % 3] = other;
        return screen(found);
      };
      const corners = [[-1, -1], [-1, 1], [1, 1], [1, -1]].map(([one, other]) => point(one, other));
      corners.forEach((corner, each) => line(context, COLOURS[axis], corner, corners[(each + 1) % 4]));
      if (Math.abs(away[axis]) > NEAR) write(context, SIDES[axis][sign > 0 ? 0 : 1], ...point(0, 0), COLOURS[axis]);
    }
  }
}
