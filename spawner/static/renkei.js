// What the hub's pages do by themselves. Texts come from the page, in its language.
"use strict";
(() => {
  const page = document.body.dataset;
  const find = (id) => document.getElementById(id);

  async function api(method, path, body) {
    const answer = await fetch(`${page.baseUrl}api/${path}`, {
      method,
      headers: { "Content-Type": "application/json", "X-XSRFToken": page.xsrf },
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
    return answer;
  }

  function complain(error) {
    console.error(error);
    const place = find("problem");
    place.textContent = page.failed;
    place.hidden = false;
  }

  // A form is sent once; coming back to the page by the browser's arrow makes it usable again.
  for (const form of document.querySelectorAll("form[data-once]")) {
    const button = form.querySelector("button[type=submit]");
    form.addEventListener("submit", () => { button.disabled = true; });
    window.addEventListener("pageshow", () => { button.disabled = false; });
  }

  const unencrypted = find("unencrypted");
  if (unencrypted) unencrypted.hidden = window.isSecureContext;

  const show = find("show-password");
  show?.addEventListener("click", () => {
    const field = find("password_input");
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    show.setAttribute("aria-pressed", String(shown));
  });

  // A hub that is still busy with a start answers the first attempt to end it with an error.
  async function end(server, tries = 3) {
    const name = encodeURIComponent(page.user);
    try {
      if (server) await api("DELETE", `users/${name}/servers/${encodeURIComponent(server)}`, { remove: true });
      else await api("DELETE", `users/${name}/server`);
    } catch (error) {
      if (tries <= 1) throw error;
      await new Promise((done) => { setTimeout(done, 1500); });
      await end(server, tries - 1);
    }
  }

  for (const stop of document.querySelectorAll("button.stop")) {
    stop.addEventListener("click", async () => {
      stop.disabled = true;
      const label = stop.textContent;
      stop.textContent = stop.dataset.busy;
      try {
        await end(stop.dataset.server);
        if ("home" in stop.dataset) window.location.assign(`${page.baseUrl}home`);
        else window.location.reload();
      } catch (error) {
        stop.disabled = false;
        stop.textContent = label;
        stop.dispatchEvent(new Event("stayed"));
        complain(error);
      }
    });
    stop.disabled = false; // the page comes with it disabled: a click before this script would do nothing
  }

  if (page.reload) setTimeout(() => window.location.reload(), Number(page.reload));

  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang);
  }

  // Times of the hub are seconds; of a time today the hour is enough.
  for (const time of document.querySelectorAll("time[data-at]")) {
    const at = new Date(Number(time.dataset.at) * 1000);
    const today = at.toDateString() === new Date().toDateString();
    const short = { hour: "2-digit", minute: "2-digit" };
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleString(document.documentElement.lang, today ? short : { month: "numeric", day: "numeric", ...short });
  }

  find("request-token-form")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const scopes = find("token-scopes").value.split(/[\s,]+/).filter(Boolean);
    const wish = { note: find("token-note").value, expires_in: Number(find("token-expiration-seconds").value) };
    if (scopes.length) wish.scopes = scopes;
    try {
      const answer = await api("POST", `users/${encodeURIComponent(page.user)}/tokens`, wish);
      find("token-result").textContent = (await answer.json()).token;
      find("token-area").hidden = false;
      find("problem").hidden = true;
    } catch (error) {
      complain(error);
    }
  });
  for (const button of document.querySelectorAll("button.revoke")) {
    button.addEventListener("click", async () => {
      const row = button.closest("tr");
      button.disabled = true;
      try {
        await api("DELETE", `users/${encodeURIComponent(page.user)}/tokens/${row.dataset.tokenId}`);
        row.remove();
      } catch (error) {
        button.disabled = false;
        complain(error);
      }
    });
  }

  page.loaded = "yes";
})();
