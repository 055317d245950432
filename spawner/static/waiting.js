// The waiting page: each step as it comes, over reloads and over a restart of the hub; its end, good or bad, is told by the page
// that a reload brings.
"use strict";
(() => {
  const page = document.body.dataset;
  const find = (id) => document.getElementById(id);
  const steps = [...document.querySelectorAll("#steps li")];
  const title = document.title;
  const QUEUE = steps.findIndex((step) => step.dataset.step === "queued");
  const AGAIN_MS = 2000;
  let told = false;
  let leaving = false;
  let source = null;

  function mark(news) {
    const reached = steps.findIndex((step) => step.dataset.step === news.step);
    steps.forEach((step, number) => {
      if (number < reached) step.dataset.state = "done";
      if (number === reached) step.dataset.state = news.step === "ready" ? "done" : "now";
      step.toggleAttribute("aria-current", number === reached);
    });
    const leave = find("leave");
    if (reached > QUEUE && !leave.disabled) leave.textContent = leave.dataset.later;
    const time = steps[reached]?.querySelector("time");
    if (!time || time.dateTime) return; // the first time that a step is told is when it was reached
    const at = new Date(news.at * 1000);
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleTimeString(document.documentElement.lang);
  }

  function show(news) {
    // 0 is the hub's own first word, in English.
    if (!news.progress || !news.message) return;
    find("progress-bar").value = news.progress;
    const line = find("progress-message");
    if (line.textContent !== news.message) line.textContent = news.message;
    if (news.step) mark(news);
  }

  // Somebody who looks is taken there at once; others are told, and the title says it as long as they look elsewhere.
  function ready() {
    find("progress-bar").value = 100;
    find("progress-message").textContent = page.ready;
    find("progress-message").classList.remove("waiting");
    steps.forEach((step) => { step.dataset.state = "done"; });
    find("leave").hidden = find("tell-me").hidden = true;
    find("open").hidden = false;
    const enter = () => window.location.reload();
    if (document.visibilityState === "visible") {
      enter();
      return;
    }
    document.title = `✔ ${page.ready}`;
    const blink = setInterval(() => {
      document.title = document.title === title ? `✔ ${page.ready}` : title;
    }, 1500);
    if (told) {
      const message = new Notification(page.ready, { tag: "renkei-ready", silent: true });
      message.onclick = () => { window.focus(); message.close(); };
    }
    document.addEventListener("visibilitychange", () => { clearInterval(blink); enter(); }, { once: true });
  }

  // A hub that does not answer is being restarted. One that answers, but has nothing to tell, has a page that says why.
  async function again() {
    if (leaving) return;
    try {
      const answer = await fetch(window.location.href, { cache: "no-store", redirect: "manual" });
      // To the session, whose progress says then that it is ready, or to the login.
      const known = answer.type === "opaqueredirect" && (await fetch(page.progress, { cache: "no-store" }));
      if (leaving) return;
      if (known) {
        void known.body?.cancel();
        if (known.ok) follow();
        else window.location.reload();
        return;
      }
      if (answer.headers.has("X-JupyterHub-Version")) {
        const text = await answer.text();
        if (text.includes("data-progress=")) follow();
        else window.location.reload();
        return;
      }
    } catch (error) {
      console.info(error);
    }
    find("progress-message").textContent = page.lost;
    setTimeout(again, AGAIN_MS);
  }

  function follow() {
    if (leaving) return;
    source?.close();
    source = new EventSource(page.progress);
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      if (news.ready) {
        source.close();
        ready();
      } else if (news.failed) {
        source.close();
        window.location.reload();
      } else show(news);
    };
    source.onerror = () => {
      source.close();
      if (!leaving) setTimeout(again, AGAIN_MS);
    };
  }

  // Who leaves is taken to the home page; what the start still says would take them elsewhere before.
  find("leave").addEventListener("click", () => {
    leaving = true;
    source?.close();
  });
  find("leave").addEventListener("stayed", () => {
    leaving = false;
    follow();
  });

  const tell = find("tell-me");
  if ("Notification" in window && window.isSecureContext) {
    told = Notification.permission === "granted";
    tell.hidden = told;
    tell.addEventListener("click", async () => {
      told = (await Notification.requestPermission()) === "granted";
      tell.disabled = true;
      tell.textContent = told ? tell.dataset.done : tell.dataset.refused;
    });
  }
  follow();
})();
