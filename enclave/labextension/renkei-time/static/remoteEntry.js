// How much time is left, how the storage does, warnings before the end, what administrators say, and saving before it is too late.
//
// Written as what JupyterLab loads (a module federation container), so that nothing has to be built. All sentences and all decisions
// come from the session's doorway (enclave/timeleft.py, enclave/storage.py), outside the sandbox; this shows them.
(() => {
  "use strict";

  const FIRST_MS = 15000;
  const STYLE = `
    .renkei-time-left { margin: 0 12px; padding: 0 8px; line-height: 26px; white-space: nowrap; font-size: 13px; }
    .renkei-storage { margin: 0 12px; line-height: 26px; white-space: nowrap; font-size: 12px; color: var(--jp-ui-font-color2); }
    .renkei-time-said { font-size: 14px; line-height: 20px; }
    /* As wide as the page from the first moment on: the widget has no width before the Lab has laid it out, and its height is taken
       from these words. */
    .renkei-time-said div { box-sizing: border-box; width: 100vw; padding: 4px 12px; background: #fff4ce; color: #3b2a00; }
    .renkei-time-said.renkei-mod-urgent div { background: #8a1c1c; color: #ffffff; }
    .renkei-time-said p { margin: 0; white-space: pre-wrap; }
    .renkei-time-aloud { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  `;
  let shared = {};

  async function provided(name) {
    const versions = Object.values(shared[name] ?? {});
    if (versions.length === 0) throw new Error(`JupyterLab does not share ${name}`);
    return (await versions[0].get())();
  }

  function cookie(name) {
    const found = document.cookie.split("; ").find((each) => each.startsWith(`${name}=`));
    return found === undefined ? "" : found.slice(name.length + 1);
  }

  class Face {
    constructor(Widget) {
      const style = document.createElement("style");
      style.textContent = STYLE;
      document.head.append(style);
      this.left = new Widget();
      this.left.id = "renkei-time-left";
      this.left.addClass("renkei-time-left");
      this.left.node.setAttribute("role", "timer");
      this.storage = new Widget();
      this.storage.id = "renkei-storage";
      this.storage.addClass("renkei-storage");
      this.said = new Widget();
      this.said.id = "renkei-time-said";
      this.said.addClass("renkei-time-said");
      this.words = document.createElement("div");
      this.said.node.append(this.words);
      this.aloud = document.createElement("div");
      this.aloud.className = "renkei-time-aloud";
      this.aloud.setAttribute("role", "alert");
      document.body.append(this.aloud);
      this.heard = new Set();
      this.title = "";
    }

    show(view) {
      this.left.node.textContent = view.left;
      this.storage.node.textContent = view.storage.text;
      this.head([...view.notices.map((each) => each.text), view.storage.warning, view.warning], view.urgent);
      this.say(view);
      this.tell(view.warning);
    }

    // What the session said last need not be so any more: that the work is kept, for one.
    silent(sentence) {
      this.left.node.textContent = "";
      this.storage.node.textContent = "";
      this.head([sentence], false);
      this.aloud.replaceChildren(paragraph(sentence));
      this.heard = new Set();
    }

    head(sentences, urgent) {
      const said = sentences.filter((each) => each !== "");
      this.words.replaceChildren(...said.map(paragraph));
      this.said.toggleClass("renkei-mod-urgent", urgent);
      this.said.setHidden(said.length === 0);
      // The Lab's own layout gives a widget the height that its style asks for.
      this.said.node.style.minHeight = `${this.words.offsetHeight}px`;
      this.said.parent?.fit();
    }

    // Each warning and each notice once: a screen reader would read the minutes out again and again.
    say(view) {
      const now = view.notices.map((each) => [`notice ${each.id}`, each.text]);
      if (view.storage.step !== "") now.push([`storage ${view.storage.step}`, view.storage.warning]);
      if (view.step !== "") now.push([`step ${view.step}`, view.warning]);
      const fresh = now.filter(([name]) => !this.heard.has(name));
      this.heard = new Set(now.map(([name]) => name));
      if (fresh.length > 0) this.aloud.replaceChildren(...fresh.map(([, text]) => paragraph(text)));
    }

    // A page that nobody looks at warns by its title.
    tell(warning) {
      if (document.hidden && warning !== "" && this.title === "") {
        this.title = document.title;
        document.title = warning;
      } else if (this.title !== "" && (!document.hidden || warning === "")) {
        document.title = this.title;
        this.title = "";
      }
    }
  }

  function paragraph(text) {
    const made = document.createElement("p");
    made.textContent = text;
    return made;
  }

  async function ask(base) {
    const headers = { "X-XSRFToken": cookie("_xsrf") };
    const answer = await fetch(`${base}renkei/time`, { headers, cache: "no-store", credentials: "same-origin" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return answer.json();
  }

  async function activate(app) {
    const { Widget } = await provided("@lumino/widgets");
    const face = new Face(Widget);
    app.shell.add(face.storage, "top", { rank: 199 });
    app.shell.add(face.left, "top", { rank: 200 });
    app.shell.add(face.said, "header", { rank: 1 });
    face.said.hide();
    let saved = "";
    let silent = "";
    let failures = 0;
    let pause = FIRST_MS;
    let next = 0;

    async function look() {
      try {
        const view = await ask(app.serviceManager.serverSettings.baseUrl);
        failures = 0;
        silent = view.silent;
        pause = view.again_s * 1000;
        face.show(view);
        if (view.save !== "" && view.save !== saved && app.commands.isEnabled("docmanager:save-all")) {
          saved = view.save;
          // During a cut it waits for the line, and what is shown goes on.
          app.commands.execute("docmanager:save-all").catch((error) => console.warn("renkei-time:", error));
        }
      } catch (error) {
        failures += 1;
        if (failures === 2) face.silent(silent);
        console.warn("renkei-time:", error);
      } finally {
        clearTimeout(next);
        next = setTimeout(() => void look(), pause);
      }
    }

    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void look();
    });
    void app.restored.then(look);
  }

  const modules = { "./extension": { __esModule: true, default: { id: "renkei-time:plugin", autoStart: true, activate } } };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["renkei-time"] = {
    init: (scope) => {
      shared = scope;
    },
    get: async (name) => {
      if (!(name in modules)) throw new Error(`there is no module ${name}`);
      return () => modules[name];
    },
  };
})();
