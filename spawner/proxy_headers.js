// What every answer of the proxy carries, its own error pages included: nothing is stored, and a page without a policy has the
// strictest. Loaded before the proxy.
"use strict";
const { ServerResponse } = require("http");
const always = { "Cache-Control": "no-store" };
const otherwise = {
  "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const writeHead = ServerResponse.prototype.writeHead;
ServerResponse.prototype.writeHead = function (...words) {
  for (const [name, value] of Object.entries(always)) this.setHeader(name, value);
  for (const [name, value] of Object.entries(otherwise)) if (!this.hasHeader(name)) this.setHeader(name, value);
  return writeHead.apply(this, words);
};
