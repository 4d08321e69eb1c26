/** Where the keyboard is after another page was gone to: at its heading, so that it is read out and Tab goes on from there. */
import { useEffect, useRef } from "preact/hooks";

/** Move the focus to the page's heading when `page` changes, as soon as there is one; never as the console is opened. */
export function useHeadingFocus(page: string): void {
  const before = useRef(page);
  useEffect(() => {
    if (before.current === page) return;
    before.current = page;
    const main = document.getElementById("page");
    // A text that the page is there to edit has taken the focus itself.
    if (!main || isWritten(document.activeElement) || focusHeading()) return;
    // What the page is about is still asked for: it is waited for, unless somebody goes elsewhere meanwhile.
    main.focus({ preventScroll: true });
    const watch = new MutationObserver(() => {
      if (!isWaiting(main) || focusHeading()) watch.disconnect();
    });
    watch.observe(main, { childList: true, subtree: true });
    return () => watch.disconnect();
  }, [page]);
}

function isWritten(element: Element | null): boolean {
  return element instanceof HTMLElement && element.isContentEditable;
}

function isWaiting(main: HTMLElement): boolean {
  return document.activeElement === main || document.activeElement === document.body;
}

/** Of several headings that of the part that the address names. */
function focusHeading(): boolean {
  const heading = document.querySelector<HTMLElement>("main [data-heading]") ?? document.querySelector<HTMLElement>("main h1");
  if (!heading) return false;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  return true;
}
