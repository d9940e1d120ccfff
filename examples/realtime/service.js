// One worker of the service: HTTP and WebSocket on one port. It keeps nothing that another worker would need.

import { createServer, STATUS_CODES } from "node:http";
import { WebSocketServer } from "ws";

export const SERVICE_RESTART = 1012;

const GOING_AWAY = "service restart";
// Longer than a proxy keeps a connection for its next request (nginx: 60 s), so that it is never closed under one.
const KEEP_ALIVE_MS = 65_000;
const LONGEST_MESSAGE = 64 * 1024;

export class Service {
  #http;
  #sockets;
  #pings;
  #stopping = false;

  // `pingSeconds`: how often each WebSocket is asked for a sign of life; 0 never asks.
  constructor({ version, pingSeconds = 30 }) {
    this.version = version;
    this.#http = createServer((request, response) => this.#answer(request, response));
    this.#http.keepAliveTimeout = KEEP_ALIVE_MS;
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: LONGEST_MESSAGE,
      // Without takeover a quiet connection holds no compression state, which would be most of its memory.
      perMessageDeflate: { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true },
    });
    this.#sockets.on("connection", (socket) => this.#talk(socket));
    if (pingSeconds > 0) this.#pings = setInterval(() => this.#pingAll(), pingSeconds * 1000);
  }

  // Listens, and gives the address once connections are accepted.
  listen(port, host) {
    return new Promise((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen({ port, host }, () => resolve(this.#http.address()));
    });
  }

  // Takes no more connections, lets requests finish, and closes the WebSockets with 1012; what is left after
  // `graceSeconds` is cut off.
  stop(graceSeconds) {
    this.#stopping = true;
    clearInterval(this.#pings);
    for (const socket of this.#sockets.clients) socket.close(SERVICE_RESTART, GOING_AWAY);
    const cut = setTimeout(() => {
      for (const socket of this.#sockets.clients) socket.terminate();
      this.#http.closeAllConnections();
    }, graceSeconds * 1000);
    return new Promise((resolve) => {
      this.#http.close(() => {
        clearTimeout(cut);
        resolve();
      });
      // Node 18 leaves these to their time-out.
      this.#http.closeIdleConnections();
    });
  }

  #answer(request, response) {
    const path = pathOf(request);
    const reading = request.method === "GET" || request.method === "HEAD";
    if (this.#stopping) response.setHeader("Connection", "close");
    if (!reading) sendJson(response, 405, { error: "only GET and HEAD" }, { Allow: "GET, HEAD" });
    else if (path === "/health") sendJson(response, 200, this.#report());
    else if (path === "/") sendJson(response, 200, { service: "realtime", health: "/health", websocket: "/ws" });
    else sendJson(response, 404, { error: "there is /, /health and the WebSocket /ws" });
  }

  #report() {
    return { status: "healthy", version: this.version, pid: process.pid };
  }

  #upgrade(request, socket, head) {
    if (pathOf(request) !== "/ws") return refuse(socket, 404);
    if (this.#stopping) return refuse(socket, 503);
    this.#sockets.handleUpgrade(request, socket, head, (client) => this.#sockets.emit("connection", client));
  }

  #talk(socket) {
    socket.isAlive = true;
    socket.on("pong", () => (socket.isAlive = true));
    // The connection is closed by `ws` itself, with the code that says why; without a listener the process would end.
    socket.on("error", (error) => console.warn(`WebSocket closed: ${error.message}`));
    socket.on("message", (data, isBinary) => {
      if (isBinary) sendFrame(socket, { type: "error", error: "expected text" });
      else sendFrame(socket, { type: "echo", text: data.toString(), pid: process.pid });
    });
    sendFrame(socket, { type: "welcome", version: this.version, pid: process.pid });
  }

  #pingAll() {
    for (const socket of this.#sockets.clients) {
      // Nothing came back since the last one: the other side is gone, though nobody said so.
      if (!socket.isAlive) {
        socket.terminate();
        continue;
      }
      socket.isAlive = false;
      socket.ping();
    }
  }
}

function pathOf(request) {
  return request.url.split("?", 1)[0];
}

function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers });
  response.end(JSON.stringify(body));
}

function sendFrame(socket, frame) {
  socket.send(JSON.stringify(frame));
}

function refuse(socket, status) {
  socket.on("error", () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
