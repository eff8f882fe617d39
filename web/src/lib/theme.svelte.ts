// Light or dark: as the system has it, or as the user chose.

export type Theme = "system" | "light" | "dark";

const KEY = "tessera-theme";

class ThemeChoice {
  choice = $state<Theme>("system");
  /** Counts changes of what shows, for canvases. */
  version = $state(0);

  constructor() {
    const kept = localStorage.getItem(KEY);
    this.set(kept === "light" || kept === "dark" ? kept : "system");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.version += 1));
  }

  set(choice: Theme): void {
    this.choice = choice;
    if (choice === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem(KEY);
    } else {
      document.documentElement.dataset.theme = choice;
      localStorage.setItem(KEY, choice);
    }
    this.version += 1;
  }
}

export const theme = new ThemeChoice();
