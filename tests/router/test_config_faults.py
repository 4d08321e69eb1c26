"""Every fault of a configuration is reported, at its place, in these words."""

from __future__ import annotations

import os
from pathlib import Path

import fuzz_faults
import pytest
from fuzz_config import DAEMON, ENVIRONMENT, RULES, fuzz, mutate, write_files

from router.config import load
from router.plugins import types
from rules.codecs import FORMATS
from rules.faults import Refused

DECODES = ", ".join([*FORMATS][:-1]) + f" or {[*FORMATS][-1]}"

SECRET = "hunter2!"
SOURCES = ", ".join(types("source"))
ALL = ", ".join(sorted({*types("source"), *types("sink")}))

# ruff: noqa: E501 - what a fault says stands here as it is shown
FAULTS = [
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: http, url: 'http://one.example/a'}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{when: event.n, to: {sink: x, url: 'http://two.example/'}}, {to: {sink: x, url: 'http://one.example/b'}}]\n",
        [
            "flow.yaml:2:44: `url`: the url 'http://two.example/' leads away from the sink's server one.example:80",
        ],
    ),
    (
        'sources: {a: {type: memory}}\nsinks: {x: {type: file, path: "a\\0/b"}}\nflows: [flow.yaml]\n',
        'from: a\nrules: [{to: {sink: x, path: "a\\0"}}]\n',
        [
            "flow.yaml:2:30: `path` is text; should be without a null character",
            "sluiceway.yaml:2:31: `path` is text; should be without a null character",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        """\
from: a
rules: [{to: x}]
otherwise: {invalid: pas, undecodable: rejct, error: pas}
tests:
  - given: [{event: 1}]
    then:
      y: 1
      x: [{event: 1}, {evnt: 1, pth: x}]
      q: [{event: 1}]
""",
        [
            "flow.yaml:3:22: there is no sink `pas`; did you mean `pass`?",
            "flow.yaml:3:40: there is no sink `rejct`; did you mean `reject`?",
            "flow.yaml:3:54: there is no sink `pas`; known: x, drop, dead_letter",
            "flow.yaml:7:7: this flow has no sink `y`; known: x, drop, dead_letter",
            "flow.yaml:8:24: a record at `x` has no `evnt`; did you mean `event`?",
            "flow.yaml:8:33: a record at `x` has no `pth`; did you mean `path`?",
            "flow.yaml:9:7: this flow has no sink `q`; known: x, drop, dead_letter",
        ],
    ),
    (
        # A fault within a part hides none between it and others.
        """\
sources: {a: {type: http, accept: buffered}, b: {type: file, path: b, follow: 1}}
sinks:
  x: {type: file, path: out, timeout: 0, encode: csv}
  y: {type: file, path: out, queue: 5}
  z: {type: file, path: z, batch: {records: many}, allow: {path: [z*], pth: [y]}}
  w: {type: file, path: out, buffer: {type: dsk}}
http: {listen: '0.0.0.0:9600', tls: 5}
dead_letters: {to: nosuch, retain: 30x}
flows: [flow.yaml]
""",
        "from: [a, b]\nrules: [{when: event.n, to: [x, y]}, {to: [{sink: z, path: y}, w]}]\notherwise: {invalid: reject}\n",
        [
            "flow.yaml:2:60: `path` is `y`, which `allow` of sink `z` does not let through; `allow` has z*",
            "flow.yaml:3:22: `reject` needs a source that answers who sent the records, and `b` is a file; should be `dead_letter`, `drop` or a sink",
            "sluiceway.yaml:1:35: a http that accepts what is `buffered` sends to `y`, which has no buffer; should be `delivered`, or `y` have `buffer: {type: disk}`",
            "sluiceway.yaml:1:35: a http that accepts what is `buffered` sends to `z`, which has no buffer; should be `delivered`, or `z` have `buffer: {type: disk}`",
            "sluiceway.yaml:1:79: `follow` is `1`; should be true or false",
            "sluiceway.yaml:3:39: `timeout` is `0`; should be more than 0",
            "sluiceway.yaml:3:50: nothing can be written in csv; should have `columns`, or `header: false` to write of each event the values in their order",
            "sluiceway.yaml:4:37: `queue` is `5`; should be a mapping",
            "sluiceway.yaml:5:45: `records` is `many`; should be a whole number",
            "sluiceway.yaml:5:72: `pth` is no setting that a record may choose; did you mean `path`?",
            "sluiceway.yaml:6:45: `type` is `dsk`; should be disk",
            "sluiceway.yaml:7:16: `0.0.0.0:9600` can be reached from other machines, and there is no `token`; should have a `token`, or listen on 127.0.0.1",
            "sluiceway.yaml:7:37: `tls` is `5`; should be a mapping",
            "sluiceway.yaml:8:20: there is no sink `nosuch`; known: x, y, z, w",
            "sluiceway.yaml:8:36: `retain` is `30x`; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        # Nor does it invent one: what is wrong may say what another needs.
        """\
sources: {a: {type: http, accept: buffered, acept: delivered}, b: {type: http, accept: buffered, decode: cvs}}
sinks:
  x: {type: file, path: out, bufer: {type: disk}, queue: 5}
  y: {type: file, path: y, encode: jsn, framing: csv}
http: {listen: '0.0.0.0:9600', tokn: t}
dead_letters: {too: nosuch, retain: 30x}
flows: [flow.yaml]
""",
        "from: [a, b]\nrules: [{to: [x, y]}]\n",
        [
            "sluiceway.yaml:1:45: `acept` is not known here; did you mean `accept`?",
            "sluiceway.yaml:1:106: `decode` is `cvs`; should be json, text, bytes, csv, avro, protobuf, msgpack, logfmt or syslog",
            "sluiceway.yaml:3:30: `bufer` is not known here; did you mean `buffer`?",
            "sluiceway.yaml:3:58: `queue` is `5`; should be a mapping",
            "sluiceway.yaml:4:36: `encode` is `jsn`; should be same, json, text, bytes, csv, avro, protobuf, msgpack, logfmt or syslog",
            "sluiceway.yaml:5:32: `tokn` is not known here; did you mean `token`?",
            "sluiceway.yaml:6:16: `too` is not known here; did you mean `to`?",
            "sluiceway.yaml:6:37: `retain` is `30x`; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        # What a target sets to the same for every record is what its sink takes, as the sink's own settings are.
        "sources: {a: {type: memory}}\nsinks: {f: {type: file, path: ''}, m: {type: memory, key: 3}, q: {type: mqtt, broker: 'h:1', topic: t}}\nflows: [flow.yaml]\n",
        """\
from: a
rules:
  - {when: event.n == 1, to: [{sink: f, path: 12}, {sink: m, key: [1], topic: 7, headers: {a: {b: 1}, c: '${event.c}', d: null}}]}
  - {when: event.n == 2, to: {sink: f, path: [1]}}
  - {when: event.n == 3, to: {sink: f, path: {a: '${event.a}'}}}
  - {when: event.n == 4, to: {sink: f, path: true}}
  - {when: event.n == 5, to: {sink: m, key: 'a', topic: '${event.n}', path: null, headers: '${event.h}', table: [a, '${event.n}']}}
  - {when: event.n == 6, to: {sink: q, topic: 'a/#', retain: 1, headers: {a: 1, b: '${event.b}'}, message_expiry: 10s}}
  - to:
      sink: f
      path: ""
otherwise: {undecodable: {sink: m, key: 1.5}, error: {sink: q, retain: 'yes', topic: 'a/$${b}'}}
""",
        [
            "flow.yaml:3:47: `path` is `12`; should be text",
            "flow.yaml:3:67: `key` is a list; should be text",
            "flow.yaml:3:79: `topic` is `7`; should be text",
            "flow.yaml:3:95: `a` is a mapping; should be text",
            "flow.yaml:4:46: `path` is a list; should be text",
            "flow.yaml:5:46: `path` is a mapping; should be text",
            "flow.yaml:6:46: `path` is `true`; should be text",
            "flow.yaml:7:113: `table` is a list; should be text",
            "flow.yaml:8:47: `topic`: topic should hold no wildcard, and 'a/#' does",
            "flow.yaml:8:62: `retain` is `1`; should be true or false",
            "flow.yaml:8:78: `a` is `1`; should be text",
            "flow.yaml:11:13: `path` is empty; should be at least 1 character long",
            "flow.yaml:12:41: `key` is `1.5`; should be text",
            "flow.yaml:12:72: `retain` is `yes`; should be true or false",
            "sluiceway.yaml:2:31: `path` is empty; should be at least 1 character long",
            "sluiceway.yaml:2:59: `key` is `3`; should be text",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks:\n  f: {type: file, path: z/f.ndjson, allow: {path: [z/a*, x]}}\n  g: {type: file, path: 'z/${event.n}'}\n  m: {type: memory, allow: {topic: [a], key: [b]}}\nflows: [flow.yaml]\n",
        """\
from: a
rules:
  - {when: event.n == 1, to: [{sink: f, path: z/b}, {sink: m, topic: b, key: b}, {sink: g, path: ../x}]}
  - {when: event.n == 2, to: [{sink: f, path: z/ab}, {sink: m, topic: a, key: '${event.c}'}, {sink: g, path: z/x/y}]}
  - {when: event.n == 3, to: [{sink: f, path: x}, {sink: g, path: /tmp/nope/x}]}
  - to: [{sink: f, path: z/a/}, {sink: g, path: 'z/${event.n}/../../x'}]
""",
        [
            "flow.yaml:3:47: `path` is `z/b`, which `allow` of sink `f` does not let through; `allow` has z/a*, x",
            "flow.yaml:3:70: `topic` is `b`, which `allow` of sink `m` does not let through; `allow` has a",
            "flow.yaml:3:98: `path`: '../x' leads out of the sink's base folder z",
            "flow.yaml:5:47: `path`: 'x' leads out of the sink's base folder z",
            "flow.yaml:5:67: `path`: '/tmp/nope/x' leads out of the sink's base folder z",
            "flow.yaml:6:26: `path`: 'z/a/' names a folder, not a file",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory, buffer: {type: dsk, bytes: 0}}, y: {type: memory, buffer: 1GiB}, z: {type: memory, buffer: {bytes: 1GiB, max: 1}}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: [x, y, z]}]\n",
        [
            "sluiceway.yaml:2:42: `type` is `dsk`; should be disk",
            "sluiceway.yaml:2:54: `bytes` is `0`; should be more than 0",
            "sluiceway.yaml:2:85: `buffer` is `1GiB`; should be a mapping",
            "sluiceway.yaml:2:110: `type` is missing; should be given: on `disk`, in `state_dir`",
            "sluiceway.yaml:2:132: `max` is not known here; known: type, bytes",
        ],
    ),
    (
        "sources: {a: {type: http, accept: buffered}, b: {type: http, path: /b, accept: safe}}\nsinks: {x: {type: memory, buffer: {type: disk}}, y: {type: memory}, z: {type: memory}}\nflows: [flow.yaml]\n",
        "from: [a, b]\nrules: [{when: event.n == 1, to: [x, y]}, {to: y}]\notherwise: {undecodable: z}\n",
        [
            "sluiceway.yaml:1:35: a http that accepts what is `buffered` sends to `y`, which has no buffer; should be `delivered`, or `y` have `buffer: {type: disk}`",
            "sluiceway.yaml:1:35: a http that accepts what is `buffered` sends to `z`, which has no buffer; should be `delivered`, or `z` have `buffer: {type: disk}`",
            "sluiceway.yaml:1:80: `accept` is `safe`; should be delivered or buffered",
        ],
    ),
    (
        f"sources: {{a: {{type: memory}}}}\nsinks: {{'{'häuser/' * 30}': {{type: memory, buffer: {{type: disk}}}}}}\nflows: [flow.yaml]\n",
        f"from: a\nrules: [{{to: '{'häuser/' * 30}'}}]\n",
        ["sluiceway.yaml:2:9: the name is too long for the file of a disk buffer; should be shorter"],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory, allow: {pth: [a]}}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: {sink: x, pathh: b}}]\ntests: [{name: t, given: [{raw: a}], then: {x: [{topc: c}]}}]\n",
        [
            "flow.yaml:2:24: a delivery to `x` cannot choose `pathh`; did you mean `path`?",
            "flow.yaml:3:50: a record at `x` has no `topc`; did you mean `topic`?",
            "sluiceway.yaml:2:35: `pth` is no setting that a record may choose; did you mean `path`?",
        ],
    ),
    (
        "connections: {unused: {type: file, compresion: gzip}}\nsources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        ["sluiceway.yaml:1:36: `compresion` is not known here; did you mean `compression`?"],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: file, path: out/a}, y: {type: file, path: out//a}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: [x, y]}]\n",
        [
            "sluiceway.yaml:2:39: `y` cannot run beside `x`: both write out//a; one sink takes what any number of rules send it"
        ],
    ),
    (
        "sources: {a: {type: file, path: [a, 5], framing: {type: newlin}}}\nsinks: {x: {type: file, path: a, encode: csv}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:37: `path[1]` is `5`; should be text",
            "sluiceway.yaml:1:57: `type` is `newlin`; should be one of newline, null, length, octet_counted, csv, avro, msgpack, whole",
            "sluiceway.yaml:2:42: nothing can be written in csv; should have `columns`, or `header: false` to write of each event the values in their order",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {lost: {type: memory}, x: {type: memory}}\nflows: [flow.yaml]\ndead_letters: {to: {flo: lots}, retain: 0, max_bytes: 10KiB, keep: 3}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:21: there is no flow `flo`; did you mean `flow`?",
            "sluiceway.yaml:4:26: there is no sink `lots`; did you mean `lost`?",
            "sluiceway.yaml:4:41: `retain` is `0`; should be more than 0",
            "sluiceway.yaml:4:55: `max_bytes` is `10KiB`; should be at least 1048576",
            "sluiceway.yaml:4:62: `keep` is not known here; known: to, retain, max_bytes",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {lost: {type: memory}, x: {type: memory}}\nflows: [flow.yaml]\ndead_letters: {to: {flo: lots}}\n",
        "from: a\nrules: [{to: [x, lost]}]\n",
        [
            "sluiceway.yaml:4:21: there is no flow `flo`; did you mean `flow`?",
            "sluiceway.yaml:4:26: there is no sink `lots`; did you mean `lost`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndead_letters: x\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:15: `dead_letters` is text; should be a mapping such as {retain: 30d, max_bytes: 10GiB}",
        ],
    ),
    (
        "",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml: the file is empty",
        ],
    ),
    (
        "[a]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:1: this is no configuration; should be a mapping with `sources` and so on",
        ],
    ),
    (
        "a: b: c\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:1: `a` is not known here; known: state_dir, http, vars, secrets, tables, drain_timeout, dead_letters, connections, models, defaults, sources, sinks, flows",
            "sluiceway.yaml:1:1: `flows` is missing; should be the rules files, such as [rules/*.yaml]",
            "sluiceway.yaml:1:4: YAML does not read `b: c` as one text; should be quoted: a: 'b: c'",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nsinks: {}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:1: `sinks` is given twice; it stands already in line 2",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nsorces: {}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:1: `sorces` is not known here; did you mean `sources`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:1: `flows` is missing; should be the rules files, such as [rules/*.yaml]",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nstate_dir: 5\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:12: `state_dir` is `5`; should be text",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nstate_dir:\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:5:1: `state_dir` is empty; should be text",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndrain_timeout: 5\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `drain_timeout` is `5`; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndrain_timeout: soon\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `drain_timeout` is `soon`; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nvars: [a]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:7: `vars` is a list; should be a mapping",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nvars: {a: .nan}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:11: `a` is a number that JSON does not have; should be a finite number",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nvars: {a: '${event.x}'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:12: `${...}` is not filled in here; only `${env:NAME}`, `${file:PATH}` and `${credential:NAME}` are; a plain `${` is written `$${`",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: {listen: '9600'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `listen` is `9600`; should be host:port, such as 127.0.0.1:9600 or [::1]:9600",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: {lisen: x}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:8: `lisen` is not known here; did you mean `listen`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: {listen: '0.0.0.0:9600'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `0.0.0.0:9600` can be reached from other machines, and there is no `token`; should have a `token`, or listen on 127.0.0.1",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: {listen: 'example.org:9600'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `example.org:9600` can be reached from other machines, and there is no `token`; should have a `token`, or listen on 127.0.0.1",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: true\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:7: `http` is a boolean; should be a mapping such as {listen: 127.0.0.1:9600}, or false",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: {token: ''}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:15: `token` is empty; should be at least 1 long",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {m: {}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:18: `type` is missing; should be the type of the connectors that use it",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {m: {type: carrier_pigeon}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:25: no connector of type `carrier_pigeon` is installed; known: " + ALL,
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {m: 5}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:18: connection `m` is a number; should be a mapping such as {type: kafka, brokers: ...}",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: [m]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:14: `connections` is a list; should be a mapping of names to settings",
        ],
    ),
    (
        "sources: {a: {use: man}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {main: {type: memory}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:20: there is no connection `man`; did you mean `main`?",
        ],
    ),
    (
        "sources: {a: {use: main, type: file}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {main: {type: memory}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:32: `type` is `file`, and connection `main` is of type `memory`; should be left out beside `use`",
        ],
    ),
    (
        "sources: {a: {use: main}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {main: {type: stdout}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:28: no source of type `stdout` is installed; known: " + SOURCES,
        ],
    ),
    (
        "sources: {a: {use: main}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {main: {type: memory, chanel: x}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:36: `chanel` is not known here; did you mean `channel`?",
        ],
    ),
    (
        "sources: {a: {use: main}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nconnections: {main: {type: memory, replays: maybe}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:45: `replays` is `maybe`; should be true or false",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndefaults: {snk: {}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:12: `snk` is not known here; did you mean `sink`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndefaults: {sink: {batch: {recods: 1}}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:27: `recods` is not known here; did you mean `records`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndefaults: {sink: {path: x}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:19: `path` is not known here; known: encode, batch, retry, timeout, queue, buffer, when_full, ordered",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndefaults: {source: {decode: xml}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            f"sluiceway.yaml:4:29: `decode` is `xml`; should be {DECODES}",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndefaults: 5\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:11: `defaults` is a number; should be a mapping such as {sink: {timeout: 10s}}",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: 5}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `m` is a number; should be a pydantic model such as shop.models:Order; as text it is '5'",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: shop}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `shop` is no name of a model; should be a pydantic model such as shop.models:Order",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: 'no_such_module:X'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: there is no module `no_such_module`; should be installed, or lie beside the daemon's file",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: 'json:Nope'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `json` has no `Nope`; there are none",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: 'json:dumps'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `json:dumps` is no pydantic model; should be a pydantic model such as shop.models:Order",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: 'broken_models:X'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `broken_models` cannot be imported: ZeroDivisionError: division by zero",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: [m]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:9: `models` is a list; should be a mapping of names to models, such as {order: 'shop.models:Order'}",
        ],
    ),
    (
        "sources: {a: 5}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:14: source `a` is a number; should be a mapping such as {type: file, path: in.ndjson}",
        ],
    ),
    (
        "sources: {a: {}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:14: `type` is missing; should be the type of a source: " + SOURCES,
        ],
    ),
    (
        "sources: {a: {type: memry}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:21: no source of type `memry` is installed; did you mean `memory`?",
        ],
    ),
    (
        "sources: {a: {type: 5}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:21: `type` is a number; should be the type of a source; as text it is '5'",
        ],
    ),
    (
        "sources: {a: {type: memory, decode: xml}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            f"sluiceway.yaml:1:37: `decode` is `xml`; should be {DECODES}",
        ],
    ),
    (
        "sources: {a: {type: memory, batch: {}}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:29: `batch` is not known here; known: channel, records, replays, ack_order, type, use, decode",
        ],
    ),
    (
        "sources: {a: {type: memory, channel: '${event.x}'}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:39: `${...}` is not filled in here; only `${env:NAME}`, `${file:PATH}` and `${credential:NAME}` are; a plain `${` is written `$${`",
        ],
    ),
    (
        "sources: {a: {type: memory, ack_order: never, replays: 5}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:40: `ack_order` is `never`; should be read or any",
            "sluiceway.yaml:1:56: `replays` is `5`; should be true or false",
        ],
    ),
    (
        "sources: {' a': {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: ' a'\nrules: [{to: x}]\n",
        [
            "flow.yaml:1:7: `from` cannot be a name; should be printable, with no space at its ends",
            "sluiceway.yaml:1:11: ` a` cannot be a name; should be printable, with no space at its ends",
        ],
    ),
    (
        "sources: [a]\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:10: `sources` is a list; should be a mapping of names to settings",
        ],
    ),
    (
        "sinks: {x: {type: file}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:12: `path` is missing; should be given: the file, relative to the daemon's file",
        ],
    ),
    (
        "sinks: {x: {type: memory, batch: 5}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:34: `batch` is `5`; should be a mapping",
        ],
    ),
    (
        "sinks: {x: {type: memory, batch: {records: 0, bytes: 1XB, wait: -1}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:44: `records` is `0`; should be more than 0",
            "sluiceway.yaml:1:54: `bytes` is `1XB`; should be a size such as 64KiB, 10MB or 1GiB",
            "sluiceway.yaml:1:65: `wait` is `-1`; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        "sinks: {x: {type: memory, retry: {attempts: many, backoff: 1h}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:45: `attempts` is `many`; should be a whole number",
            "sluiceway.yaml:1:60: `backoff` is `1h`; should be at most 30s",
        ],
    ),
    (
        "sinks: {x: {type: memory, timeout: 0}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:36: `timeout` is `0`; should be more than 0",
        ],
    ),
    (
        "sinks: {x: {type: memory, queue: {records: 1.5}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:44: `records` is `1.5`; should be a whole number",
        ],
    ),
    (
        "sinks: {x: {type: memory, when_full: drop, ordered: yes, encode: xml}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:38: `when_full` is `drop`; should be block or dead_letter",
            "sluiceway.yaml:1:53: `ordered` is `yes`; should be true or false",
            f"sluiceway.yaml:1:66: `encode` is `xml`; should be same, {DECODES}",
        ],
    ),
    (
        "sinks: {x: {type: memory, topic: 5}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:34: `topic` is `5`; should be text",
        ],
    ),
    (
        "sinks: {x: {type: memory, topic: 'a${event.x +}'}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:47: the expression ends here, where a value should follow",
        ],
    ),
    (
        "sinks: {x: {type: memory, topic: 'a${evnt.x}'}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:38: `evnt` is not known here; did you mean `event`?",
        ],
    ),
    (
        "sinks: {x: {type: memory, topic: 'a${event.x'}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:36: this `${` is never closed; should end with `}`; `$${` is a plain `${`",
        ],
    ),
    (
        "sinks: {x: {type: memory, channel: 'a${event.x}'}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:38: `${...}` is not filled in here; only some settings take CEL: headers, key, path, subject, table, topic; a plain `${` is written `$${`",
        ],
    ),
    (
        "sinks: {x: {type: memory, headers: {a: '${evnt.x}'}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:43: `evnt` is not known here; did you mean `event`?",
        ],
    ),
    (
        "sinks: {x: {type: memory, allow: {tpic: [a]}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:35: `tpic` is no setting that a record may choose; did you mean `topic`?",
        ],
    ),
    (
        "sinks: {x: {type: memory, allow: {topic: []}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:42: `topic` is an empty list; should be a list of patterns",
        ],
    ),
    (
        "sinks: {x: {type: memory, allow: {topic: [5]}}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:43: `topic[0]` is a number; should be a pattern such as events.*; as text it is '5'",
        ],
    ),
    (
        "sinks: {x: {type: memory, allow: [topic]}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:34: `allow` is a list; should be a mapping of settings to patterns, such as {topic: [events.*]}",
        ],
    ),
    (
        "sinks: {drop: {type: memory}, x: {type: memory}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:9: `drop` is a word of the rules; should be another name",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: []\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:8: `flows` is an empty list; should be a list of rules files, such as [rules/*.yaml]",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: 5\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:8: `flows` is a number; should be a list of rules files, such as [rules/*.yaml]",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [rules/*.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:9: no file matches `rules/*.yaml`; should be relative to FOLDER",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [gone.yaml, 5]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:9: no file matches `gone.yaml`; should be relative to FOLDER",
            "sluiceway.yaml:3:20: `flows[1]` is a number; should be a list of rules files, such as [rules/*.yaml]; as text it is '5'",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nstate_dir: '${env:NOPE}'\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: the environment has no `NOPE`; should be set, or have a default: `${env:NOPE:-default}`",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nstate_dir: 'a/${env:a-b}'\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:15: `a-b` is no name of a variable; should be like `${env:NAME:-default}`",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nstate_dir: '${file:gone}'\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `gone` cannot be read: No such file or directory; should be a file that holds the value",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nstate_dir: '${file:latin}'\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `latin` cannot be read: it is not UTF-8; should be a file that holds the value",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\ndrain_timeout: '${env:SECRET}'\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `drain_timeout` is not accepted; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        "sinks: {x: {type: memory, when_full: '${env:SECRET}', timeout: '${env:SECRET}'}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:38: `when_full` is text; should be block or dead_letter",
            "sluiceway.yaml:1:64: `timeout` is not accepted; should be a duration such as 500ms, 10s, 5m or 1h30m",
        ],
    ),
    (
        "sinks: {x: {type: http, url: 'http://u:${env:SECRET}@127.0.0.1/'}}\nsources: {a: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:30: `url` is not accepted; should hold no credentials; `auth: {basic: ...}` is for them",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nhttp: {listen: '${env:SECRET}'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:16: `listen` is not accepted; should be host:port, such as 127.0.0.1:9600 or [::1]:9600",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\nmodels: {m: '${env:SECRET}'}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:4:13: `***` is no name of a model; should be a pydantic model such as shop.models:Order",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: b\nrules: [{to: x}]\n",
        [
            "flow.yaml:1:7: there is no source `b`; known: a",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: X1}]\n",
        [
            "flow.yaml:2:14: there is no sink `X1`; known: x, drop, dead_letter",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: [drp]}, {to: {sink: y, key: 1}}]\n",
        [
            "flow.yaml:2:15: there is no sink `drp`; did you mean `drop`?",
            "flow.yaml:2:34: there is no sink `y`; known: x, drop, dead_letter",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: {sink: x, topc: t}}]\n",
        [
            "flow.yaml:2:24: a delivery to `x` cannot choose `topc`; did you mean `topic`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\ncontract: {model: m}\n",
        [
            "flow.yaml:3:19: there is no model `m`; there are none",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\ntests: [{given: {event: 1}, then: {x: [{tpic: a}]}}]\n",
        [
            "flow.yaml:3:41: a record at `x` has no `tpic`; did you mean `topic`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}, y: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\ntests: [{name: t, given: {event: 1}, then: {z: 1, y: 1}}]\n",
        [
            "flow.yaml:3:45: this flow has no sink `z`; known: x, drop, dead_letter",
            "flow.yaml:3:51: this flow has no sink `y`; known: x, drop, dead_letter",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {vip: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: vipp}]\ntests: [{name: t, given: {event: 1}, then: {vip: 1}}]\n",
        [
            "flow.yaml:2:14: there is no sink `vipp`; did you mean `vip`?",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\notherwise: {error: {sink: z}}\n",
        [
            "flow.yaml:3:27: there is no sink `z`; known: x, drop, dead_letter",
        ],
    ),
    (
        "sources: {a: {type: http, verify: {scheme: gitlab, secret: s}}, b: {type: http, path: /b, verify: {secret: s}}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n",
        "from: [a, b]\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:44: `scheme` is `gitlab`; should be one of github, stripe, slack, hmac",
            "sluiceway.yaml:1:91: `scheme` is missing; should be what tells of which kind it is",
        ],
    ),
    (
        "sources: {a: {type: stdin}}\nsinks: {x: {type: memory}, reject: {type: memory}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\notherwise: {invalid: reject}\n",
        [
            "flow.yaml:3:22: `reject` needs a source that answers who sent the records, and `a` is a stdin; should be `dead_letter`, `drop` or a sink",
            "sluiceway.yaml:2:28: `reject` is a word of the rules; should be another name",
        ],
    ),
    (
        "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml, other.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "other.yaml:1:7: a second flow is named `flow`; the first is in flow.yaml; should have another `flow:`",
            "other.yaml:2:7: source `a` is read by flow `flow` already; should be another source, declared for this flow with its own group",
        ],
    ),
    (
        "flows: [flow.yaml]\nsinks:\n  x: {type: memory, topic: '${foo(1)} ${bar(evnt)}'}\n  y: {type: memory, topic: 'a', key: \"${a b}\"}\nsources: {a: {type: memory}}\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:31: there is no function foo",
            "sluiceway.yaml:3:41: there is no function bar",
            "sluiceway.yaml:3:45: `evnt` is not known here; did you mean `event`?",
            "sluiceway.yaml:4:43: b follows a value with no operator between them",
        ],
    ),
    (
        "sources: {a: {use: m}}\nsinks: {x: {use: m}}\nconnections: {m: {type: kafak}}\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:25: no connector of type `kafak` is installed; did you mean `kafka`?",
        ],
    ),
    (
        "sources: {a: {use: m}}\nsinks: {x: {use: m}}\nconnections: [m]\nflows: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:3:14: `connections` is a list; should be a mapping of names to settings",
        ],
    ),
    (
        "source: {a: {use: m}}\nsink: {x: {use: m}}\nconnection: {m: {type: memory}}\nmodel: {m: 'a:b'}\nflow: [flow.yaml]\n",
        "from: a\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:1:1: `source` is not known here; did you mean `sources`?",
            "sluiceway.yaml:2:1: `sink` is not known here; did you mean `sinks`?",
            "sluiceway.yaml:3:1: `connection` is not known here; did you mean `connections`?",
            "sluiceway.yaml:4:1: `model` is not known here; did you mean `models`?",
            "sluiceway.yaml:5:1: `flow` is not known here; did you mean `flows`?",
        ],
    ),
    (
        "flows: [flow.yaml]\nsource: {a: {type: memory}}\nmodel: {m: 'a:b'}\nsinks: {x: {type: file, pth: a}}\n",
        "from: a\ncontract: {model: m}\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:2:1: `source` is not known here; did you mean `sources`?",
            "sluiceway.yaml:3:1: `model` is not known here; did you mean `models`?",
            "sluiceway.yaml:4:25: `pth` is not known here; did you mean `path`?",
        ],
    ),
    (
        "sinks: {x: {type: memory}}\nsources:\n  a:\n    type: generate\n    template: {a: '{sequnce}', b: [1, '{int:5:1}'], c: {word: null}}\n  b:\n    type: generate\n    template:\n      - {weight: 0, template: \"{x\"}\n      - \"\\u007bword:5}\"\nflows: [flow.yaml]\n",
        "from: [a, b]\nrules: [{to: x}]\n",
        [
            "sluiceway.yaml:5:19: `a`: {sequnce} is no placeholder; did you mean {sequence}? (braces themselves are written {{ and }})",
            "sluiceway.yaml:5:39: `b[1]`: {int:5:1} should have two finite numbers, the second no lower than the first",
            "sluiceway.yaml:5:56: `c`: {word} should stand in quotes: YAML takes it for a map",
            "sluiceway.yaml:9:18: `weight` is `0`; should be a number above 0",
            "sluiceway.yaml:9:31: `template`: a single '{'; a brace is written '{{'",
            "sluiceway.yaml:10:9: `template[1]`: {word:5} takes nothing after its name",
        ],
    ),
]


TEN = [
    "prod.yaml:2:1: `,` or the end of the `{` of line 1 should stand here",
    "rules/orders.schema.json:1:10: this is not a JSON Schema: \"objct\" is not valid under any of the schemas listed in the 'anyOf' keyword; at /type",
    'rules/orders.yaml:14:11: YAML does not read `"gold" in event.tiers` as one text; should be quoted: when: \'"gold" in event.tiers\'',
    "rules/orders.yaml:19:7: `evnt` is not known here; did you mean `event`?",
    "rules/orders.yaml:22:5: `continue` with `to: drop`; what is dropped does not go on",
    "sluiceway.yaml:3:16: `drain_timeout` is `10 parsecs`; should be a duration such as 500ms, 10s, 5m or 1h30m",
    "sluiceway.yaml:8:62: `backoff` is `1h`; should be at most 30s",
    "sluiceway.yaml:10:23: `replys` is not known here; did you mean `replays`?",
    "sluiceway.yaml:13:54: '&' is not CEL: use && for 'and'",
    "sluiceway.yaml:15:11: no sink of type `fiel` is installed; did you mean `file`?",
]


def faults_of(folder: Path, *names: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(Refused) as refused:
        load([folder / name for name in names], environment or {})
    shown = [str(fault).replace(f"{folder}/", "") for fault in refused.value.faults]
    return [text.replace(str(folder.resolve()), "FOLDER") for text in shown]


DECODES = ", ".join([*FORMATS][:-1]) + f" or {[*FORMATS][-1]}"


@pytest.mark.parametrize(("daemon", "rules", "faults"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_reported_at_its_place(tmp_path: Path, daemon: str, rules: str, faults: list[str]) -> None:
    (tmp_path / "sluiceway.yaml").write_text(daemon)
    (tmp_path / "flow.yaml").write_text(rules)
    (tmp_path / "other.yaml").write_text("flow: flow\nfrom: a\nrules: [{to: x}]\n")
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "broken_models.py").write_text("1 / 0\n")
    assert faults_of(tmp_path, "sluiceway.yaml", environment={"SECRET": SECRET}) == faults


def test_ten_faults_in_four_files_are_ten_faults(tmp_path: Path) -> None:
    """Syntax, structure, types, expressions and names, of every file at once."""
    daemon = DAEMON.replace("drain_timeout: 10s", "drain_timeout: 10 parsecs")
    daemon = daemon.replace("replays: true", "replys: true").replace("type: file", "type: fiel")
    daemon = daemon.replace("${event.tenant}", "${event.tenant &}").replace("backoff: 200ms", "backoff: 1h")
    rules = RULES.replace('when: big && event.tier == "gold"', 'when: "gold" in event.tiers')
    rules = rules.replace('event.type == "heartbeat" ||', "evnt.type ||")
    rules = rules.replace("to: drop", "to: drop\n    continue: true")
    write_files(tmp_path)
    (tmp_path / "prod.yaml").write_text("vars: {limit: 1\n")
    (tmp_path / "sluiceway.yaml").write_text(daemon)
    (tmp_path / "rules" / "orders.yaml").write_text(rules)
    (tmp_path / "rules" / "orders.schema.json").write_text('{"type": "objct"}')
    found = faults_of(tmp_path, "sluiceway.yaml", "prod.yaml", environment=ENVIRONMENT)
    assert len(found) == 10
    assert found == TEN


CUT = [
    (
        # What was not read may be in the file.
        "flows: [flow.yaml]\nstate_dir: 5\n\thttp: {}\n",
        [
            "sluiceway.yaml:3:1: a tab; YAML indents with spaces",
        ],
    ),
    (
        # What was read to its end is known.
        "flows: [flow.yaml]\nsources: {a: {type: memory}, b: {type: file}}\nsinks: {y: {type: memory}}\n@\n",
        [
            "flow.yaml:2:14: there is no sink `x`; known: y, drop, dead_letter",
            "sluiceway.yaml:2:33: `path` is missing; should be given: a path or a glob (`*`, `?`, `[a-z]`, `**`), or several; relative to the daemon's file",
            "sluiceway.yaml:4:1: this is not YAML: found character '@' that cannot start any token",
        ],
    ),
    (
        # The last sink, and what uses the connections, may go on behind the tab.
        "flows: [flow.yaml]\nsources: {a: {use: m}}\nsinks:\n  x: {use: m}\n  y:\n    type: file\n\t\tpath: y\n",
        [
            "sluiceway.yaml:7:1: a tab; YAML indents with spaces",
        ],
    ),
    (
        # A line that stands too far to the left ends what it belongs to.
        "flows: [flow.yaml]\nsources: {a: {type: memory}}\nsinks:\n  y:\n    type: file\n   path: y\n  x: {type: memory}\n",
        [
            "sluiceway.yaml:6:4: this does not belong to what stands before it; check quotes and indentation",
        ],
    ),
    (
        # So does the one that begins with what is broken.
        "flows: [flow.yaml]\nsources: {a: {type: memory}}\nsinks:\n  y:\n    type: file\n  path: [y\n  x: {type: memory}\n",
        [
            "sluiceway.yaml:5:5: `path` is missing; should be given: the file, relative to the daemon's file",
            "sluiceway.yaml:6:11: `,` or the end of the `[` of line 6 should stand here",
        ],
    ),
    (
        # What is broken belongs to what its indentation says.
        "flows: [flow.yaml]\nsources: {a: {type: memory}}\nhttp:\n  listen: 0.0.0.0:9600\n@\n",
        [
            "sluiceway.yaml:4:11: `0.0.0.0:9600` can be reached from other machines, and there is no `token`; should have a `token`, or listen on 127.0.0.1",
            "sluiceway.yaml:5:1: this is not YAML: found character '@' that cannot start any token",
        ],
    ),
    (
        'flows: [flow.yaml]\nsources: {a: {type: memory, ack_order: "never"}}\ndrain_timeout: soon\n  @\nvars: {}\nsinks:\n  - x: [\n',
        [
            "sluiceway.yaml:2:40: `ack_order` is `never`; should be read or any",
            "sluiceway.yaml:3:16: `drain_timeout` is `soon @`; should be a duration such as 500ms, 10s, 5m or 1h30m",
            "sluiceway.yaml:7:3: `sinks` is a list; should be a mapping of names to settings",
            "sluiceway.yaml:8:1: this is not YAML: expected the node content, but found '<stream end>'",
        ],
    ),
]


@pytest.mark.parametrize(("daemon", "faults"), CUT, ids=range(len(CUT)))
def test_what_may_stand_behind_the_spot_where_yaml_ends_is_not_missed(
    tmp_path: Path, daemon: str, faults: list[str]
) -> None:
    (tmp_path / "sluiceway.yaml").write_text(daemon)
    (tmp_path / "flow.yaml").write_text("from: a\nrules: [{to: x}]\n")
    assert faults_of(tmp_path, "sluiceway.yaml") == faults


def test_a_bracket_that_is_missing_hides_nothing_below_it_and_invents_nothing(tmp_path: Path) -> None:
    (tmp_path / "sluiceway.yaml").write_text(
        "sources:\n  a: {type: stdin\nsinks:\n  x: {type: fiel}\n  y: {type: file}\nflows: [flow.yaml]\nvars: 5\n"
    )
    (tmp_path / "flow.yaml").write_text("from: [a, b]\nrules: [{to: [x, z]}]\n")
    assert faults_of(tmp_path, "sluiceway.yaml") == [
        "flow.yaml:1:11: there is no source `b`; known: a",
        "flow.yaml:2:18: there is no sink `z`; known: x, y, drop, dead_letter",
        "sluiceway.yaml:2:18: `,` or the end of the `{` of line 2 should stand here",
        "sluiceway.yaml:4:13: no sink of type `fiel` is installed; did you mean `file`?",
        "sluiceway.yaml:5:6: `path` is missing; should be given: the file, relative to the daemon's file",
        "sluiceway.yaml:7:7: `vars` is `5`; should be a mapping",
    ]


def test_what_is_never_closed_hides_nothing_in_the_line_itself_or_below_it(tmp_path: Path) -> None:
    (tmp_path / "sluiceway.yaml").write_text("""\
sources:
  a: {type: memory, channel: "a}
  c: {type: memory, channel: [c}
sinks:
  s1: {type: memory, channel: "x"}
  s2: type: memory
  s3: {type: memory, ordered: always, channel: "y"}
flows: [flow.yaml]
""")
    (tmp_path / "flow.yaml").write_text("""\
from: a
let: {big: evnt.u > 1
rules:
  - {name: a, whne: event.x, to: s1
  - {name: b, when: event.l[0] > bgi, to: s1}
  - {name: c, to: s8
  - []
  - name: d
   to: s1
  - {name: e, to: s9}
  - {name: f, to: s1}
  - name: g
    when: event.a: 1
    to: s1
""")
    assert faults_of(tmp_path, "sluiceway.yaml") == [
        "flow.yaml:2:12: `evnt` is not known here; did you mean `event`?",
        "flow.yaml:2:22: `,` or the end of the `{` of line 2 should stand here",
        "flow.yaml:4:15: `whne` is not known here; did you mean `when`?",
        "flow.yaml:4:36: `,` or the end of the `{` of line 4 should stand here",
        "flow.yaml:5:21: YAML does not read `event.l[0] > bgi` as one text; should be quoted: when: 'event.l[0] > bgi'",
        "flow.yaml:5:34: `bgi` is not known here; a field of the record is `event.bgi`; known: big, event, meta, vars",
        "flow.yaml:6:19: there is no sink `s8`; known: s1, s2, s3, drop, dead_letter",
        "flow.yaml:6:21: `,` or the end of the `{` of line 6 should stand here",
        "flow.yaml:7:5: `rules[3]` is a list; should be a rule, such as {name: rest, to: archive}",
        "flow.yaml:9:4: this line is indented by mistake; should begin in column 5",
        "flow.yaml:10:19: there is no sink `s9`; known: s1, s2, s3, drop, dead_letter",
        "flow.yaml:13:11: YAML does not read `event.a: 1` as one text; should be quoted: when: 'event.a: 1'",
        "sluiceway.yaml:2:30: a quote is opened and never closed",
        "sluiceway.yaml:3:32: `,` or the end of the `[` of line 3 should stand here",
        "sluiceway.yaml:6:7: YAML does not read `type: memory` as one text; should be quoted: s2: 'type: memory'",
        "sluiceway.yaml:7:31: `ordered` is `always`; should be true or false",
    ]


def test_every_known_fault_is_reported_beside_one_that_breaks_the_yaml() -> None:
    assert [(case, wrong) for case, wrong in fuzz_faults.fuzz(30, seed=9) if wrong] == []


def test_numbers_and_booleans_are_what_they_are_written_as(tmp_path: Path) -> None:
    text = "sources: {a: {type: memory, replays: 1}, b: {type: file, path: f, follow: 'true'}}\n"
    text += "sinks: {x: {type: memory, ordered: 0, batch: {records: '5'}, queue: {records: 5.0}, retry: {attempts: true}}}\nflows: [flow.yaml]\n"
    (tmp_path / "sluiceway.yaml").write_text(text)
    (tmp_path / "flow.yaml").write_text("from: [a, b]\nrules: [{to: x}]\n")
    assert faults_of(tmp_path, "sluiceway.yaml") == [
        "sluiceway.yaml:1:38: `replays` is `1`; should be true or false",
        "sluiceway.yaml:1:75: `follow` is `true`; should be true or false",
        "sluiceway.yaml:2:36: `ordered` is `0`; should be true or false",
        "sluiceway.yaml:2:56: `records` is `5`; should be a whole number",
        "sluiceway.yaml:2:79: `records` is `5.0`; should be a whole number",
        "sluiceway.yaml:2:103: `attempts` is `true`; should be a whole number",
    ]


def test_what_an_expression_reads_of_vars_is_there_unless_it_allows_for_its_absence(tmp_path: Path) -> None:
    text = "sources: {a: {type: memory}}\nsinks: {x: {type: memory, topic: 't-${vars.limt}-${vars.limit}'}}\nflows: [flow.yaml]\n"
    rules = "from: a\nrules:\n- when: event.x > vars.limt && vars.deep.er == vars['of'] && vars.deep.est.x\n  to: {sink: x, topic: 'a${vars.limits}'}\n"
    rules += "- when: has(vars.no) || vars.?no.orValue(1) == 1 || vars.no == 1 || [1].exists(vars, vars.no)\n- to: x\n"
    (tmp_path / "sluiceway.yaml").write_text(text + "vars: {limit: 1, deep: {est: [1]}}\n")
    (tmp_path / "flow.yaml").write_text(rules)
    absent = "is not among `vars` of the daemon's file"
    assert faults_of(tmp_path, "sluiceway.yaml") == [
        f"flow.yaml:3:19: `vars.limt` {absent}; did you mean `limit`?",
        f"flow.yaml:3:32: `vars.deep.er` {absent}; known: est",
        f"flow.yaml:3:48: `vars.of` {absent}; known: limit, deep",
        "flow.yaml:3:62: `vars.deep.est` is a list, which has no field `x`",
        f"flow.yaml:4:28: `vars.limits` {absent}; did you mean `limit`?",
        "flow.yaml:5:3: this rule does nothing; should have `to`, or be a step with `set`, `unset`, `emit` or `expect`",
        "flow.yaml:5:86: `vars` is an int, which has no field `no`",
        f"sluiceway.yaml:2:39: `vars.limt` {absent}; did you mean `limit`?",
    ]
    (tmp_path / "sluiceway.yaml").write_text(text + "var: {limt: 1}\n")
    assert not any("among" in fault for fault in faults_of(tmp_path, "sluiceway.yaml"))


def test_settings_of_http_that_do_not_go_together_are_faults(tmp_path: Path) -> None:
    (tmp_path / "sluiceway.yaml").write_text("""\
sources:
  a: {type: http_poll, url: "http://one.example/", decode: csv, tls: {ca: ca.pem}}
  b: {type: http_poll, url: "https://one.example/", decode: bytes, tls: {ca: ca.pem}}
sinks:
  x: {type: http, url: "http://one.example/", tls: {server_name: one}, encode: msgpack, body: json_array}
  y: {type: http, url: "http://one.example/", body: {before: '{"all": [', after: ']}'}}
  z: {type: http, url: "http://one.example/${event.a}", tls: {server_name: one}, proxy: "https://proxy:1"}
  w: {type: http, url: "http://one.example/", tls: {server_name: one}, healthcheck: {url: "https://two.example/"}}
  v: {type: http, url: "${event.url}", tls: {server_name: one}, encode: text, body: json_array}
flows: [flow.yaml, other.yaml]
""")
    (tmp_path / "flow.yaml").write_text("from: a\nrules: [{to: [x, y, z]}]\n")
    (tmp_path / "other.yaml").write_text("from: b\nrules: [{to: [v, w]}]\n")
    assert [line for line in faults_of(tmp_path, "sluiceway.yaml") if "columns" not in line] == [
        "sluiceway.yaml:2:70: `tls` beside a URL that begins with http:// does nothing; should go with one of https://",
        "sluiceway.yaml:5:52: `tls` beside a URL that begins with http:// does nothing; should go with one of https://",
        "sluiceway.yaml:5:95: a body of JSON cannot hold what goes out in msgpack; should go with `encode: json`, or be `stream` or `each`",
        "sluiceway.yaml:6:53: a body of JSON cannot hold what goes out in csv; should go with `encode: json`, or be `stream` or `each`",
    ]


def test_what_is_merged_from_a_file_that_was_cut_short_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("flows: [flow.yaml]\nsinks: {x: {type: file}, y: {use: m}}\n")
    (tmp_path / "prod.yaml").write_text("sinks: {x: {ordered: maybe}}\n@\n")
    (tmp_path / "flow.yaml").write_text("from: a\nrules: [{to: [x, z]}]\n")
    assert faults_of(tmp_path, "base.yaml", "prod.yaml") == [
        "prod.yaml:1:22: `ordered` is `maybe`; should be true or false",
        "prod.yaml:2:1: this is not YAML: found character '@' that cannot start any token",
    ]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert faults_of(tmp_path, "gone.yaml", "folder") == [
        "folder: cannot be read: Is a directory; should be the daemon's file",
        "gone.yaml: cannot be read: No such file or directory; should be the daemon's file",
    ]


def test_what_may_never_end_is_not_read(tmp_path: Path) -> None:
    """A pipe that nobody writes to would hold up every reload."""
    text = "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [rules/*]\n"
    (tmp_path / "sluiceway.yaml").write_text(text)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "flow.yaml").write_text("from: a\nrules: [{to: x}]\n")
    os.mkfifo(tmp_path / "rules" / "pipe.yaml")
    assert faults_of(tmp_path, "sluiceway.yaml") == [
        "sluiceway.yaml:3:9: `rules/pipe.yaml` cannot be read: it is no regular file",
    ]


def test_a_fault_of_a_merged_file_is_placed_in_the_file_that_says_it(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "prod.yaml").write_text("sinks:\n  vip: {timeout: 0, topc: x}\n")
    assert faults_of(tmp_path, "sluiceway.yaml", "prod.yaml", environment=ENVIRONMENT) == [
        "prod.yaml:2:18: `timeout` is `0`; should be more than 0",
        "prod.yaml:2:21: `topc` is not known here; did you mean `topic`?",
    ]


def test_an_entry_that_is_to_change_one_of_another_file_is_named_as_that_is(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "sources: {orders: {type: memory}}\nsinks: {vip: {type: memory}, vap: {ordered: true}}\n"
        "connections: {main: {type: memory}}\nflows: [flow.yaml]\n"
    )
    (tmp_path / "prod.yaml").write_text(
        "sources: {order: {replays: true}}\nsinks: {vipp: {batch: {records: 5}}, rest: {ordered: true}}\n"
        "connections: {mian: {}}\n"
    )
    (tmp_path / "flow.yaml").write_text("from: orders\nrules: [{to: vip}]\n")
    changes = "changes nothing that another file declares, and has no `type` of its own"
    found = faults_of(tmp_path, "base.yaml", "prod.yaml")
    assert [text for text in found if "is missing" not in text] == [
        f"prod.yaml:1:11: `order` {changes}; did you mean `orders`?",
        f"prod.yaml:2:9: `vipp` {changes}; did you mean `vip`?",
        f"prod.yaml:3:15: `mian` {changes}; did you mean `main`?",
    ]
    assert [text.partition(";")[0] for text in found if "is missing" in text] == [
        "base.yaml:2:35: `type` is missing",
        "prod.yaml:2:44: `type` is missing",
    ]


@pytest.mark.parametrize("secret", ["x", "5s!", "0.0.0.0:9600", "it's \\ secret", "naïve-pässword"])
def test_what_comes_from_outside_is_never_shown(tmp_path: Path, secret: str) -> None:
    """Wherever it stands, and however short it is."""
    text = """
sources: {a: {type: memory, ack_order: '${env:S}', replays: '${env:S}'}, b: {type: '${env:S}'}, c: {use: '${env:S}'}}
sinks: {x: {type: memory, timeout: '${env:S}', queue: {bytes: '${env:S}'}, when_full: '${env:S}', topic: ['${env:S}']}}
http: {listen: '${env:S}'}
models: {m: '${env:S}', n: 'json:${env:S}', o: '${env:S}:x'}
flows: ['${env:S}']
drain_timeout: '${env:S}'
"""
    (tmp_path / "sluiceway.yaml").write_text(text)
    with pytest.raises(Refused) as refused:
        load([tmp_path / "sluiceway.yaml"], {"S": secret})
    assert len(refused.value.faults) >= 12
    for fault in refused.value.faults:
        words = f"{fault.what} {fault.hint}".split()
        assert not any(word.strip("`'\",:;") == secret for word in words), fault
        assert len(secret) < 4 or secret not in str(fault), fault


def test_mutated_files_and_expressions_give_faults_and_nothing_else() -> None:
    outcomes = set(fuzz(250, seed=20))
    assert outcomes >= {"refused", "accepted", "expression", "no expression"}


def test_mutations_depend_on_the_seed_alone() -> None:
    import random

    assert mutate(random.Random(7), b"abc") == mutate(random.Random(7), b"abc")
    assert {mutate(random.Random(n), b"abc") for n in range(50)} != {b"abc"}
