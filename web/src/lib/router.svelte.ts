// Which page is shown.

import { parse } from "./route";

class Router {
  route = $state.raw(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => (this.route = parse(location.hash)));
  }

  /** Changes what is asked of the page, without a step in the history. */
  ask(changes: Record<string, string | null>): void {
    const query = new URLSearchParams(this.route.query);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    const path = location.hash.split("?", 1)[0] || "#/";
    history.replaceState(null, "", text ? `${path}?${text}` : path);
    this.route = { ...this.route, query };
  }
}

export const router = new Router();

export function go(hash: string): void {
  location.hash = hash;
}
