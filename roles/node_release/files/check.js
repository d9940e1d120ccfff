// What a release of Node must have before it may go live. Run in the folder of its package.json, before the build by the user
// that builds the app, after it by the app's own:
//   node - source EXPECTED    before the dependencies are installed; prints what installs them
//   node - build EXPECTED     after the build
// EXPECTED: JSON {npm, script, args, ports, listens}, from the model. What is wrong is printed, and the exit status is 1.
// Node 12 understands it, which is the oldest among the distributions' own.
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
// The command line tools of frameworks are development servers unless they are told otherwise: `next` alone is `next dev`.
const DEVELOPMENT = [
  /(?:^|\s|bin\/)(?:astro|next|nuxi|nuxt|remix|vite)(?:\s*$|\s*&|\s+(?:dev|develop|serve|-))/,
  /\b(?:nodemon|ts-node-dev|webpack-dev-server|react-scripts start|gatsby develop|ng serve|tsx watch)\b/,
  /\bnode(?:\s+-\S+)*\s+--watch\b/,
];
const FIXED_PORT = /(?:^|\s)(?:-p[\s=]*|(?:--port|PORT)[\s=]+)["']?([0-9]{2,5})\b/;

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
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch (error) {
    refuse(`package.json is not JSON: ${error.message}.`);
  }
  if (manifest === null || typeof manifest !== "object" || Array.isArray(manifest)) {
    refuse('package.json is not an object. A right one: {"name": "chat", "scripts": {"start": "node server.js"}}');
  }
  return manifest;
}

/** What installs the dependencies: npm, or a package manager with its version. */
function installer(manifest) {
  const found = Object.keys(LOCK_FILES).filter((name) => fs.existsSync(name));
  // For example pnpm@9.15.0+sha512.0a1b2c
  const [wanted, version] = (manifest.packageManager || "").split("+")[0].split("@");
  if (!found.length) {
    refuse(
      "The source has no lock file, so nobody knows which versions would be installed.",
      "Type npm install in it, and commit package-lock.json (or pnpm-lock.yaml, yarn.lock).",
    );
  }
  const tools = [...new Set(found.map((name) => LOCK_FILES[name]))].filter((name) => !wanted || name === wanted);
  if (!tools.length) {
    refuse(
      `package.json says "packageManager": "${manifest.packageManager}", and the lock file in the source is ${found.join(" and ")}.`,
      "Commit the lock file of the one that you use: npm, pnpm or yarn.",
    );
  }
  if (tools.length > 1) {
    refuse(
      `The source has ${found.join(" and ")}, of different package managers.`,
      'Keep the one that you use, or say it in package.json: "packageManager": "pnpm@9.15.0".',
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

/** A library that npm brings for itself: what it judges by is what the host's own installs are judged by. */
function npmsOwn(name) {
  const bin = path.dirname(process.execPath);
  // A program called npm is mostly a link into npm's own folder, wherever the distribution has that; the last is for one that is not.
  const places = [bin, ...(process.env.PATH || "").split(path.delimiter)].map((folder) => path.join(folder, "npm"));
  for (const place of [...places, path.join(bin, "../lib/node_modules/npm/package.json")]) {
    try {
      return createRequire(fs.realpathSync(place))(name);
    } catch (error) {
      if (!["ENOENT", "ENOTDIR", "EACCES", "MODULE_NOT_FOUND"].includes(error.code)) throw error;
    }
  }
  return refuse(
    "package.json says engines.node, and the npm that can judge it was not found beside Node or in PATH.",
    "A right setting: node_release_packages: [nodejs, npm]",
  );
}

function checkEngines(manifest) {
  const wanted = (manifest.engines || {}).node;
  if (!wanted) return;
  const semver = npmsOwn("semver");
  if (!semver.validRange(wanted)) {
    refuse(`package.json says engines.node: ${wanted}, which is no range of versions.`, 'A right one: "engines": {"node": ">=18"}');
  }
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
  if (DEVELOPMENT.some((pattern) => pattern.test(command))) {
    refuse(
      `The command is a development server: ${command}`,
      "Build the app (build: [npm run build]) and start what was built, for example by next start or node dist/server.js.",
    );
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
  // distDir in next.config.js may name another folder than .next, and one below another.
  const folders = foldersIn(".").reduce((all, folder) => [...all, folder, ...foldersIn(folder)], []);
  const faults = folders.filter((folder) => fs.existsSync(path.join(folder, "BUILD_ID"))).map(faultOfNext);
  if (!faults.length) faults.push("The build of Next.js is missing: there is no .next/BUILD_ID.");
  if (faults.every(Boolean)) refuse(faults[0], "Right in the model: build: [npm run build], where that script is next build.");
}

function foldersIn(folder) {
  const entries = fs.readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && entry.name !== "node_modules").map((entry) => path.join(folder, entry.name));
}

/** Why a folder that has a BUILD_ID is none that was built for production; nothing where it is one. */
function faultOfNext(folder) {
  const id = fs.readFileSync(path.join(folder, "BUILD_ID"), "utf8").trim();
  if (!id) return `${folder}/BUILD_ID is empty, so the build did not end well.`;
  const built = id !== "development" && fs.existsSync(path.join(folder, "prerender-manifest.json"));
  return built ? "" : `${folder} was not built for production (BUILD_ID ${id}).`;
}

function checkBuild(manifest, expected) {
  if (!expected.listens) return;
  if (expected.script && !fs.existsSync(expected.script)) {
    const folder = path.dirname(expected.script);
    const near = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => /\.[cm]?js$/.test(name)) : [];
    refuse(
      `There is no ${expected.script} after the build.`,
      near.length ? `That folder has ${near.join(", ")}.` : "Where a build command writes it, say so in the model: build: [npm run build]",
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
