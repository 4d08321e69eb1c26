/** What the daemon tells, as far as pages use it; `docs/api.md` says what each means. */
import type { Fault } from "./client.ts";

export interface Lag {
  partition: string;
  records: number | null;
  seconds: number | null;
  bytes: number | null;
}

export interface Source {
  type: string;
  flow: string;
  state: "running" | "pausing" | "paused" | "draining" | "ended";
  connected: boolean;
  ended: boolean;
  error: string | null;
  since: number;
  unsettled: { batches: number; records: number };
  lag: Lag[];
  /** Counters, from the start of the daemon. */
  records?: number;
  bytes?: number;
}

export interface Sink {
  type: string;
  connected: boolean;
  error: string | null;
  since: number;
  queue: { records: number; bytes: number; waiting: number };
  buffer: Buffer | null;
  records?: number;
  bytes?: number;
  retries?: number;
  letters?: number;
  /** What failed in the last minute. */
  minute?: { retries: number; letters: number };
}

export interface Buffer {
  file: string;
  records: number;
  bytes: number;
  limit: number;
  full: boolean;
  waiting: number;
  error: string | null;
}

export interface Flow {
  version: string;
  sources: string[];
  rules: number;
  records?: number;
  unmatched?: number;
  dropped?: number;
  dead_letters?: number;
  letters_kept?: number;
  rule_errors?: number;
  /** Deliveries, by sink. */
  to?: Record<string, number>;
  /** What failed in the last minute. */
  minute?: { dead_letters: number; rule_errors: number };
}

export interface Table {
  type: string;
  rows: number;
  age_seconds: number;
  refresh_seconds: number | null;
  error: string | null;
}

export interface Reload {
  time: number;
  cause: string;
  successful: boolean;
  faults: Fault[];
}

export interface Live {
  time: number;
  version?: string;
  started?: number;
  state: string;
  ready: boolean;
  config: { version: string; files?: string[]; last_reload: Reload | null };
  sources: Record<string, Source>;
  sinks: Record<string, Sink>;
  flows: Record<string, Flow>;
  tables: Record<string, Table>;
  dead_letters: { kept: Record<string, number>; bytes: number; error: string | null };
}

/** A payload or key: text where it is UTF-8, else bytes. */
export type Raw = string | { base64: string };

export interface Evaluation {
  expression: string;
  let?: string;
  /** `value`, `missing`, `error`, `skipped`. */
  state: string;
  value?: unknown;
  value_text?: string;
  error?: string;
  culprit?: string;
  parts?: Evaluation[];
  elements?: Element[];
  visited?: number;
}

export interface Element {
  number: number;
  variables: Record<string, unknown>;
  parts: Evaluation[];
  decides?: boolean;
}

export interface Violation {
  check: string;
  place: string;
  message: string;
}

export interface Check {
  name: string;
  holds: boolean;
  violation?: Violation;
  evaluation?: Evaluation;
}

export interface Change {
  path: string;
  before?: unknown;
  before_text?: string;
  after?: unknown;
  after_text?: string;
}

export interface Shaping {
  changes?: Change[];
  more_changes?: number;
  expressions?: { what: string; evaluation: Evaluation }[];
}

export interface Step extends Record<string, unknown> {
  name: string;
  /** What became of the record here: `matched`, `not matched`, `missing`, `error`, ... */
  fate: string;
  place?: string;
  missing?: string;
  when?: Evaluation;
  split?: { each: Evaluation; elements: number };
  expect?: Check[];
  gates?: { kind: string; allows: string; result: string; key?: Evaluation }[];
  makes?: (Shaping & { element?: unknown; element_text?: string })[];
  sends?: (Shaping & { to: string; element?: number; taken_back?: string })[];
  error?: string;
  ends?: boolean;
}

export interface End {
  to: string;
  by?: string;
  type?: string;
  stage?: string;
  rule?: string;
  sink?: string;
  reason?: string;
  detail?: string;
  settings?: Record<string, unknown>;
  changed?: boolean;
  value?: Raw | null;
}

/** Why a record goes where it goes, as `POST /api/explain` tells it. */
export interface Explanation {
  flow: string;
  version: string;
  source: string;
  record: unknown;
  meta?: Record<string, unknown>;
  decode?: string;
  undecodable?: { reason: string; detail: string };
  contract?: {
    holds: boolean;
    passes?: boolean;
    validates?: string;
    violations?: Violation[];
    expect?: Check[];
  };
  rules: Step[];
  otherwise?: Step[];
  goes_to: End[];
}

export interface ContractCheck {
  name: string;
  expression: string;
  violations: number;
}

export interface Target {
  sink: string;
  settings: Record<string, unknown>;
  set: Record<string, unknown>;
  unset: string[];
  emit: unknown;
}

export interface Gate {
  kind: string;
  key: string | null;
  settings: Record<string, unknown>;
  otherwise: Target | null;
  /** By what became of them: `passed`, `held`, `missing_key`. */
  records: Record<string, number>;
}

export interface Rule {
  name: string;
  when: string | null;
  to: string[];
  continues: boolean;
  place: string;
  file: string;
  line: number;
  expect: ContractCheck[];
  gates: Gate[];
  split: { each: string; name: string } | null;
  targets: Target[];
  set: Record<string, unknown>;
  unset: string[];
  emit: unknown;
  records: number;
  errors: number;
  dropped: number;
}

export interface FlowChange {
  at: number;
  before: string | null;
  version: string;
  added: string[];
  removed: string[];
  changed: string[];
  parts: string[];
}

export interface FlowDetail extends Flow {
  name: string;
  file: string;
  contract: {
    schema: unknown;
    model: string | null;
    checks: ContractCheck[];
    sensitive: string[];
    violations: Record<string, number>;
  };
  let: Record<string, string>;
  detail: Rule[];
  otherwise: Record<string, Target[] | string | null>;
  changed: FlowChange | null;
  records: number;
  unmatched: number;
  dropped: number;
  violations: number;
}

type Points = (number | null)[];

export interface History {
  step: number;
  times: number[];
  sources: Record<string, { records: Points; lag_records: Points; lag_seconds: Points }>;
  sinks: Record<string, { records: Points; queue: Points; retries: Points }>;
  flows: Record<
    string,
    {
      records: Points;
      dead_letters: Points;
      p50: Points;
      p99: Points;
      rules?: Record<string, { records: Points; errors: Points }>;
    }
  >;
  left_out: string[];
}

export interface SampleEnd {
  to: string;
  rule: string | null;
  settings: Record<string, unknown>;
  changed: boolean;
  became: "under_way" | "delivered" | "buffered" | "dead_letter" | "dropped";
  reason: string | null;
  detail: string | null;
  /** The payload as it went out, of one sample; null where it may not be shown, or went out as it came. */
  out?: Raw | null;
}

export interface Sampled {
  id: number;
  /** Unix seconds, as all of its times. */
  read: number;
  time: number;
  settled: number | null;
  flow: string;
  source: string;
  version: string;
  size: number;
  event: unknown;
  value: Raw | null;
  meta: Record<string, unknown>;
  ends: SampleEnd[];
}

/** One record, with why it goes where it goes by the rules that run now. */
export interface Sample extends Sampled {
  decided_by: string;
  runs: string;
  explanation: Explanation | null;
}

export interface AuditEntry {
  id: number;
  time: string;
  action: string;
  actor: string;
  version: string;
  detail: unknown;
  previous: string;
  hash: string;
}

/** A file of the configuration, as it is on the disk. */
export interface FileTold {
  /** As it is named to the daemon. */
  path: string;
  kind: "main" | "rules" | "schema";
  flow: string | null;
  text: string;
  hash: string;
  /** Whether this is what runs. */
  is_running: boolean;
  /** Why it cannot be written; null where it can. */
  read_only: string | null;
}
