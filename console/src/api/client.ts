/** Asking the daemon: JSON in, JSON out, with the token when there is one. */
import { signal } from "@preact/signals";
import { parsed } from "./exact.ts";

/** A place in a text, and what is wrong there. */
export interface Fault {
  file: string;
  /** Counted from 1; 0 for the whole of it. */
  line: number;
  column: number;
  what: string;
  hint: string;
}

/** What the daemon refused, or that it could not be asked (`status` 0). `faults` are those of a text (422). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly faults: readonly Fault[] = [],
  ) {
    super(message);
  }
}

const KEY = "sluiceway.token";

/** What is shown as `Authorization: Bearer`; kept for this tab alone. */
export const token = signal(sessionStorage.getItem(KEY) ?? "");
/** Whether the daemon wants a token that we do not have. */
export const needsToken = signal(false);

/** The token that the daemon said is not it. */
export const refusedToken = signal("");

/** Take a token; everything is asked for again. Whether it is the right one, the next answer says. */
export function giveToken(text: string): void {
  sessionStorage.setItem(KEY, text);
  token.value = text;
}

/** The daemon has answered: it wants no other token. */
export function accepted(): void {
  needsToken.value = false;
}

export type Parameters = Record<string, string | number | boolean | readonly (string | number)[] | null | undefined>;

/** `GET`. Raises ApiError. */
export function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  return asked<T>("GET", withQuery(path, parameters), undefined, signal);
}

/** `POST`, with JSON. Raises ApiError. */
export function post<T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> {
  return asked<T>("POST", path, JSON.stringify(body), signal);
}

/** A path of names: ``at`/api/flows/${name}` `` escapes the name. */
export function at(parts: TemplateStringsArray, ...names: readonly (string | number)[]): string {
  return parts.reduce((path, part, place) => path + encodeURIComponent(String(names[place - 1])) + part);
}

/** A path with a query; a list is given as often as it has members. */
export function withQuery(path: string, parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") query.append(name, String(each));
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** The headers of every request. */
export function headers(): Record<string, string> {
  return token.value ? { Authorization: `Bearer ${token.value}` } : {};
}

async function asked<T>(method: string, path: string, body?: string, signal?: AbortSignal): Promise<T> {
  const more: Record<string, string> = body === undefined ? {} : { "Content-Type": "application/json" };
  let response: Response;
  try {
    response = await fetch(path, { method, body, signal, headers: { ...headers(), ...more }, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "the daemon does not answer");
  }
  if (!response.ok) throw await refusal(response);
  accepted();
  return parsed(await response.text()) as T;
}

/** What an answer that is no success says. */
export async function refusal(response: Response): Promise<ApiError> {
  if (response.status === 401) {
    refusedToken.value = token.value;
    needsToken.value = true;
  }
  const told = (await response.json().catch(() => null)) as { error?: string; faults?: Fault[] } | null;
  const faults = told?.faults ?? [];
  const first = faults[0];
  const summary = first && `${first.file}:${first.line}:${first.column}: ${first.what}`;
  return new ApiError(response.status, told?.error ?? summary ?? `the daemon answers ${response.status}`, faults);
}
