/** The keyboard: keys, and two keys after each other (`g s`), while nothing is typed into a field. `?` shows them all. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Key {
  /** As it is pressed: `/`, `?`, `g s`. */
  readonly keys: string;
  readonly does: string;
  readonly run: () => void;
}

/** Those that can be pressed now. */
export const known = signal<readonly Key[]>([]);

const WAIT_MS = 1200;
let first = "";
let timer = 0;

/** Keys that can be pressed while the component is shown. They must be the same for as long as `deps` are. */
export function useKeys(keys: readonly Key[], deps: readonly unknown[] = []): void {
  useEffect(() => {
    known.value = [...known.value, ...keys];
    return () => {
      known.value = known.value.filter((key) => !keys.includes(key));
    };
  }, deps);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || isAnswered(event)) return;
  const pressed = first ? `${first} ${event.key}` : event.key;
  clearTimeout(timer);
  first = "";
  const found = known.value.findLast((key) => key.keys === pressed);
  if (found) {
    event.preventDefault();
    found.run();
  } else if (known.value.some((key) => key.keys.startsWith(`${event.key} `))) {
    first = event.key;
    timer = window.setTimeout(() => (first = ""), WAIT_MS);
  }
});

/** Whether it is for what has the focus, or for a dialog. */
function isAnswered({ key, target }: KeyboardEvent): boolean {
  if (document.querySelector("dialog[open]")) return true;
  return key === "Enter" && target instanceof HTMLElement && target.closest("a, button, summary") !== null;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement && target.type === "checkbox") return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}
