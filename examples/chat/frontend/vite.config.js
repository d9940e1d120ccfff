import { defineConfig } from "vite";

// What the page asks for at its own address, `vite` leads to a chat service on this machine.
const SERVICE = "http://127.0.0.1:8000";

export default defineConfig({
  build: {
    target: "es2022",
    // Everything in files of its own, for a content security policy without exceptions.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": { target: SERVICE, ws: true } },
  },
});
