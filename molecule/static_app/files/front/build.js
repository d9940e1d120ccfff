// A build in small: an entry page, and a script whose name holds a digest of its content.
const fs = require("fs");
const { createHash } = require("crypto");

const script = `console.log(${JSON.stringify(process.env.RELEASE)});\n` + "// a long comment, as libraries have\n".repeat(100);
const digest = createHash("sha256").update(script).digest("hex").slice(0, 8);
fs.mkdirSync("dist/assets", { recursive: true });
fs.writeFileSync(`dist/assets/index-${digest}.js`, script);
if (process.env.RELEASE !== "pageless") {
  fs.writeFileSync("dist/index.html", `<!doctype html><title>${process.env.RELEASE}</title><script src="/assets/index-${digest}.js"></script>\n`);
}
fs.writeFileSync("dist/robots.txt", "User-agent: *\n");
fs.writeFileSync("secret.txt", "not served\n");
