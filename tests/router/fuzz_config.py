"""Mutated configuration files and expressions: each gives a configuration, or faults at places that exist.

python -m tests.router.fuzz_config --count 100000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from router.config import load
from rules import cel
from rules.faults import Fault, Refused

SECRET = "s3cr3t-of-the-environment"
ENVIRONMENT = {"PASSWORD": SECRET, "CHANNEL": "orders"}

DAEMON = """\
state_dir: ./state                    # positions and dead letters
http: {listen: 127.0.0.1:9600, token: "${env:PASSWORD}"}
drain_timeout: 10s
vars: {regions: [eu, us], limit: 500.0}
connections:
  main: {type: memory, channel: "${env:CHANNEL:-none}"}
defaults:
  sink: {batch: {bytes: 2MiB}, retry: {attempts: 3, backoff: 200ms}}
sources:
  orders: {use: main, replays: true, decode: json}
sinks:
  vip:     {use: main, topic: vip-orders, timeout: 5s}
  tenant:  {use: main, topic: "events.${event.tenant}", allow: {topic: [events.*]}, when_full: dead_letter}
  archive:
    type: file
    path: "archive/${string(event.type)}.ndjson"
    ordered: false
    queue: {records: 1000, bytes: 64KiB}
flows: [rules/*.yaml]                 # relative to this file
"""

RULES = """\
flow: orders
from: [orders]
contract:
  schema: orders.schema.json
  expect: {amount is not negative: event.amount >= 0.0}
let:
  big: event.amount > vars.limit
  pro: "event.user.plan == 'pro'"
rules:
  - name: tier
    set: {event.tier: "${pro ? 'gold' : 'plain'}", "event.items[*].seen": true}
    unset: [event.password, 'event["a-b"]']
  - name: vip
    when: big && event.tier == "gold"
    to: [vip, {sink: tenant, key: "${event.user.id}", set: {event.user.email: "***"}}]
    continue: true
  - name: noise
    when: >-
      event.type == "heartbeat" ||
      event.type in ["ping", "pong"]
    to: drop
  - name: items
    when: 'has(event.items) && size(event.items) > 0'
    split: {each: event.items, as: item}
    emit: {id: "${item.id}", text: "item ${item.id} of ${event.id}, $${literal}"}
    to: vip
  - {name: rest, to: archive}
otherwise: {undecodable: dead_letter, invalid: pass, error: [dead_letter]}
tests:
  - name: a big order of a pro
    given: [{event: {type: order, tenant: acme, amount: 900, user: {id: u1, plan: pro, email: a@b.c}}}]
    then: {vip: 1, tenant: [{topic: events.acme, key: u1, event: {tier: gold}}], archive: 1}
  - name: no JSON
    given: {raw: "{", time: 2026-01-31T12:00:00Z}
    then: {dead_letter: [{stage: decode}]}
"""

SCHEMA = '{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number", "minimum": 0}}}'

EXPRESSIONS = (
    "event.amount > 500.0 && event.tier == 'gold' || !has(event.x)",
    "event.items.exists(x, x.price * 2 >= 10) ? [1, 2u, 3.5e-1] : {'a': b'\\x00', \"b\": r'\\d+'}",
    "event.text.matches('^[a-z]+$') && size(event.text) in [1, 0x10] && timestamp(event.t) < meta.time",
    "event.?a[?0].orValue('''x''') + string(cel.bind(y, 1, y + y)) // end",
)

_SCRAPS = tuple(
    scrap.encode("latin-1")
    for scrap in (
        *"'\"!{}[],\n\t|>%@`\\-$.:#&*?~\0\r\xff",
        *(": ", " #", "&a ", "*a", "- ", "\n  ", "? ", "---\n", "...", "\r\n", "<<: ", "!!int ", "!x", "'" * 3),
        *("${", "$${", "${env:X}", "${env:PASSWORD}", "${file:/nope}", "\xef\xbb\xbf", "\xf0\x9f\x98\x80", "null"),
        *("true", "1e999", "-1", ".nan", " in ", " && ", "event", "meta.x", "((((", "))))", "[[[[[[", "0x"),
    )
)


def mutate(random_: random.Random, data: bytes) -> bytes:
    """The data with up to four changes: something cut out, put in, doubled, swapped or overwritten."""
    for _ in range(random_.randint(1, 4)):
        start = random_.randrange(len(data) + 1)
        end = min(len(data), start + random_.choice((1, 1, 2, 5, 20)))
        piece = data[start:end]
        other = random_.choice((random_.choice(_SCRAPS), bytes([random_.randrange(256)])))
        data = random_.choice(
            (
                data[:start] + data[end:],
                data[:start] + other + data[start:],
                data[:start] + other + data[end:],
                data[:end] + piece + data[end:],
                data[:start] + piece[::-1] + data[end:],
            )
        )
    return data


def check_faults(faults: list[Fault], folder: Path) -> None:
    """Every fault says something, and points at a place that its file has."""
    assert faults
    for fault in faults:
        assert fault.what
        assert SECRET not in str(fault), fault
        file = Path(fault.place.file)
        assert file.is_relative_to(folder), fault
        if fault.place.line:
            text = file.read_bytes().decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
            lines = text.split("\n")
            assert 1 <= fault.place.line <= len(lines), fault
            assert 1 <= fault.place.column <= len(lines[fault.place.line - 1]) + 2, fault


def write_files(folder: Path) -> Path:
    """The files that are mutated, as they are when they are right. Returns the daemon's."""
    (folder / "rules").mkdir()
    (folder / "rules" / "orders.yaml").write_text(RULES)
    (folder / "rules" / "orders.schema.json").write_text(SCHEMA)
    (folder / "sluiceway.yaml").write_text(DAEMON)
    return folder / "sluiceway.yaml"


def fuzz_file(random_: random.Random, folder: Path) -> str:
    """Load the configuration with one of its files mutated, and say what came of it."""
    name, right = random_.choice(
        (("sluiceway.yaml", DAEMON), ("rules/orders.yaml", RULES), ("rules/orders.schema.json", SCHEMA))
    )
    data = mutate(random_, right.encode())
    if b"/**" in data:  # it would search the whole disk
        return "skipped"
    (folder / name).write_bytes(data)
    try:
        load([folder / "sluiceway.yaml"], ENVIRONMENT)
    except Refused as refused:
        check_faults(refused.faults, folder)
        return "refused"
    finally:
        (folder / name).write_text(right)
    return "accepted"


def fuzz_expression(random_: random.Random) -> str:
    """Compile a mutated expression, and say what came of it."""
    text = mutate(random_, random_.choice(EXPRESSIONS).encode()).decode(errors="replace")
    try:
        cel.compile(text)
    except cel.CelSyntaxError as error:
        fault = error
    else:
        return "expression"
    assert fault.message
    assert 0 <= fault.offset <= len(text)
    return "no expression"


def fuzz(count: int, seed: int) -> Iterator[str]:
    """What came of each of ``count`` mutations."""
    random_ = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        for _ in range(count):
            before = random_.getstate()
            try:
                yield fuzz_file(random_, folder) if random_.random() < 0.4 else fuzz_expression(random_)
            except GeneratorExit:
                return
            except BaseException:
                random_.setstate(before)
                print(f"the state before: random.Random({seed}) after {_} mutations", file=sys.stderr)
                raise


def main() -> None:
    """Run as many mutations as the command line says, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts = Counter[str]()
    for number, outcome in enumerate(fuzz(arguments.count, arguments.seed), 1):
        counts[outcome] += 1
        if number % 1000 == 0:
            print(number, dict(counts), flush=True)
    print("done", dict(counts))


if __name__ == "__main__":
    main()
