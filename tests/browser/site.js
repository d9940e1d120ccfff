// The site under test and the browser that looks at it.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { createServer, request } from "node:http";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

/** Longest wait for what must happen: the machine may be busy with other tests. */
export const PATIENCE = 90_000;

export const SITE = setting("GATEHOUSE_SITE", "the site's address, such as http://172.17.0.2");
const HOST = setting("GATEHOUSE_HOST", "the name of the container it runs in, such as gatehouse-browser");
const PICTURES = fileURLToPath(new URL("../../.cache/browser/", import.meta.url));
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const run = promisify(execFile);

export function openBrowser() {
  const executablePath = process.env.GATEHOUSE_CHROMIUM || BROWSERS.find((path) => existsSync(path));
  if (!executablePath) throw new Error(`no Chromium: install one (Debian: apt-get install chromium); looked for ${BROWSERS}`);
  mkdirSync(PICTURES, { recursive: true });
  return chromium.launch({ executablePath, chromiumSandbox: false, args: FLAGS });
}

/** Runs a command on the host that serves the site. */
export async function onHost(...command) {
  await run("docker", ["exec", HOST, ...command]);
}

export function picture(name) {
  return { path: `${PICTURES}${name}.png`, animations: "disabled" };
}

/** What stands between some users and the site: it passes HTTP on, and refuses WebSockets when it is told to. */
export class Middlebox {
  #open = new Set();
  #blocking = false;
  #server = createServer((asked, answer) => this.#pass(asked, answer));

  async listen() {
    this.#server.on("upgrade", (asked, socket, head) => this.#upgrade(asked, socket, head));
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.address = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  /** From now on no WebSocket gets through, and those that are open end. */
  block() {
    this.#blocking = true;
    for (const socket of this.#open) socket.destroy();
  }

  unblock() {
    this.#blocking = false;
  }

  close() {
    for (const socket of this.#open) socket.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #pass(asked, answer) {
    const onward = this.#ask(asked).on("error", () => answer.destroy());
    onward.on("response", (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    asked.pipe(onward);
  }

  #upgrade(asked, socket, head) {
    if (this.#blocking) return socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    const onward = this.#ask(asked).on("error", () => socket.destroy());
    onward.on("response", (response) => socket.end(`HTTP/1.1 ${response.statusCode} No WebSocket\r\nConnection: close\r\n\r\n`));
    onward.on("upgrade", (response, inner, first) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${rawHeaders(response)}\r\n`);
      socket.write(first);
      inner.write(head);
      for (const [one, other] of [
        [socket, inner],
        [inner, socket],
      ]) {
        this.#open.add(one);
        one.pipe(other);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          this.#open.delete(one);
          other.destroy();
        });
      }
    });
    onward.end();
  }

  #ask(asked) {
    return request(new URL(asked.url, SITE), { method: asked.method, headers: asked.headers });
  }
}

function rawHeaders(response) {
  const lines = [];
  for (let i = 0; i < response.rawHeaders.length; i += 2) {
    lines.push(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}\r\n`);
  }
  return lines.join("");
}

function setting(name, what) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: ${what}`);
  return value;
}
