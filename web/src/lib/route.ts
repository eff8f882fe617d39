// Addresses of pages: everything that makes a view stands after '#', so every view can be linked and gone back to.

export interface Route {
  page: "farm" | "jobs" | "job" | "settings" | "lost";
  /** The job, or the part of the settings. */
  id: string;
  query: URLSearchParams;
}

export const SETTINGS_PARTS = ["farm", "access", "notifications", "storage"];

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", id = "", ...more] = path.split("/");
  const route = (page: Route["page"]): Route => ({ page, id, query: new URLSearchParams(query) });
  if (more.length) return route("lost");
  if (page === "" || (page === "farm" && !id)) return route("farm");
  if (page === "jobs") return route(id === "" ? "jobs" : /^\d+$/.test(id) ? "job" : "lost");
  if (page === "settings" && (id === "" || SETTINGS_PARTS.includes(id))) return route("settings");
  return route("lost");
}
