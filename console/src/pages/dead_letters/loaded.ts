/** The letters of a filter, as far as they were looked at: more of them as the list is scrolled. */
import { signal } from "@preact/signals";
import * as letters from "../../api/letters.ts";
import type { Filter, Listed } from "../../api/letters.ts";

const AT_ONCE = 200;
/** So many are held; to see others, a filter says which. */
export const MOST = 20_000;
/** Up to here they are looked at again by themselves when letters come or go. */
const FRESH = 1_000;
const CUT = 300;
/** A condition that takes longer is not asked about again by itself: each of many letters may have to be looked at. */
const QUICK_MS = 500;

export class Loaded {
  readonly items = signal<readonly Listed[]>([]);
  /** Whether there are no more. */
  readonly isWhole = signal(false);
  readonly isBusy = signal(false);
  readonly error = signal<unknown>(null);
  /** Whether letters came or went since they were looked at. */
  readonly isOld = signal(false);
  private after = 0;
  private isClosed = false;
  private isDue = false;
  private took = 0;
  private wanted = AT_ONCE;

  constructor(private readonly filter: Filter) {
    void this.more();
  }

  /** Have some more. */
  async more(): Promise<void> {
    if (this.isBusy.value || this.isWhole.value || this.items.value.length >= MOST) return;
    await this.during(async () => {
      const found = await this.some(this.after);
      this.items.value = [...this.items.value, ...found];
    });
  }

  /** Rows up to this one are in view. */
  see(end: number): void {
    this.wanted = Math.max(AT_ONCE, end);
  }

  /** Letters came or went: look again, unless that would be many. */
  change(): void {
    if (this.wanted > FRESH || (this.filter.when && this.took > QUICK_MS)) this.isOld.value = true;
    else void this.refresh();
  }

  /** Look again, as far as is in view. */
  async refresh(): Promise<void> {
    this.isDue = this.isBusy.value;
    if (this.isDue) return;
    await this.during(async () => {
      const found: Listed[] = [];
      this.isWhole.value = false;
      do found.push(...(await this.some(found.length ? this.after : 0)));
      while (found.length < this.wanted && !this.isWhole.value && !this.isClosed);
      this.items.value = found;
      this.isOld.value = false;
    });
  }

  /** Nobody looks any more. */
  close(): void {
    this.isClosed = true;
  }

  /** The next letters: a condition may take few of the many that were looked through. */
  private async some(after: number): Promise<Listed[]> {
    const found: Listed[] = [];
    let next: number | null = after;
    while (next !== null && found.length < AT_ONCE / 4 && !this.isClosed) {
      const page: letters.Page = await letters.page(this.filter, next, AT_ONCE, CUT);
      found.push(...page.letters);
      next = page.next;
    }
    this.after = next ?? found.at(-1)?.id ?? after;
    this.isWhole.value = next === null;
    return found;
  }

  private async during(doing: () => Promise<void>): Promise<void> {
    this.isBusy.value = true;
    this.error.value = null;
    const began = performance.now();
    try {
      await doing();
    } catch (error) {
      this.error.value = error;
    } finally {
      this.took = performance.now() - began;
      this.isBusy.value = false;
      if (this.isDue && !this.isClosed) void this.refresh();
    }
  }
}
