// An app for a PM2 that people run themselves: healthy at once.
require("http")
  .createServer((request, response) => response.end('{"status": "healthy"}'))
  .listen(3200, "127.0.0.1");
