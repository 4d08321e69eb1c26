"""Which dead letters a command is about, by its options."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, NoReturn

import typer

from router import letter_choice
from router.config import Configuration
from router.deadletters import DeadLetters
from router.letter import Letter
from router.letter_choice import Choice
from router.letter_filter import BadChoice


def _tell(why: str) -> None:
    print(f"sluiceway: --{why}", file=sys.stderr)


class Chosen(Choice):
    """The letters that the options name. What the condition fails on is told on stderr."""

    __slots__ = ()
    is_owners: ClassVar[bool] = True

    @classmethod
    def by(
        cls, since: str | None, until: str | None, when: str | None, steps: int | None = None, **exact: Any
    ) -> Chosen:
        """What these options mean. Exit status 2 where one means nothing."""
        try:
            chosen = Choice.by(since, until, when, steps, **exact)
        except BadChoice as bad:
            _refuse(f"--{bad.name}: {bad.why}")
        return cls(chosen.where, chosen.when, chosen.steps)

    def find(
        self, letters: DeadLetters, configuration: Configuration, tell: Callable[[str], None] = _tell
    ) -> AsyncIterator[Letter]:
        """The letters there are now, oldest first."""
        return Choice.find(self, letters, configuration, tell)

    def pages(
        self, letters: DeadLetters, configuration: Configuration, tell: Callable[[str], None] = _tell
    ) -> AsyncIterator[list[int]]:
        """Their ids, some at a time."""
        return Choice.pages(self, letters, configuration, tell)


def moment(text: str | None, option: str) -> int | None:
    """What a time or an age means, in Unix nanoseconds. Exit status 2 where it means nothing."""
    try:
        return letter_choice.moment(text, option)
    except BadChoice as bad:
        _refuse(str(bad))


def _refuse(message: str) -> NoReturn:
    print(f"sluiceway: {message}", file=sys.stderr)
    raise typer.Exit(2)
