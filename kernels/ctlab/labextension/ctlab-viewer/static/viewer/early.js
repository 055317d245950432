// A series that isn't known yet: one picture and what it is. There is nothing here to measure with, and no slice to go on to.

import { make } from "./panels.js";
import { STYLE } from "./style.js";

// `text` says what is waited for, `refused` why there is nothing to wait for any more.
export function showEarly(el, { name, title, label, text, refused }, first) {
  const kept = el.querySelector(".ctlab-early");
  const parts = kept?.ctlabParts ?? { said: make("div", { class: "ctlab-mark", role: "status" }), problem: make("div", { class: "ctlab-problem", role: "alert" }) };
  if (kept === null) {
    const node = make("div", { class: "ctlab-early" }, parts.said, parts.problem);
    node.ctlabParts = parts;
    el.setAttribute("role", "group");
    el.setAttribute("aria-label", `${title}: ${name}`);
    el.replaceChildren(make("style", {}, STYLE), node);
  }
  parts.said.textContent = text;
  parts.problem.textContent = refused;
  parts.picture?.remove();
  if (first.length === 0) return;
  const source = URL.createObjectURL(new Blob([first[0]], { type: "image/png" }));
  parts.picture = make("img", { alt: label, src: source, onload: () => URL.revokeObjectURL(source) });
  parts.said.after(parts.picture);
}
