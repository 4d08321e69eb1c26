/** Trying the texts on what the daemon has seen: its samples, or its dead letters. */
import { signal } from "@preact/signals";
import { ApiError, post } from "../../api/client.ts";
import { edited, fileOf, textsOf } from "./drafts.ts";
import type { On } from "./difference.ts";
import type { Difference } from "./told.ts";

export interface Preview {
  isRunning: boolean;
  told: Difference | null;
  error: unknown;
  /** Of which texts, to see that they are others by now. */
  of: string;
}

const EXAMPLES = 5;

export const previews = signal<Readonly<Record<On, Preview | null>>>({ live: null, dead: null });

/** Whether there is one of the texts as they are here. */
export function isCurrent(on: On): boolean {
  return previews.value[on]?.of === identity();
}

/** Try them. With `ids`, on these dead letters alone. */
export async function preview(on: On, path: string, ids: readonly number[]): Promise<void> {
  const of = identity();
  put(on, { isRunning: true, told: previews.value[on]?.told ?? null, error: null, of });
  const more = on === "dead" && ids.length ? { ids } : {};
  try {
    const body = { files: textsOf(), on, limit: EXAMPLES, ...flowOf(path), ...more };
    put(on, { isRunning: false, told: await post<Difference>("/api/diff", body), error: null, of });
  } catch (error) {
    const isFaulty = error instanceof ApiError && error.faults.length > 0;
    put(on, { isRunning: false, told: null, error: isFaulty ? new Error("It has faults; once they are mended, it can be tried.") : error, of });
  }
}

/** What runs is other by now: nothing that was found holds. */
export function forgetPreviews(): void {
  previews.value = { live: null, dead: null };
}

function put(on: On, one: Preview): void {
  previews.value = { ...previews.value, [on]: one };
}

/** The flow that it is about; all of them where several were changed, or what several use. */
function flowOf(path: string): { flow?: string } {
  const paths = new Set([path, ...edited.value]);
  const flows = new Set([...paths].map((each) => fileOf(each)?.flow ?? null));
  const [flow] = flows;
  return flows.size === 1 && flow ? { flow } : {};
}

function identity(): string {
  return JSON.stringify(textsOf());
}
