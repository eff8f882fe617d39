import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// While developing: `tessera web --no-browser` prints a link that is good once; open it with curl, keep the cookie, and start
// `TESSERA_WEB=http://127.0.0.1:PORT TESSERA_COOKIE='tessera-PORT=…' npm run dev`.
const { TESSERA_WEB: target, TESSERA_COOKIE: cookie } = process.env;

export default defineConfig({
  plugins: [svelte()],
  build: {
    // The manager serves /assets/NAME, and its policy forbids what is written into the page itself.
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: false,
    target: ["es2022", "chrome123", "firefox128", "safari17.5"],
  },
  server: target
    ? { proxy: { "/api": { target, changeOrigin: true, headers: { cookie: cookie ?? "", origin: target, "sec-fetch-site": "same-origin" } } } }
    : {},
  test: { include: ["src/**/*.test.ts"] },
});
