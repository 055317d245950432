// What spawner/redact.py does for the hub's log: no address below a person's notebook is written out. Loaded before the proxy.
"use strict";
const belowANotebook =
  /((?:\/|%(?:25)*2F)user(?:-redirect|(?:\/|%(?:25)*2F)(?:[^/%\s"]|%(?!(?:25)*2F))+)(?:\/|%(?:25)*2F))[^\s"]+/gi;
for (const stream of [process.stdout, process.stderr]) {
  const write = stream.write.bind(stream);
  stream.write = (chunk, ...rest) => write(typeof chunk === "string" ? chunk.replace(belowANotebook, "$1…") : chunk, ...rest);
}
