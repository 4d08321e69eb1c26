/** Light or dark: as the system says, until somebody chooses; kept in this browser. */
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const KEY = "sluiceway.theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(system.matches);

export const theme = signal<Theme>(kept());
/** Whether it is dark now; charts draw by it. */
export const isDark = signal(false);

system.addEventListener("change", () => (systemIsDark.value = system.matches));

effect(() => {
  isDark.value = theme.value === "dark" || (theme.value === "system" && systemIsDark.value);
  document.documentElement.dataset.theme = isDark.value ? "dark" : "light";
  localStorage.setItem(KEY, theme.value);
});

/** The next of system, light, dark. */
export function switchTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
}

function kept(): Theme {
  const found = localStorage.getItem(KEY) as Theme | null;
  return found && ORDER.includes(found) ? found : "system";
}
