"""Which dead letters a command is about: filters that the store knows, and a condition in CEL."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, NoReturn, get_args

import typer

from router.cli.record import of_letter
from router.config import Configuration
from router.deadletters import PAGE_LETTERS, DeadLetters
from router.letter import Letter, Stage, time_text
from router.letter_filter import Where
from router.units import parse_duration
from rules import cel
from rules.codecs import Format, Json
from rules.meta import meta_of
from rules.suggest import did_you_mean

_PLAIN = ("id", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version")
_VARIABLES = (*_PLAIN, "time", "event", "meta", "vars")
"""What a condition sees of a letter."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The letters that the options name."""

    where: Where = field(default_factory=Where)
    when: cel.Expression | None = None

    @classmethod
    def by(cls, since: str | None, until: str | None, when: str | None, **exact: Any) -> Chosen:
        """What these options mean. Exit status 2 where one means nothing."""
        stages = get_args(Stage)
        for stage in exact.get("stage") or ():
            if stage not in stages:
                _refuse(f"--stage: there is no stage {stage!r}; there is {', '.join(stages)}")
        given = {name: value or None for name, value in exact.items()}
        where = Where(since=moment(since, "--since"), until=moment(until, "--until"), **given)
        return cls(where, None if when is None else _condition(when))

    @property
    def is_everything(self) -> bool:
        """Whether no option says which."""
        return self == Chosen()

    def as_json(self) -> dict[str, Any]:
        """What the options say, as JSON values."""
        said = {field.name: getattr(self.where, field.name) for field in fields(Where)}
        for bound in ("since", "until"):
            said[bound] = None if said[bound] is None else time_text(said[bound])
        said["when"] = None if self.when is None else self.when.text
        return {name: value for name, value in said.items() if value is not None}

    async def find(self, letters: DeadLetters, configuration: Configuration) -> AsyncIterator[Letter]:
        """The letters there are now, oldest first. What the condition fails on is told on stderr, and not chosen."""
        if self.when is None:
            async for letter in letters.find(self.where):
                yield letter
            return
        judge, left = _Judge(self.when, configuration), self.where.limit
        async for letter in letters.find(replace(self.where, limit=None)):
            if judge.takes(letter):
                yield letter
                left = None if left is None else left - 1
                if left == 0:
                    break
        judge.tell()

    async def pages(self, letters: DeadLetters, configuration: Configuration) -> AsyncIterator[list[int]]:
        """Their ids, some at a time."""
        if self.when is None:
            async for ids in letters.ids(self.where):
                yield ids
            return
        page: list[int] = []
        async for letter in self.find(letters, configuration):
            page.append(letter.id)
            if len(page) == PAGE_LETTERS:
                yield page
                page = []
        if page:
            yield page


class _Judge:
    """Evaluates a condition over letters, and remembers where it could not."""

    def __init__(self, when: cel.Expression, configuration: Configuration) -> None:
        self._when = when
        self._configuration = configuration
        self._failed = 0
        self._example = ""

    def takes(self, letter: Letter) -> bool:
        """Whether the condition is true. As in rules, it is not where it meets a field that is missing."""
        bindings = self._bindings(letter)
        try:
            value = self._when.evaluate(bindings)
        except cel.CelMissing:
            return False
        except cel.CelError as error:
            if "event" in bindings or "event" not in self._when.variables:
                self._fail(letter, str(error))
            return False
        if not isinstance(value, bool):
            self._fail(letter, "it is neither true nor false")
        return value is True

    def tell(self) -> None:
        """Say of how many letters nothing could be said."""
        if self._failed:
            print(f"sluiceway: --when fails on {self._failed} letter(s), such as {self._example}", file=sys.stderr)

    def _fail(self, letter: Letter, why: str) -> None:
        self._failed += 1
        self._example = self._example or f"{letter.id}: {why}"

    def _bindings(self, letter: Letter) -> dict[str, object]:
        found: dict[str, object] = {name: getattr(letter, name) for name in _PLAIN}
        found["time"] = cel.Timestamp.from_nanos(letter.time)
        found["vars"] = self._configuration.vars
        batch = of_letter(letter).batch
        if "meta" in self._when.variables:
            found["meta"] = meta_of(batch, 0, letter.source)
        if "event" in self._when.variables:
            with contextlib.suppress(ValueError):  # a letter of stage decode has no event
                found["event"] = self._format(letter).codec.decode_at(batch, 0)
        return found

    def _format(self, letter: Letter) -> Format:
        """That of its source; of one that is gone, that of the first source of its flow, as a replay takes it."""
        sources = self._configuration.sources
        flows = (flow for flow in self._configuration.flows if flow.name == letter.flow)
        names = [letter.source, *(name for flow in flows for name, _ in flow.sources)]
        return next((sources[name].decode for name in names if name in sources), Json())


def _condition(text: str) -> cel.Expression:
    try:
        made = cel.compile(text)
    except cel.CelError as error:
        _refuse(f"--when: {error}")
    for name in sorted(made.variables - set(_VARIABLES)):
        hint = did_you_mean(name, _VARIABLES)
        _refuse(f"--when: a letter has no `{name}`" + (f"; {hint}" if hint else ""))
    return made


def moment(text: str | None, option: str) -> int | None:
    """What a time or an age means, in Unix nanoseconds. Exit status 2 where it means nothing."""
    if text is None:
        return None
    try:
        return time.time_ns() - int(parse_duration(text) * 1e9)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _refuse(f"{option}: {text!r} should be a time such as 2026-01-31T12:00:00Z, or an age such as 10m")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)


def _refuse(message: str) -> NoReturn:
    print(f"sluiceway: {message}", file=sys.stderr)
    raise typer.Exit(2)
