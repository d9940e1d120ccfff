// What a release of Node must have before it may go live. Run by the app's user in the folder of its package.json:
//   node - source EXPECTED    before the dependencies are installed; prints what installs them
//   node - build EXPECTED     after the build
// EXPECTED: JSON {npm, script, args, ports, listens}, from the model. What is wrong is printed, and the exit status is 1.
"use strict";

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const LOCK_FILES = {
  "package-lock.json": "npm",
  "npm-shrinkwrap.json": "npm",
  "pnpm-lock.yaml": "pnpm",
  "yarn.lock": "yarn",
};
const PNPM_OF_LOCK = { 5: "7", 6: "8", 9: "9" };
const DEVELOPMENT = /\b(next dev|nuxt dev|nodemon|vite(?:\s*$|\s+(?:dev|serve|-))|webpack-dev-server|react-scripts start|ts-node-dev)\b/;
const FIXED_PORT = /(?:^|\s)(?:-p|--port|PORT)[\s=]+["']?([0-9]{2,5})\b/;

class Refused extends Error {}

function refuse(...sentences) {
  throw new Refused(sentences.join(" "));
}

function readPackage() {
  let text;
  try {
    text = fs.readFileSync("package.json", "utf8");
  } catch {
    refuse(`The source has no package.json in ${process.cwd()}.`, "Where it is in a subfolder, say so with app_dir.");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuse(`package.json can't be read: ${error.message}.`);
  }
}

/** What installs the dependencies: npm, or a package manager with its version. */
function installer(manifest) {
  const found = Object.keys(LOCK_FILES).filter((name) => fs.existsSync(name));
  const [wanted, version] = (manifest.packageManager || "").split("+")[0].split("@");
  const fitting = wanted ? found.filter((name) => LOCK_FILES[name] === wanted) : found;
  if (!found.length) {
    refuse(
      "The source has no lock file, so nobody knows which versions would be installed.",
      "Type npm install in it, and commit package-lock.json (or pnpm-lock.yaml, yarn.lock).",
    );
  }
  const tools = [...new Set(fitting.map((name) => LOCK_FILES[name]))];
  if (tools.length !== 1) {
    refuse(
      `The source has ${found.join(" and ")}`,
      wanted ? `and package.json says packageManager: ${manifest.packageManager}.` : "which are of different package managers.",
      "Keep the one that you use.",
    );
  }
  if (tools[0] === "npm") return "npm";
  if (tools[0] === "pnpm") return `pnpm@${version || pnpmOfLock()}`;
  const berry = version ? !version.startsWith("1.") : /^__metadata:/m.test(fs.readFileSync("yarn.lock", "utf8"));
  return berry ? `@yarnpkg/cli-dist@${version || "4"}` : `yarn@${version || "1"}`;
}

function pnpmOfLock() {
  const [, major] = /^lockfileVersion:\s*['"]?([0-9]+)/m.exec(fs.readFileSync("pnpm-lock.yaml", "utf8")) || [];
  return PNPM_OF_LOCK[major] || refuse("pnpm-lock.yaml has a lockfileVersion that is not known.", 'Write in package.json: "packageManager": "pnpm@9.15.0".');
}

function checkEngines(manifest) {
  const wanted = (manifest.engines || {}).node;
  if (!wanted) return;
  // npm brings the library that it judges by itself.
  const npm = fs.realpathSync(path.join(path.dirname(process.execPath), "npm"));
  const semver = createRequire(npm)("semver");
  if (!semver.validRange(wanted)) refuse(`package.json says engines.node: ${wanted}, which is no range of versions.`);
  if (!semver.satisfies(process.version, wanted)) {
    refuse(
      `package.json asks for Node ${wanted} (engines.node), and the host has ${process.version}.`,
      "Write into the inventory a version that fits, for example webapp_node_version: 22.12.0",
    );
  }
}

/** The text of the command that is to run, as far as package.json tells it. */
function checkStart(manifest, expected) {
  const scripts = manifest.scripts || {};
  if (expected.npm && !scripts[expected.npm]) {
    const names = Object.keys(scripts);
    refuse(
      `package.json has no script ${expected.npm}.`,
      names.length ? `Write one of: ${names.map((name) => `npm: ${name}`).join(", ")}` : 'A right one: "scripts": {"start": "node server.js"}',
    );
  }
  const command = [expected.npm ? scripts[expected.npm] : expected.script, ...expected.args].join(" ");
  if (DEVELOPMENT.test(command)) {
    refuse(`The app would run in development mode: ${command}.`, "Build it (build: [npm run build]) and start what was built, such as next start.");
  }
  const [, fixed] = FIXED_PORT.exec(command) || [];
  if (fixed && !(expected.ports.length === 1 && expected.ports[0] === Number(fixed))) {
    refuse(
      `The command says port ${fixed} (${command}), and the instances get ${expected.ports.join(", ")}.`,
      "Leave the port out of it: each instance is told its own in PORT.",
    );
  }
}

function uses(manifest, name) {
  return Boolean((manifest.dependencies || {})[name] || (manifest.devDependencies || {})[name]);
}

/** What `next start` looks for. A folder that a development server has written has no BUILD_ID. */
function checkNext(manifest, expected) {
  const command = expected.npm ? manifest.scripts[expected.npm] : expected.script;
  if (!uses(manifest, "next") || !/\bnext\b/.test(command)) return;
  const folders = fs.readdirSync(".").filter((name) => fs.existsSync(path.join(name, "BUILD_ID")));
  const right = "Write: build: [npm run build]";
  if (!folders.length) refuse("The build of Next.js is missing: there is no .next/BUILD_ID.", right);
  const id = fs.readFileSync(path.join(folders[0], "BUILD_ID"), "utf8").trim();
  if (!id) refuse(`${folders[0]}/BUILD_ID is empty, so the build did not end well.`, right);
  if (id === "development" || !fs.existsSync(path.join(folders[0], "prerender-manifest.json"))) {
    refuse(`${folders[0]} was not built for production (BUILD_ID ${id}).`, right);
  }
}

function checkBuild(manifest, expected) {
  if (!expected.listens) return;
  if (expected.script && !fs.existsSync(expected.script)) {
    const folder = path.dirname(expected.script);
    const near = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => /\.[cm]?js$/.test(name)) : [];
    refuse(
      `There is no ${expected.script} after the build.`,
      near.length ? `${folder} holds ${near.join(", ")}.` : "Does a build command write it? build: [npm run build]",
    );
  }
  checkNext(manifest, expected);
}

function main([what, text]) {
  const expected = JSON.parse(text);
  const manifest = readPackage();
  if (what === "build") return checkBuild(manifest, expected);
  const tool = installer(manifest);
  checkEngines(manifest);
  if (expected.listens) checkStart(manifest, expected);
  return console.log(tool);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.log(error.message);
  process.exitCode = 1;
}
