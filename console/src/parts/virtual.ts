/** A list of which only what is in view is drawn, however long it is: rows of one height. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html, type Child } from "../html.ts";

interface Of<T> {
  items: readonly T[];
  /** In pixels, the same for all. */
  rowHeight: number;
  /** Of the list, in pixels, at most. */
  height: number;
  row(item: T, place: number): Child;
  label: string;
  class?: string;
  /** The place of the row that is to be in view. */
  at?: number;
  /** The last rows come into view: there may be more to have. */
  onEnd?: () => void;
  /** Which rows are in view, as that changes: behind the last of them. */
  onView?: (end: number) => void;
}

const AROUND = 6;

/** The list, which scrolls by itself and can be scrolled by keyboard. */
export function VirtualList<T>({ items, rowHeight, height, row, label, class: name = "", at, onEnd, onView }: Of<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const whole = items.length * rowHeight;
  useLayoutEffect(() => {
    if (box.current && box.current.scrollTop !== top) setTop(box.current.scrollTop);
  }, [items.length]);
  useLayoutEffect(() => {
    if (!box.current || at === undefined || at < 0) return;
    const { scrollTop } = box.current;
    if (at * rowHeight < scrollTop) box.current.scrollTop = at * rowHeight;
    else if ((at + 1) * rowHeight > scrollTop + height) box.current.scrollTop = (at + 1) * rowHeight - height;
  }, [at]);
  const first = Math.max(0, Math.floor(top / rowHeight) - AROUND);
  const last = Math.min(items.length, Math.ceil((top + height) / rowHeight) + AROUND);
  useEffect(() => {
    onView?.(last);
    if (last >= items.length - AROUND) onEnd?.();
  }, [last, items]);
  const rows = items.slice(first, last).map(
    (item, offset) => html`<div class="virtual-row" role="listitem" key=${first + offset}
      aria-setsize=${items.length} aria-posinset=${first + offset + 1}
      style=${{ height: `${rowHeight}px`, transform: `translateY(${(first + offset) * rowHeight}px)` }}>
      ${row(item, first + offset)}</div>`,
  );
  return html`<div class="virtual ${name}" ref=${box} tabindex="0" role="list" aria-label=${label}
    style=${{ height: `${Math.min(height, Math.max(whole, rowHeight))}px` }}
    onScroll=${(event: Event) => setTop((event.currentTarget as HTMLElement).scrollTop)}>
    <div class="virtual-whole" role="presentation" style=${{ height: `${whole}px` }}>${rows}</div></div>`;
}
