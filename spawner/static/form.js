// The form: only what goes together can be chosen, and what is free is told anew while the page is open. Texts come with the page.
"use strict";
(() => {
  const every = 20_000; // milliseconds; the hub's own copy is renewed four times a minute
  const form = document.getElementById("spawn_form");
  const names = ["resource_group", "destination", "gpus", "hours"];
  const field = (root, name) => root.querySelector(`#spawn_form [name="${name}"]`);
  if (!form) return;

  // Options of other compute nodes can't be chosen, nor a time that the quota does not leave for so many GPUs. An option that is hidden and disabled is left out by the keyboard too.
  function narrow() {
    const group = field(document, "resource_group")?.value;
    for (const name of names.slice(1)) {
      const select = field(document, name);
      if (!select) continue;
      // Before the hours come the GPUs: by then it is known how many.
      const left = name === "hours" ? (JSON.parse(select.dataset.gpuHours || "{}")[group] ?? Infinity) : Infinity;
      const gpus = Number(field(document, "gpus")?.value ?? 0);
      for (const option of select.options) {
        const fits = (option.dataset.groups ?? "").split(" ").includes(group) && !(gpus * Number(option.value) > left);
        option.hidden = option.disabled = !fits;
      }
      if (select.selectedOptions[0]?.disabled) select.value = [...select.options].find((option) => !option.disabled)?.value ?? "";
    }
  }

  // What stands in the page is exchanged only where it says something else: the field that has the focus stays as it is.
  function renew(page) {
    const news = page.getElementById("availability");
    const place = document.getElementById("availability");
    if (!news || !place) return;
    const open = place.querySelector("details")?.open;
    if (news.textContent !== place.textContent) {
      place.replaceChildren(...news.children);
      const details = place.querySelector("details");
      if (details && open !== undefined) details.open = open;
    }
    place.dataset.told = String(Date.now());
    // Where fields have come or gone, choices no longer match: the page itself has to come anew.
    if (names.some((name) => !field(page, name) !== !field(document, name))) {
      window.location.reload();
      return;
    }
    for (const name of names) {
      const [now, then] = [field(document, name), field(page, name)];
      if (now?.tagName !== "SELECT" || then?.tagName !== "SELECT") continue;
      if (then.dataset.gpuHours) now.dataset.gpuHours = then.dataset.gpuHours;
      const said = (select) => [...select.options].map((option) => `${option.value} ${option.dataset.groups}`).join();
      if (said(now) === said(then)) continue;
      const chosen = now.value;
      now.replaceChildren(...then.children);
      if ([...now.options].some((option) => option.value === chosen)) now.value = chosen;
    }
    narrow();
  }

  let asking = false;
  async function ask() {
    if (document.hidden || asking || document.body.dataset.sent) return;
    asking = true;
    try {
      const answer = await fetch(window.location.pathname, { headers: { Accept: "text/html" } });
      if (answer.ok) renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch (error) {
      console.error(error); // the line is down, say: what was told stays, and the next time comes
    } finally {
      asking = false;
    }
  }

  form.addEventListener("submit", () => { document.body.dataset.sent = "yes"; });
  window.addEventListener("pageshow", () => { delete document.body.dataset.sent; });
  for (const name of ["resource_group", "gpus"]) field(document, name)?.addEventListener("change", narrow);
  document.addEventListener("visibilitychange", ask);
  if (document.getElementById("availability")) setInterval(ask, every);
  narrow();
})();
