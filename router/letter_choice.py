"""Which dead letters somebody means: filters that the store knows, and a condition in CEL."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, get_args

from msgspec.structs import replace

from router.config import Configuration
from router.deadletters import PAGE_LETTERS, DeadLetters
from router.letter import Letter, Stage, batch_of, time_text
from router.letter_filter import BadChoice, Where
from router.redaction import Redaction, format_of
from router.units import parse_duration
from rules import cel
from rules.cel.budget import bounded
from rules.inference import describe, type_alone
from rules.inference.kinds import STRING, of
from rules.meta import meta_of
from rules.suggest import did_you_mean

_PLAIN = ("id", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version")
_VARIABLES = (*_PLAIN, "time", "event", "meta", "vars")
"""What a condition sees of a letter."""
_TYPES = {**dict.fromkeys(_PLAIN, STRING), "id": of("int"), "attempts": of("int"), "time": of("timestamp")}
_AT_ONCE = 50
"""So many letters are judged before others have their turn."""
_LAST = (1 << 63) - 1
"""The last of the Unix nanoseconds that SQLite can hold, in the year 2262."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The letters that filters name. ``steps`` bounds what the condition may cost of each letter."""

    where: Where = field(default_factory=Where)
    when: cel.Expression | None = None
    steps: int | None = None

    is_owners: ClassVar[bool] = False
    """Whether it is the owner of the state folder who asks, and may be shown every record."""

    @classmethod
    def by(
        cls, since: str | None, until: str | None, when: str | None, steps: int | None = None, **exact: Any
    ) -> Choice:
        """What these filters mean. Raises BadChoice for one that means nothing."""
        stages = get_args(Stage)
        for stage in exact.get("stage") or ():
            if stage not in stages:
                raise BadChoice("stage", f"there is no stage {stage!r}; there is {', '.join(stages)}")
        given: dict[str, Any] = {name: value or None for name, value in exact.items()}
        where = Where(since=moment(since, "since"), until=moment(until, "until"), **given)
        return cls(where, None if when is None else condition(when, _VARIABLES, "a letter"), steps)

    @property
    def is_everything(self) -> bool:
        """Whether no filter says which."""
        return self.where == Where() and self.when is None

    def as_json(self) -> dict[str, Any]:
        """What the filters say, as JSON values."""
        said = {name: getattr(self.where, name) for name in Where.__struct_fields__}
        for bound in ("since", "until"):
            said[bound] = None if said[bound] is None else time_text(said[bound])
        said["when"] = None if self.when is None else self.when.text
        return {name: value for name, value in said.items() if value not in (None, 0)}

    def judge(self, configuration: Configuration) -> Judge | None:
        """What evaluates the condition over letters; None without one."""
        return None if self.when is None else Judge(self, self.when, configuration)

    async def find(
        self, letters: DeadLetters, configuration: Configuration, tell: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[Letter]:
        """The letters there are now, oldest first. What the condition fails on is not chosen, and told at the end."""
        judge, left = self.judge(configuration), self.where.limit
        if judge is None:
            async for letter in letters.find(self.where):
                yield letter
            return
        async for letter in letters.find(replace(self.where, limit=None)):
            if judge.is_due:
                await asyncio.sleep(0)
            if judge.takes(letter):
                yield letter
                left = None if left is None else left - 1
                if left == 0:
                    break
        if judge.failed:
            tell(f"when fails on {judge.failed} letter(s), such as {judge.example}")

    async def pages(
        self, letters: DeadLetters, configuration: Configuration, tell: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[list[int]]:
        """Their ids, some at a time."""
        if self.when is None:
            async for ids in letters.ids(self.where):
                yield ids
            return
        page: list[int] = []
        async for letter in self.find(letters, configuration, tell):
            page.append(letter.id)
            if len(page) == PAGE_LETTERS:
                yield page
                page = []
        if page:
            yield page


class Judge:
    """Evaluates the condition of a choice over letters, and remembers where it could not.

    What is shown to nobody is known to no condition, which would tell it by what it takes: it sees the ``detail`` that
    is shown, and but for the owner no record of a flow that is there no more.
    """

    def __init__(self, choice: Choice, when: cel.Expression, configuration: Configuration) -> None:
        steps = choice.steps
        self._variables = when.variables
        self._evaluate: Callable[[Mapping[str, object]], object] = (
            when.evaluate if steps is None else bounded(when.node, steps)
        )
        self._configuration = configuration
        self._redaction = Redaction(configuration)
        self._flows = None if choice.is_owners else {flow.name for flow in configuration.flows}
        self.judged = 0
        self.failed = 0
        self.example = ""

    @property
    def is_due(self) -> bool:
        """Whether others should have their turn before it judges on."""
        return self.judged % _AT_ONCE == _AT_ONCE - 1

    def takes(self, letter: Letter) -> bool:
        """Whether the condition is true. As in rules, it is not where it meets a field that is missing."""
        self.judged += 1
        bindings = self._bindings(letter)
        try:
            value = self._evaluate(bindings)
        except cel.CelMissing:
            return False
        except cel.CelError as error:
            if "event" in bindings or "event" not in self._variables:
                self._fail(letter, str(error))
            return False
        if not isinstance(value, bool):
            self._fail(letter, "it is neither true nor false")
        return value is True

    def _fail(self, letter: Letter, why: str) -> None:
        self.failed += 1
        self.example = self.example or f"{letter.id}: {why}"

    def _bindings(self, letter: Letter) -> dict[str, object]:
        found: dict[str, object] = {name: getattr(letter, name) for name in _PLAIN}
        found["time"] = cel.Timestamp.from_nanos(letter.time)
        found["vars"] = self._configuration.vars
        if "detail" in self._variables:
            found["detail"] = self._redaction.detail(letter)
        if self._flows is not None and letter.flow not in self._flows:
            return found
        batch = batch_of(letter)
        if "meta" in self._variables:
            found["meta"] = meta_of(batch, 0, letter.source)
        if "event" in self._variables:
            with contextlib.suppress(ValueError):  # a letter of stage decode has no event
                found["event"] = format_of(letter, self._configuration).codec.decode_at(batch, 0)
        return found


def condition(text: str, known: tuple[str, ...], what: str, name: str = "when") -> cel.Expression:
    """A condition over the variables that are ``known`` of ``what``. Raises BadChoice, for the filter ``name``."""
    try:
        made = cel.compile(text)
    except cel.CelError as error:
        raise BadChoice(name, str(error)) from error
    for variable in sorted(made.variables - set(known)):
        hint = did_you_mean(variable, known)
        raise BadChoice(name, f"{what} has no `{variable}`" + (f"; {hint}" if hint else ""))
    found = type_alone(made, _TYPES)
    if not found.may_be("bool"):
        raise BadChoice(name, f"`{text}` is {describe(found)}, never true or false")
    return made


def moment(text: str | None, name: str) -> int | None:
    """What a time or an age means, in Unix nanoseconds that a store can hold: what lies before them is their beginning,
    what lies after them their end. Raises BadChoice, for the filter ``name``."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return _storable(time.time() - parse_duration(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        why = f"{text!r} should be a time such as 2026-01-31T12:00:00Z, or an age such as 10m"
        raise BadChoice(name, why) from error
    return _storable((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _storable(seconds: float) -> int:
    return _LAST if seconds * 1e9 >= _LAST else int(max(seconds, 0.0) * 1e9)
