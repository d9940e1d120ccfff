// A server that plays the part which part.json beside it describes, as it stands when the process starts:
// mode: ok, sick (answers 503), never (is never ready), crash, or late_crash (falls over once it serves).
// slow: seconds until it is ready.  version: what it tells.
const fs = require('fs');
const http = require('http');
const path = require('path');

const part = JSON.parse(fs.readFileSync(path.join(__dirname, 'part.json')));
const told = {
  status: part.mode === 'sick' ? 'sick' : 'healthy',
  version: part.version,
  pid: process.pid,
  args: process.argv.slice(2),
  number: process.env.NODE_APP_INSTANCE,
  gone: process.env.GONE,
};

const server = http.createServer((request, response) => {
  const body = JSON.stringify(told);
  const status = part.mode === 'sick' ? 503 : 200;
  response.writeHead(status, { 'Content-Length': Buffer.byteLength(body), Connection: 'close' });
  response.end(body);
});

function serve() {
  server.listen(Number(process.env.PORT), '127.0.0.1', () => {
    if (process.send) process.send('ready');
    if (part.mode === 'late_crash') setTimeout(() => process.exit(4), 300);
  });
}

// What is asked already gets its answer; nothing new is taken.
process.on('SIGINT', () => server.close(() => process.exit(0)));

function fallOver() {
  throw new Error(`can't start with the token ${process.env.TOKEN}`);
}

// Not at once: PM2 opens its logs in the background, and loses what a worker says before that.
if (part.mode === 'crash') setTimeout(fallOver, 500);
else if (part.mode === 'never') setInterval(() => {}, 1000);
else setTimeout(serve, (part.slow || 0) * 1000);
