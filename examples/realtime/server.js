// The process around the service: its settings, the word that it is ready, and its end.

import { readFileSync } from "node:fs";
import { Service } from "./service.js";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

const host = process.env.HOST || "127.0.0.1";
const port = number("PORT", 3000, 65_535);
const graceSeconds = number("STOP_SECONDS", 8, 3600);
const service = new Service({
  version: process.env.APP_VERSION || version,
  pingSeconds: number("PING_SECONDS", 30, 3600),
});

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);

const address = await service.listen(port, host);
console.log(`listening on ${address.address} port ${address.port}`);
// Who started it with a channel, such as a process manager, waits for this word.
process.send?.("ready");

async function stop(signal) {
  console.log(`${signal}: closing`);
  await service.stop(graceSeconds);
  // Said outright: a process manager's channel would keep the process.
  process.exit(0);
}

function number(name, otherwise, largest) {
  const text = process.env[name] || String(otherwise);
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > largest) {
    console.error(`${name} is "${text}". It is a whole number from 0 to ${largest}, such as ${otherwise}.`);
    process.exit(1);
  }
  return value;
}
