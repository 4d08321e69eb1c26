/** Numbers and times as people read them: few digits, a unit, always as wide. */

const UNITS: readonly [number, string][] = [
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** A count in about three digits: `0`, `7`, `1,240`, `12.4k`, `3.1M`. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Math.abs(value) < 10_000) return Math.round(value).toLocaleString("en");
  const [size, unit] = UNITS.find(([size]) => Math.abs(value) >= size) ?? [1, ""];
  const scaled = value / size;
  return `${scaled.toFixed(Math.abs(scaled) < 100 ? 1 : 0)}${unit}`;
}

/** A rate: `0/s`, `0.4/s`, `20/s`, `12.4k/s`; `–` while it is not known. */
export function perSecond(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.05) return "<0.1/s";
  return `${value < 10 && value % 1 ? value.toFixed(1).replace(/\.0$/, "") : count(value)}/s`;
}

/** A size: `812 B`, `64 KiB`, `5.2 MiB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  let scaled = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (scaled < 1024 || unit === "GiB") {
      return `${unit === "B" || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1).replace(/\.0$/, "")} ${unit}`;
    }
    scaled /= 1024;
  }
  return "";
}

/** How long something takes: `0.8 ms`, `35 ms`, `1.2 s`, `4 min`, `3 h`, `2 d`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 60) return `${digits(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86_400) return `${digits(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** How long ago, by the daemon's clock: `just now`, `12 s ago`. */
export function ago(time: number, now: number): string {
  const seconds = Math.max(0, now - time);
  return seconds < 2 ? "just now" : `${duration(seconds < 60 ? Math.round(seconds) : seconds)} ago`;
}

/** A time of day today, else with its date: `14:03:22`, `2026-01-31 14:03:22`. Seconds since 1970, or RFC 3339. */
export function clock(time: number | string | null | undefined, milliseconds = false): string {
  const date = asDate(time);
  if (!date) return "–";
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const more = milliseconds ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "";
  const hour = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}${more}`;
  return date.toDateString() === new Date().toDateString() ? hour : `${day} ${hour}`;
}

/** The same in UTC, exactly, as a title. */
export function exactly(time: number | string | null | undefined): string {
  return asDate(time)?.toISOString() ?? "";
}

/** `1 record`, `3 records`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

function asDate(time: number | string | null | undefined): Date | null {
  if (time === null || time === undefined || time === "") return null;
  const date = new Date(typeof time === "number" ? time * 1000 : time);
  return Number.isNaN(date.getTime()) ? null : date;
}

function digits(value: number): string {
  return value < 10 ? value.toFixed(1).replace(/\.0$/, "") : String(Math.round(value));
}

/** What tells the ends of a record apart where several lead to one place: its name, with a number behind it. */
export function endNames(ends: readonly { to: string }[]): string[] {
  const alike = Map.groupBy(ends, ({ to }) => to);
  const seen = new Map<string, number>();
  return ends.map(({ to }) => {
    const number = (seen.get(to) ?? 0) + 1;
    seen.set(to, number);
    return (alike.get(to)?.length ?? 0) > 1 ? `${to}, ${number}` : to;
  });
}
