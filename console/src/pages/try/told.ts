/** What the daemon tells of its files; `docs/api.md` says what each means. */
import type { Fault } from "../../api/client.ts";
import type { Change, Explanation, Raw } from "../../api/types.ts";

export interface CheckTold {
  faults: Fault[];
  warnings: Fault[];
  tests: { run: number; failed: FailedTest[] };
}

export interface FailedTest {
  flow: string;
  name: string;
  file: string;
  line: number;
  column: number;
  why: string;
}

export interface Field {
  path: string;
  types: string[];
  /** `contract`, `traffic`, `vars`, `let`. */
  from: string[];
  enum: unknown[];
  sensitive: boolean;
}

export interface RuleCounted {
  name: string;
  when: string | null;
  to: string[];
  file: string;
  line: number;
  records: number;
  errors: number;
  dropped: number;
}

export interface Example {
  name: string;
  source: string;
  record: Raw | null;
  /** By the rules that run now. */
  old: Explanation | null;
  new: Explanation | null;
  changes?: { to: string; what: string; before?: unknown; after?: unknown; fields?: Change[] }[];
}

export interface Group {
  flow: string;
  from?: string[];
  to: string[];
  changed?: string[];
  records: number;
  examples: Example[];
}

export interface Count {
  flow: string;
  to: string;
  reason: string | null;
  rule: string | null;
  old: number;
  new: number;
  difference: number;
}

export interface Difference {
  records: number;
  is_cut: boolean;
  moved: number;
  changed: number;
  healed: number;
  spoilt: number;
  still: number;
  ungrouped: number;
  notes: string[];
  counts: Count[];
  moves: Group[];
  changes: Group[];
}

/** A configuration that was written and taken. */
export interface Applied {
  version: string;
  previous: string;
  changes: Record<string, { added: string[]; removed: string[]; changed: string[] }>;
  warnings: string[];
  /** By path, the hash of each file that was written. */
  files: Record<string, string>;
}
