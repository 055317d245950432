// The controls around the pictures: bar, labels, correcting, comparing, bookmarks, keys. Texts come from the kernel as text, never as HTML.

export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean" && key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export function swatch({ colour, hatch }) {
  const [red, green, blue] = colour;
  const plain = `rgb(${red}, ${green}, ${blue})`;
  const dark = `rgb(${red * 0.35}, ${green * 0.35}, ${blue * 0.35})`;
  const turns = { rising: "-45deg", falling: "45deg", across: "0deg", down: "90deg", dotted: "30deg", checked: "60deg" };
  const background = hatch in turns ? `repeating-linear-gradient(${turns[hatch]}, ${dark} 0 2px, ${plain} 2px 6px)` : plain;
  return make("span", { class: "ctlab-swatch", style: `background: ${background}`, "aria-hidden": "true" });
}

export class Panels {
  constructor(host, facts) {
    this.host = host;
    this.facts = facts;
    this.words = facts.words.controls;
    this.labels = facts.labels.map((each) => ({ ...each, ml: null, truth_ml: null }));
    this.bar = make("div", { class: "ctlab-bar", role: "toolbar", "aria-label": this.words.viewer }, ...this.barParts());
    this.list = make("div", { class: "ctlab-list" });
    this.compared = make("div", { class: "ctlab-list" });
    this.marks = make("div", { class: "ctlab-list" });
    this.below = make("div", { class: "ctlab-lists" }, this.list, ...this.sections());
    this.showLabels();
    this.showBookmarks(facts.bookmarks);
  }

  choice(text, options, value, act) {
    const select = make("select", { onchange: (event) => act(event.target.value, event.timeStamp) });
    for (const [key, name] of options) select.append(make("option", { value: key }, name));
    select.value = value;
    return { node: make("label", {}, text, select), select };
  }

  toggle(text, act, pressed = false) {
    return make("button", { type: "button", "aria-pressed": String(pressed), onclick: (event) => act(event.timeStamp) }, text);
  }

  button(text, act) {
    return make("button", { type: "button", onclick: act }, text);
  }

  barParts() {
    const { words, host, facts } = this;
    const { state } = host;
    const arrangements = facts.compared ? ["three", "one", "compare", "3d"] : ["three", "one", "3d"];
    this.arrangement = this.choice(
      words.arrangement, arrangements.map((each) => [each, words[each]]), state.arrangement, (value) => host.change({ arrangement: value }),
    );
    this.plane = this.choice("", Object.entries(facts.words.planes), state.plane, (value) => host.change({ plane: value }));
    this.plane.select.setAttribute("aria-label", words.one);
    this.rendering = this.choice(
      words.rendering, [["surfaces", words.surfaces], ["maximum", words.mip]], state.rendering, (value, at) => host.change({ rendering: value }, at),
    );
    const windows = facts.windows.map(({ name, width, level }) => [name, `${facts.words.windows[name]} ${width}/${level}`]);
    this.window = this.choice(words.window, [...windows, ["", words.ownWindow]], "", (value, at) => {
      const found = facts.windows.findIndex(({ name }) => name === value);
      if (found >= 0) host.preset(found, at);
    });
    const tools = ["window", "scroll", "pan", "zoom", "ruler", "angle", "region", "brush", "eraser", "lasso"];
    const named = tools.filter((each) => facts.correctable || !["brush", "eraser", "lasso"].includes(each))
      .map((each) => [each, words[`tool${each[0].toUpperCase()}${each.slice(1)}`]]);
    this.tool = this.choice(words.tool, named, host.tool, (value) => host.choose(value));
    const slabs = [0, 3, 5, 10, 20, 50].map((mm) => [String(mm), mm === 0 ? words.thin : `${mm} mm`]);
    this.slab = this.choice(words.slab, slabs, "0", (value, at) => host.change({ slab_mm: Number(value) }, at));
    this.projection = this.choice(
      "", ["maximum", "minimum", "mean"].map((each) => [each, words[each]]), "maximum", (value, at) => host.change({ projection: value }, at),
    );
    this.projection.select.setAttribute("aria-label", words.slab);
    this.inverted = this.toggle(words.inverted, (at) => host.change({ inverted: !host.state.inverted }, at));
    this.cine = this.toggle(words.cine, () => host.cine(host.active()));
    const rest = [this.button(words.reset, () => host.reset()), this.button(words.full, () => host.fullScreen())];
    const clear = this.button(words.clear, () => host.clearMeasures());
    const choices = [this.arrangement, this.plane, this.rendering, this.window, this.tool, this.slab, this.projection].map(({ node }) => node);
    return [...choices, this.inverted, this.cine, ...rest, clear, this.overlayParts()];
  }

  overlayParts() {
    const { words, host } = this;
    this.overlay = this.choice(words.overlay, [], "none", (value, at) => host.change({ overlay: value }, at));
    this.offerOverlays(this.facts.overlays);
    this.outline = this.toggle(words.outline, (at) => host.change({ outline: !host.state.outline }, at));
    this.hatched = this.toggle(words.hatched, (at) => host.change({ hatched: !host.state.hatched }, at));
    this.opacity = make("input", {
      type: "range", min: "0", max: "1", step: "0.05", "aria-label": words.opacity,
      oninput: (event) => host.change({ opacity: Number(event.target.value) }, event.timeStamp),
    });
    return make("span", { class: "ctlab-bar" }, this.overlay.node, this.outline, this.hatched, make("label", {}, words.opacity, this.opacity));
  }

  offerOverlays(names) {
    const { overlays } = this.facts.words;
    const named = names.map((each) => [each, each === "labels" && this.facts.compared ? overlays.prediction : overlays[each]]);
    this.overlay.select.replaceChildren(...named.map(([value, text]) => make("option", { value }, text)));
    this.overlay.select.value = this.host.state.overlay;
  }

  sections() {
    const { words, facts } = this;
    const parts = [];
    if (facts.correctable) parts.push(this.section(words.correct, ...this.correctParts()));
    if (facts.compared) {
      const worst = this.button(words.worst, () => this.host.act("worst"));
      parts.push(this.section(words.agreement, make("div", { class: "ctlab-row" }, this.button(words.compute, () => this.host.act("compare")), worst), this.compared));
    }
    this.note = make("input", { type: "text", maxlength: "500", "aria-label": words.note, placeholder: words.note });
    const mark = this.button(words.mark, () => this.host.mark());
    parts.push(this.section(words.bookmarks, make("div", { class: "ctlab-row" }, this.note, mark), this.marks));
    const keys = Object.entries(facts.words.keys).map(([key, text]) => make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, text)));
    parts.push(this.section(words.help, make("table", {}, make("tbody", {}, ...keys)), this.presets()));
    return parts;
  }

  // The windows by the key that chooses them, and who says that these are their values.
  presets() {
    const { words, facts } = this;
    const rows = facts.windows.map(({ name, width, level, source }, number) =>
      make("tr", {}, make("th", { scope: "row" }, String(number + 1)), ...[facts.words.windows[name], `${width}/${level}`, source].map((each) => make("td", {}, each))),
    );
    return make("table", {}, make("caption", {}, words.sources), make("tbody", {}, ...rows));
  }

  section(title, ...children) {
    return make("details", {}, make("summary", {}, title), ...children);
  }

  correctParts() {
    const { words, host } = this;
    const number = (value, label, act) => make("input", { type: "number", value: String(value), "aria-label": label, onchange: act });
    this.brush = number(host.brushMm * 2, words.brushSize, (event) => host.setBrush(Number(event.target.value) / 2));
    this.brush.min = "0.5";
    this.limited = make("input", { type: "checkbox" });
    this.low = number(-100, words.limited, () => {});
    this.high = number(300, words.to, () => {});
    const limits = make("label", {}, this.limited, words.limited);
    this.undo = this.button(words.undo, () => host.act("undo"));
    this.redo = this.button(words.redo, () => host.act("redo"));
    this.save = this.button(words.save, () => host.act("save"));
    const fill = this.button(words.fill, () => host.act("fill"));
    this.drawn = number(host.drawn, words.label, (event) => host.drawLabel(Number(event.target.value)));
    Object.assign(this.drawn, { min: "1", max: "255" });
    return [
      make("div", { class: "ctlab-row" }, make("label", {}, words.label, this.drawn), make("label", {}, words.brushSize, this.brush), limits, this.low, words.to, this.high),
      make("div", { class: "ctlab-row" }, this.undo, this.redo, fill, this.save),
    ];
  }

  limits() {
    return this.limited?.checked ? [Math.round(Number(this.low.value)), Math.round(Number(this.high.value))] : null;
  }

  showLabels(labels = this.labels) {
    this.labels = labels;
    const { words, host, facts } = this;
    if (labels.length === 0) {
      this.list.replaceChildren();
      return;
    }
    const heads = ["", words.label, ...(facts.compared ? [`${words.prediction}, ml`, `${words.truth}, ml`] : ["ml"])];
    const head = make("tr", {}, ...heads.map((each) => make("th", { scope: "col" }, each)));
    const ml = (value) => (value === null ? "…" : value.toFixed(1));
    const rows = labels.map((label) => {
      const shown = make("input", { type: "checkbox", "aria-label": fill(words.show, label), onchange: (event) => host.showLabel(label.value, event.target.checked) });
      shown.checked = !host.state.hidden?.includes(label.value);
      const name = facts.correctable ? make("button", { type: "button", title: fill(words.draw, label), onclick: () => host.drawLabel(label.value) }, label.name) : label.name;
      const cells = [make("label", {}, shown, swatch(label)), name, ml(label.ml), ...(facts.compared ? [ml(label.truth_ml)] : [])];
      return make("tr", { class: label.value === host.drawn ? "ctlab-drawn" : "" }, ...cells.map((each) => make("td", {}, each)));
    });
    const matches = facts.compared ? [make("div", { class: "ctlab-row" }, ...facts.matches.map((each) => make("span", {}, swatch(each), ` ${each.name}`)))] : [];
    this.list.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)), ...matches);
  }

  showCompared({ agreements, mistakes }) {
    const { words, host } = this;
    const heads = ["", words.label, `${words.prediction}, ml`, `${words.truth}, ml`, "Dice", "HD95, mm"];
    const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));
    const rows = agreements.map((each) => [swatch(each), each.name, number(each.ml, 1), number(each.truth_ml, 1), number(each.dice, 3), number(each.hd95_mm, 1)]);
    const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((each) => make("th", { scope: "col" }, each)))), make("tbody", {}, ...body));
    const list = mistakes.map((each) =>
      make("li", {}, make("button", { type: "button", onclick: () => host.change({ voxel: each.voxel }) }, swatch(each), ` ${each.name} ${each.ml.toFixed(2)} ml`)),
    );
    this.compared.replaceChildren(table, make("p", {}, words.mistakes), make("ol", {}, ...list));
  }

  showBookmarks(places) {
    const { words, host } = this;
    const rows = places.map((each, number) => {
      const [x, y, z] = each.voxel;
      const go = make("button", { type: "button", onclick: () => host.goTo(each) }, each.note || `${x}, ${y}, ${z}`);
      return make("li", {}, go, " ", make("button", { type: "button", "aria-label": `${words.remove}: ${each.note}`, onclick: () => host.ask({ do: "unmark", place: number }) }, "×"));
    });
    this.marks.replaceChildren(make("ol", {}, ...rows));
  }

  // The same after a change of the state: another slice changes no control, and whatever is written to one is laid out anew.
  keepUp() {
    const { voxel, ...state } = this.host.state;
    const told = JSON.stringify(state);
    if (told !== this.told) this.follow();
    this.told = told;
  }

  // The controls as the state has them.
  follow() {
    const { host } = this;
    const { state } = host;
    this.arrangement.select.value = state.arrangement;
    this.plane.select.value = state.plane;
    const solid = state.arrangement === "3d";
    this.plane.node.hidden = solid || state.arrangement === "three";
    this.rendering.node.hidden = !solid;
    this.rendering.select.value = state.rendering;
    for (const { node } of [this.slab, this.projection]) node.hidden = solid;
    this.window.select.value = this.facts.windows.find(({ width, level }) => width === state.width && level === state.level)?.name ?? "";
    this.tool.select.value = host.tool;
    this.slab.select.value = String(state.slab_mm);
    this.projection.select.value = state.projection;
    this.overlay.select.value = state.overlay;
    this.opacity.value = String(state.opacity);
    for (const name of ["inverted", "outline", "hatched"]) this[name].setAttribute("aria-pressed", String(state[name]));
    this.cine.setAttribute("aria-pressed", String(host.playing));
    if (this.brush) this.brush.value = String(Math.round(host.brushMm * 20) / 10);
    if (this.drawn) this.drawn.value = String(host.drawn);
  }
}

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
