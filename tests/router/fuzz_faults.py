"""Known faults beside one that breaks the YAML: all of them are reported, and nothing else.

python -m tests.router.fuzz_faults --count 10000 --seed 1
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz_config import DAEMON, ENVIRONMENT, RULES, write_files

from router.config import load
from rules.document import load as load_document
from rules.faults import Fault, Refused

DAEMON_FILE, RULES_FILE = "sluiceway.yaml", "rules/orders.yaml"
TEXTS = {DAEMON_FILE: DAEMON, RULES_FILE: RULES}
_LINES = {file: text.split("\n") for file, text in TEXTS.items()}


@dataclass(frozen=True)
class Known:
    """A fault that is made by writing ``wrong`` for ``right``, and how its report begins or goes on."""

    file: str
    right: str
    wrong: str
    what: str

    @property
    def line(self) -> int:
        """The number of its line."""
        text = TEXTS[self.file]
        return text.count("\n", 0, text.index(self.right)) + 1


KNOWN = (
    Known(DAEMON_FILE, "drain_timeout: 10s", "drain_timeout: 10 parsecs", "`drain_timeout` is `10 parsecs`"),
    Known(DAEMON_FILE, "listen: 127.0.0.1:9600", "lisen: 127.0.0.1:9600", "`lisen` is not known here"),
    Known(DAEMON_FILE, "backoff: 200ms", "backoff: 1h", "`backoff` is `1h`"),
    Known(DAEMON_FILE, "replays: true", "replys: true", "`replys` is not known here"),
    Known(DAEMON_FILE, "timeout: 5s", "timeout: 0", "`timeout` is `0`"),
    Known(DAEMON_FILE, "${event.tenant}", "${evnt.tenant}", "`evnt` is not known here"),
    Known(DAEMON_FILE, "bytes: 64KiB", "bytes: 64KB!", "`bytes` is `64KB!`"),
    Known(DAEMON_FILE, "ordered: false", "ordered: maybe", "`ordered` is `maybe`"),
    Known(RULES_FILE, "from: [orders]", "from: [ordrs]", "there is no source `ordrs`"),
    Known(RULES_FILE, "event.amount >= 0.0}", "evnt.amount >= 0.0}", "`evnt` is not known here"),
    Known(RULES_FILE, "big: event.amount", "big: evnt.amount", "`evnt` is not known here"),
    Known(RULES_FILE, "event.user.plan == 'pro'", "event.user.plan ==== 'pro'", "is not CEL"),
    Known(RULES_FILE, "unset: [event.password", "unset: [evnt.password", "`evnt.password` is not a path"),
    Known(RULES_FILE, "{sink: tenant, key:", "{sink: tenat, key:", "there is no sink `tenat`"),
    Known(RULES_FILE, "continue: true", "continue: 3", "`continue` is a number"),
    Known(RULES_FILE, "to: drop", "to: dropp", "there is no sink `dropp`"),
    Known(RULES_FILE, "each: event.items", "each: evt.items", "`evt` is not known here"),
    Known(RULES_FILE, '${item.id}"', '${itm.id}"', "`itm` is not known here"),
    Known(RULES_FILE, "{name: rest, to: archive}", "{name: rest, to: archve}", "there is no sink `archve`"),
    Known(RULES_FILE, "invalid: pass", "invlid: pass", "`invlid` is not known here"),
    Known(RULES_FILE, "then: {vip: 1,", "then: {vip: -1,", "`vip` is -1"),
    Known(RULES_FILE, "2026-01-31T12:00:00Z}", "2026-13-31T12:00:00Z}", "is not a time"),
)
_TAKEN_AWAY = {"close": r"[}\]]", "open": r"[{\[]", "quote": r"[\"']", "colon": ":", "space": r"(?<=:) "}
_KINDS = (*_TAKEN_AWAY, "extra", "in", "out", "tab", "mark", "line")


def damage(random_: random.Random, line: str) -> str:
    """The line with one thing in it changed that may break it as YAML."""
    kind = random_.choice(_KINDS)
    spots = [found.start() for found in re.finditer(_TAKEN_AWAY.get(kind, r"(?<=: )\S"), line)]
    spot = random_.choice(spots) if spots else None
    indent = line[: len(line) - len(line.lstrip())]
    match kind:
        case "extra":
            return line + random_.choice("}]\"'")
        case "in":
            return " " * random_.choice((1, 2, 3)) + line
        case "out":
            return line[random_.choice((1, 2)) :] if indent else line
        case "tab":
            return "\t" + line
        case "line" if not line.endswith(">-"):  # what is below that is text, whatever it is
            return f"{line}\n{indent}{random_.choice(('@', 'what is this', '- @', '}'))}"
        case "mark" if spot is not None:
            return line[:spot] + random_.choice("@`%'\"{[") + line[spot:]
        case _ if kind in _TAKEN_AWAY and spot is not None:
            return line[:spot] + line[spot + 1 :]
        case _:
            return line


@dataclass(frozen=True)
class Case:
    """Known faults, and one damaged line of a file."""

    file: str
    line: int
    damaged: str
    known: tuple[Known, ...]

    def text(self, file: str) -> str:
        """What stands in a file."""
        lines = list(_LINES[file])
        if file == self.file:
            lines[self.line - 1] = self.damaged
        text = "\n".join(lines)
        for known in self.known:
            text = text.replace(known.right, known.wrong, 1) if known.file == file else text
        return text

    def place(self, known: Known) -> int:
        """The line that a known fault stands in."""
        return known.line + (self.damaged.count("\n") if known.file == self.file and known.line > self.line else 0)

    @property
    def section(self) -> str:
        """The key of the outermost level that the damaged line belongs to."""
        return _LINES[self.file][_begin(self.file, self.line, r"\w") - 1].partition(":")[0]

    def may_hide(self, known: Known) -> bool:
        """Whether a fault stands in what is broken or next to it, or is none for all that is known."""
        lines = _LINES[self.file]
        is_whole_section = re.match(r"\w", lines[self.line - 1]) is not None
        if known.file != self.file:
            names = self.section in ("sources", "sinks") and "there is no" in known.what
            is_name = _begin(self.file, self.line, r" {0,2}\S") == self.line or "\n" in self.damaged
            return (names and is_name) or (is_whole_section and self.section == "flows")
        if is_whole_section and _begin(self.file, known.line, r"\w") == _begin(self.file, self.line, r"\w"):
            return True
        if self.section == "connections" and "main" in lines[known.line - 1]:
            return True  # what it says of the settings that are known
        if self.section == "let" and "is not known here" in known.what:
            return True
        near = [number for number in (self.line - 1, self.line, self.line + 1) if 1 <= number <= len(lines)]
        return _begin(self.file, known.line) in {_begin(self.file, number) for number in near}


def _begin(file: str, line: int, pattern: str = r"(  )?\S") -> int:
    """The line in which an item begins that a line is part of: an entry of the second level, by default."""
    return next((n for n in range(line, 0, -1) if re.match(pattern, _LINES[file][n - 1])), 1)


def cases(random_: random.Random) -> Iterator[Case]:
    """Cases without end."""
    while True:
        file = random_.choice(list(TEXTS))
        number = random_.randrange(1, len(_LINES[file]))
        damaged = damage(random_, _LINES[file][number - 1])
        known = [fault for fault in KNOWN if (fault.file, fault.line) != (file, number)]
        case = Case(file, number, damaged, ())
        if load_document(case.text(file), file)[1]:
            yield Case(file, number, damaged, tuple(random_.sample(known, random_.randint(1, 6))))


def misjudged(case: Case, faults: Sequence[Fault]) -> list[str]:
    """What is wrong with what was reported."""
    wrong = []
    left = list(faults)
    for known in case.known:
        line = case.place(known)
        found = next(
            (f for f in left if f.place.file.endswith(known.file) and f.place.line == line and known.what in f.what),
            None,
        )
        if found is not None:
            left.remove(found)
        elif not case.may_hide(known):
            wrong.append(f"missed: {known.file}:{line}: {known.what}")
    if len(left) != 1:
        wrong += [f"beside: {fault}" for fault in left] or ["missed: the one that breaks the YAML"]
    return wrong


def fuzz(count: int, seed: int) -> Iterator[tuple[Case, list[str]]]:
    """So many cases, and what is wrong with what is reported of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        for _, case in zip(range(count), cases(random.Random(seed)), strict=False):
            for file in TEXTS:
                (folder / file).write_text(case.text(file))
            try:
                load([folder / DAEMON_FILE], ENVIRONMENT)
                yield case, ["missed: all of them"]
            except Refused as refused:
                yield case, misjudged(case, refused.faults)


def main() -> None:
    """Try as many cases as the command line says, and print those that were misjudged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts = Counter[str]()
    for case, wrong in fuzz(arguments.count, arguments.seed):
        counts["wrong" if wrong else "right"] += 1
        if wrong:
            print(
                f"{case.file}:{case.line}: {case.damaged!r} with {[known.wrong for known in case.known]}",
                *wrong,
                sep="\n  ",
            )
    print("done", dict(counts))


if __name__ == "__main__":
    main()
