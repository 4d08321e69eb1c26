/**
 * Server-sent events, read through `fetch` (an EventSource cannot show a token). Comes back by itself when the stream
 * ends or falls silent, waiting longer each time; closed while the page is hidden.
 */
import { accepted, ApiError, headers, refusal, token } from "./client.ts";

export interface Listener {
  /** An event, with its data as JSON. */
  onEvent(name: string, data: unknown): void;
  /** Whether there is a stream; if not, why. */
  onState?(state: "open" | "lost", why?: ApiError): void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;
const SILENT_MS = 30_000;

/** Listen to a path until what is answered is called. */
export function listen(path: string, listener: Listener): () => void {
  let closed = false;
  let attempt: AbortController | null = null;
  let wait = FIRST_WAIT_MS;
  let timer = 0;

  async function open(): Promise<void> {
    clearTimeout(timer);
    if (closed || document.hidden || attempt) return;
    const own = (attempt = new AbortController());
    let why: ApiError | undefined;
    try {
      await read(path, own, (name, data) => {
        wait = FIRST_WAIT_MS;
        listener.onEvent(name, data);
      }, () => listener.onState?.("open"));
    } catch (error) {
      why = error instanceof ApiError ? error : new ApiError(0, "the daemon does not answer");
    }
    if (attempt !== own) return; // it was given up for another one
    attempt = null;
    if (closed || document.hidden) return;
    listener.onState?.("lost", why);
    timer = window.setTimeout(open, wait * (0.75 + Math.random() / 2));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }

  function again(): void {
    attempt?.abort();
    attempt = null;
    wait = FIRST_WAIT_MS;
    void open();
  }

  const stopToken = token.subscribe(again); // which opens it, too
  document.addEventListener("visibilitychange", again);
  return () => {
    closed = true;
    clearTimeout(timer);
    stopToken();
    document.removeEventListener("visibilitychange", again);
    attempt?.abort();
  };
}

type OnEvent = (name: string, data: unknown) => void;

async function read(path: string, own: AbortController, onEvent: OnEvent, onOpen: () => void): Promise<void> {
  const response = await fetch(path, { headers: headers(), signal: own.signal, cache: "no-store" });
  if (!response.ok) throw await refusal(response);
  accepted();
  if (!response.body) return;
  onOpen();
  const parser = new Parser(onEvent);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const silent = setTimeout(() => own.abort(), SILENT_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    parser.feed(value);
  }
}

/** WHATWG HTML, 9.2.6, as far as the daemon makes use of it: `event`, `data`, comments. */
export class Parser {
  private rest = "";
  private name = "";
  private data: string[] = [];

  constructor(private readonly onEvent: OnEvent) {}

  feed(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line);
  }

  private line(line: string): void {
    if (line === "") {
      if (this.data.length) this.onEvent(this.name || "message", JSON.parse(this.data.join("\n")));
      this.name = "";
      this.data = [];
    } else if (line.startsWith("event: ")) this.name = line.slice(7);
    else if (line.startsWith("data: ")) this.data.push(line.slice(6));
  }
}
