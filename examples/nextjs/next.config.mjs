import { fileURLToPath } from "node:url";

/** @type {import("next").NextConfig} */
export default {
  poweredByHeader: false,
  reactStrictMode: true,
  // Said, or a lock file in any folder above would be taken for the root of a workspace.
  outputFileTracingRoot: fileURLToPath(new URL(".", import.meta.url)),
};
