// Healthy, or sick in the way that its environment asks for: CRASH at start, READY_AFTER so many seconds (it listens at once and answers
// 503 until then), LISTEN_ON another port than its own.
const http = require("http");

if (process.env.CRASH) throw new Error("DATABASE_URL is missing");

const readyAt = Date.now() + Number(process.env.READY_AFTER || 0) * 1000;
const server = http.createServer((request, response) => {
  const ready = Date.now() >= readyAt;
  response.writeHead(ready ? 200 : 503, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ status: ready ? "healthy" : "starting", version: process.env.VERSION, pid: process.pid }));
});
server.keepAliveTimeout = 65000;
server.listen(Number(process.env.LISTEN_ON || process.env.PORT), process.env.HOST, () => process.send && process.send("ready"));
process.on("SIGINT", () => server.close(() => process.exit(0)));
