import { readFileSync } from "node:fs";
import { join } from "node:path";

let build;

/** What runs here: it changes with a deploy, and `pid` with a restart too. */
export function release() {
  // `next start` runs in the folder of its build. Read at the first request: the build runs this file too, before it has a name.
  build ??= readFileSync(join(process.cwd(), ".next", "BUILD_ID"), "utf8").trim();
  return {
    build,
    version: process.env.APP_VERSION || "1.0.0",
    pid: process.pid,
    node: process.version,
    uptime: Math.round(process.uptime()),
  };
}
