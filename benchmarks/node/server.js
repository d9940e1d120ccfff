// What bench node serves: an app that is ready START_SECONDS after its start, and answers 503 until then. With LISTEN=late it
// does not listen before either. It tells PM2 when it is ready, and ends as PM2's documentation wants it: what it was asked is answered.
"use strict";

const http = require("http");

const { VERSION = "0", START_SECONDS = "0", LISTEN = "early", PORT = "3000", HOST = "127.0.0.1" } = process.env;
let ready = false;
let ending = false;

function answer(url, body) {
  if (!ready) return [503, "it is not ready yet\n"];
  if (url === "/health") return [200, '{"status": "healthy"}'];
  if (url === "/version") return [200, VERSION];
  if (url === "/echo") return [200, body];
  return [404, "there are /health, /version and /echo\n"];
}

const server = http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const [status, body] = answer(request.url, Buffer.concat(parts));
  if (ending) response.setHeader("Connection", "close");
  response.writeHead(status, { "Content-Type": "application/octet-stream", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
});

if (LISTEN === "early") server.listen(PORT, HOST);

setTimeout(() => {
  ready = true;
  const tell = () => process.send && process.send("ready");
  if (server.listening) tell();
  else server.listen(PORT, HOST, tell);
}, START_SECONDS * 1000);

process.on("SIGINT", () => {
  ending = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
