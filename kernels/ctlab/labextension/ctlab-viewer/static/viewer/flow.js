// Questions to the kernel: at most two frames open, always for the newest state; exact pictures when all is at rest.

const OPEN_AT_MOST = 2;
const REST_MS = 180;
const LOST_MS = 15000;

export class Flow {
  // `host` has send(message), stale(): panes whose picture is not what is wanted, inexact(): panes whose picture is only nearly it,
  // changes(): the state that the kernel does not know yet (taken once), and waiting(yes).
  constructor(host) {
    this.host = host;
    this.number = 0;
    this.open = new Map();
    this.probing = null;
    this.nextProbe = null;
    this.tookMs = 0;
    this.timer = 0;
    this.planned = false;
  }

  // Something changed; ask in this turn of the loop, once for all changes.
  want() {
    if (this.planned) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      this.pump();
    });
  }

  pump() {
    clearTimeout(this.timer);
    this.forgetLost();
    const stale = this.host.stale();
    if (stale.length > 0) {
      if (this.open.size < OPEN_AT_MOST) this.ask(stale, false);
    } else if (this.open.size === 0) {
      this.timer = setTimeout(() => {
        const [first] = this.host.inexact();
        // One at a time: an exact picture takes long, and whoever scrolls on must not wait for three.
        if (first !== undefined && this.open.size === 0 && this.host.stale().length === 0) this.ask([first], true);
      }, REST_MS);
    }
    if (this.open.size > 0) this.watch();
  }

  ask(panes, exact) {
    const number = (this.number += 1);
    const asked = panes.map((pane) => ({ pane, key: pane.wanted() }));
    this.open.set(number, { asked, exact, at: performance.now(), since: panes.reduce((all, pane) => Math.max(all, pane.since), 0) });
    for (const { pane, key } of asked) pane.asked = key;
    const message = { do: "see", number, state: this.host.changes(), exact, took_ms: this.tookMs };
    this.host.send({ ...message, panes: panes.map((pane) => pane.names()) });
    this.tookMs = 0;
  }

  // The answer to `number`, or nothing when it was given up.
  answered(number) {
    const found = this.open.get(number);
    this.open.delete(number);
    this.host.waiting(false);
    return found;
  }

  seen(sinceMs) {
    this.tookMs = sinceMs;
  }

  forgetLost() {
    const now = performance.now();
    for (const [number, { at, asked }] of this.open) {
      if (now - at < LOST_MS) continue;
      this.open.delete(number);
      for (const { pane } of asked) pane.asked = "";
    }
  }

  watch() {
    clearTimeout(this.watching);
    this.watching = setTimeout(() => {
      if (this.open.size === 0) return;
      this.host.waiting(true);
      this.forgetLost();
      this.pump();
    }, 1500);
  }

  // What is under the cursor, or a measurement in the making: one question open, the newest next.
  probe(message) {
    if (this.probing !== null) {
      this.nextProbe = message;
      return;
    }
    this.probing = this.say(message);
  }

  probed(number) {
    if (number !== this.probing) return;
    this.probing = null;
    if (this.nextProbe !== null) {
      const next = this.nextProbe;
      this.nextProbe = null;
      this.probe(next);
    }
  }

  // A question that is asked in any case.
  say(message) {
    const number = (this.number += 1);
    this.host.send({ ...message, number });
    return number;
  }

  stop() {
    clearTimeout(this.timer);
    clearTimeout(this.watching);
  }
}
