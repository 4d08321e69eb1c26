/** What components share that is no drawing: asking the daemon, coming into view. */
import type { RefObject } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, token, type Parameters } from "../api/client.ts";

export interface Asked<T> {
  /** The last answer; it stays while the next is on its way and when that fails. */
  data: T | null;
  error: unknown;
  loading: boolean;
  again: () => void;
}

/** The answer to a `GET`, asked for anew when the path or its parameters change, and each so many seconds while the page
 * is seen. With `null` as path nothing is asked. */
export function useGet<T>(path: string | null, parameters: Parameters = {}, everySeconds = 0): Asked<T> {
  const [state, setState] = useState<Omit<Asked<T>, "again">>({ data: null, error: null, loading: true });
  const [turn, setTurn] = useState(0);
  const asked = useRef("");
  const key = JSON.stringify([path, parameters]);
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    let timer = 0;
    const isOther = asked.current !== key;
    asked.current = key;
    setState((before) => ({ data: isOther ? null : before.data, error: null, loading: true }));
    async function ask(): Promise<void> {
      if (!document.hidden) {
        try {
          const data = await get<T>(path ?? "", parameters, abort.signal);
          if (!abort.signal.aborted) setState({ data, error: null, loading: false });
        } catch (error) {
          if (!abort.signal.aborted) setState((before) => ({ data: before.data, error, loading: false }));
        }
      }
      if (everySeconds && !abort.signal.aborted) timer = window.setTimeout(ask, everySeconds * 1000);
    }
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, turn, everySeconds, token.value]);
  return { ...state, again: useCallback(() => setTurn((before) => before + 1), []) };
}

/** Bring an element into view when what it shows changes, where it may be far from what was clicked: in narrow windows. */
export function useInView<E extends HTMLElement>(shown: string): RefObject<E | null> {
  const element = useRef<E>(null);
  useEffect(() => {
    if (matchMedia("(max-width: 1000px)").matches) element.current?.scrollIntoView({ block: "start" });
  }, [shown]);
  return element;
}
