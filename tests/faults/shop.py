"""The load of the fault tests: records of two sources, the rules files for them, and these rules in plain Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zlib import crc32

import orjson
from oracle import Id, Verdict

ALPHA = """\
flow: alpha
from: [a]
contract:
  expect: {amount is not negative: event.amount >= 0.0}
rules:
  - name: tier
    when: event.plan == "pro"
    set: {event.tier: gold}
  - name: noise
    when: event.type == "heartbeat"
    to: drop
  - name: parked
    when: event.type == "parked"
    to: dead_letter
  - name: big
    when: event.size > 80
    to: wire
    continue: true
  - {name: rest, to: disk}
"""

BETA = """\
flow: beta
from: [b]
rules:
  - name: hot
    when: event.plan in ["pro", "team"] && !(event.type == "heartbeat")
    to: small
  - name: orders
    when: event.type == "order"
    to: disk
otherwise: {unmatched: drop}
"""

SINKS = ("disk", "small", "wire")
_ID = re.compile(rb'\{"id":"([a-z]\d*)/(\d+)"[,}]')
_PLANS = ("free", "pro", "team", "free")
_TYPES = ("order", "order", "view", "heartbeat", "click")
_WORDS = ("häuser", "東京", "plain", "a\\\\b", "emoji 🚰", 'quo\\"te', "tab\\there", "\\u2028")


class Shop:
    """Makes the records, and knows what must become of them. ``malformed``: one record in so many is not JSON, one
    breaks the contract, one makes a rule fail and one is parked; 0 for none.

    A source is ``a`` or ``b``, or a partition of one: ``a0``, ``a1``."""

    def __init__(self, malformed: int = 250, padding: int = 60) -> None:
        self._malformed = malformed
        self._padding = padding

    def lines(self, source: str, start: int, count: int) -> Iterator[bytes]:
        """Lines with their newlines, the same for the same numbers every time."""
        for number in range(start, start + count):
            yield self.line(source, number) + b"\n"

    def line(self, source: str, number: int) -> bytes:
        """The line with this number."""
        bits = crc32(b"%s/%d" % (source.encode(), number))
        amount, size, kind = str((bits >> 7) % 50_000 / 100), str(bits % 101), _TYPES[bits % 5]
        flaw = bits % self._malformed if self._malformed else -1
        if flaw == 1:
            amount = "-1.5"
        elif flaw == 2:
            size = '"large"'
        elif flaw == 3:
            kind = "parked"
        size_field = "" if bits % 13 == 0 and flaw != 2 else f'"size":{size},'
        text = (
            f'{{"id":"{source}/{number}","key":"k{bits % 97:02}","type":"{kind}","plan":"{_PLANS[bits >> 3 & 3]}",'
            f'"amount":{amount},{size_field}"note":"{_WORDS[bits >> 5 & 7]}{"." * (bits % (self._padding + 1))}"}}'
        )
        return text.encode()[: -9 - bits % 12] if flaw == 0 else text.encode()

    @staticmethod
    def identify(line: bytes) -> Id | None:
        """Every line, malformed ones too, begins with its source and number."""
        found = _ID.match(line)
        return (found[1].decode(), int(found[2])) if found else None

    @staticmethod
    def judge(source: str, line: bytes) -> Verdict:
        """The two rules files above, by hand."""
        try:
            event = orjson.loads(line)
        except ValueError:
            return Verdict(letters={"decode": 1})
        return _alpha(event) if source[0] == "a" else _beta(event)


def _alpha(event: dict[str, object]) -> Verdict:
    key = str(event["key"]).encode()
    if float(str(event["amount"])) < 0:
        return Verdict(letters={"contract": 1})
    out = {**event, "tier": "gold"} if event["plan"] == "pro" else None
    if event["type"] == "heartbeat":
        return Verdict(key=key)
    if event["type"] == "parked":
        return Verdict(letters={"rule": 1}, key=key)
    size = event.get("size")
    if isinstance(size, str):
        return Verdict(letters={"rule": 1}, key=key)
    sinks = {"disk": out}
    if isinstance(size, int) and size > 80:
        sinks["wire"] = out
    return Verdict(sinks=sinks, key=key)


def _beta(event: dict[str, object]) -> Verdict:
    key = str(event["key"]).encode()
    if event["plan"] in ("pro", "team") and event["type"] != "heartbeat":
        return Verdict(sinks={"small": None}, key=key)
    if event["type"] == "order":
        return Verdict(sinks={"disk": None}, key=key)
    return Verdict(key=key)
