import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { it as test } from "node:test";
import { WebSocket } from "ws";

// What never comes is a failure, not a test that hangs.
const it = (name, body) => test(name, { timeout: 30_000 }, body);

const SERVER = new URL("../server.js", import.meta.url);

function start(environment) {
  const child = fork(SERVER, { env: { ...process.env, PORT: "0", HOST: "127.0.0.1", ...environment }, silent: true });
  child.said = "";
  child.exited = once(child, "exit"); // it may be gone before its last test asks
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (child.said += data));
  return child;
}

// What it prints and what it sends come by different ways, in any order.
async function portOf(child) {
  while (!/port \d+\n/.test(child.said)) await once(child.stdout, "data");
  return /port (\d+)\n/.exec(child.said)[1];
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  it(`says that it is ready once it answers, and ends well on ${signal}`, async () => {
    const child = start({ APP_VERSION: "9.9.9" });
    assert.deepEqual(await once(child, "message"), ["ready", undefined]);
    const port = await portOf(child);
    const report = await (await fetch(`http://127.0.0.1:${port}/health`)).json();
    assert.deepEqual(report, { status: "healthy", version: "9.9.9", pid: child.pid });

    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(socket, "message");
    const closed = once(socket, "close");
    child.kill(signal);
    assert.equal((await closed)[0], 1012);
    assert.deepEqual(await child.exited, [0, null]);
  });
}

for (const [name, value] of [
  ["PORT", "70000"],
  ["PORT", "http"],
  ["STOP_SECONDS", "-1"],
]) {
  it(`refuses ${name}=${value}, and shows a right one`, async () => {
    const child = start({ [name]: value });
    assert.deepEqual(await once(child, "close"), [1, null]);
    assert.match(child.said, new RegExp(`${name} is "${value}"\\. It is a whole number .* such as \\d+\\.`));
  });
}
