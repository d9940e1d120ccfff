import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, it as test } from "node:test";
import { WebSocket } from "ws";
import { Service, SERVICE_RESTART } from "../service.js";

// What never comes is a failure, not a test that hangs.
const it = (name, body) => test(name, { timeout: 30_000 }, body);

let service;
let port;

beforeEach(async () => {
  service = new Service({ version: "1.2.3", pingSeconds: 0 });
  ({ port } = await service.listen(0, "127.0.0.1"));
});

afterEach(() => service.stop(0));

const get = (path, options) => fetch(`http://127.0.0.1:${port}${path}`, options);

// A WebSocket whose frames are kept from the first on: `await next()` gives them in their order.
function open(path = "/ws", options = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, options);
  const frames = [];
  const waiting = [];
  socket.on("message", (data) => {
    const frame = JSON.parse(data);
    if (waiting.length) waiting.shift()(frame);
    else frames.push(frame);
  });
  const next = () => (frames.length ? Promise.resolve(frames.shift()) : new Promise((resolve) => waiting.push(resolve)));
  return { socket, next };
}

describe("HTTP", () => {
  it("says that it is healthy, and which process does", async () => {
    const answer = await get("/health?from=test");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.deepEqual(await answer.json(), { status: "healthy", version: "1.2.3", pid: process.pid });
  });

  it("names what there is where nothing is", async () => {
    const answer = await get("/nothing");
    assert.equal(answer.status, 404);
    assert.match((await answer.json()).error, /\/health/);
  });

  it("takes no body", async () => {
    const answer = await get("/health", { method: "POST", body: "x" });
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.get("allow"), "GET, HEAD");
  });

  it("lives on after an address that is none", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.end("GET // HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const [data] = await once(socket, "data");
    assert.match(data.toString(), /^HTTP\/1\.1 404 /);
    assert.equal((await get("/health")).status, 200);
  });
});

describe("WebSocket", () => {
  it("welcomes, and gives back what it is sent", async () => {
    const { socket, next } = open();
    assert.deepEqual(await next(), { type: "welcome", version: "1.2.3", pid: process.pid });
    socket.send("Grüße");
    assert.deepEqual(await next(), { type: "echo", text: "Grüße", pid: process.pid });
    socket.close();
  });

  it("agrees on permessage-deflate, and carries a long message", async () => {
    const { socket, next } = open();
    await next();
    assert.match(socket.extensions, /permessage-deflate/);
    const text = "gate".repeat(10_000);
    socket.send(text);
    assert.equal((await next()).text, text);
    socket.close();
  });

  it("says what is wrong with a binary message, and lives on", async () => {
    const { socket, next } = open();
    await next();
    socket.send(Buffer.from([1, 2]));
    assert.deepEqual(await next(), { type: "error", error: "expected text" });
    socket.send("still here");
    assert.equal((await next()).text, "still here");
    socket.close();
  });

  it("closes a connection whose message is too long, with the code for it", async () => {
    const { socket, next } = open();
    await next();
    socket.send("x".repeat(64 * 1024 + 1));
    const [code] = await once(socket, "close");
    assert.equal(code, 1009);
  });

  it("is at one path alone", async () => {
    const { socket } = open("/elsewhere");
    const [error] = await once(socket, "error");
    assert.match(error.message, /404/);
  });
});

describe("stopping", () => {
  it("closes WebSockets with 1012 and takes no more connections", async () => {
    const { socket, next } = open();
    await next();
    const closed = once(socket, "close");
    await service.stop(5);
    assert.equal((await closed)[0], SERVICE_RESTART);
    await assert.rejects(get("/health"));
  });

  it("does not wait for idle connections that a proxy keeps", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
    const closed = once(socket, "close");
    await service.stop(3600);
    await closed;
  });

  it("answers a request that had begun, and ends its connection", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /health HTTP/1.1\r\n");
    // Answers come in the order of arrival: with this one, the server has read the beginning of the other.
    await get("/health");
    const stopped = service.stop(3600);
    socket.write("Host: x\r\n\r\n");
    const [data] = await once(socket, "data");
    assert.match(data.toString(), /^HTTP\/1\.1 200 .*connection: close/is);
    await stopped;
  });

  it("cuts off who does not answer the closing", async () => {
    const { socket, next } = open();
    await next();
    // A client that no longer reads never sees the close.
    socket.pause();
    await service.stop(0);
  });
});
