"""Options that commands share, and how a command takes many of them as one thing."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Configs = Annotated[
    list[Path] | None,
    typer.Argument(help="The daemon's file; several are merged, later over earlier. [default: ./sluiceway.yaml]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value a line, for tools.")]


def paths(config: list[Path] | None) -> list[Path]:
    """The daemon's files: those given, or the one that is there by convention."""
    return config or [Path("sluiceway.yaml")]


def expanded(name: str, make: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For a command: every parameter of ``make`` in the place of its parameter of this name, which it gets made of
    them. ``make`` may name parameters that the command has, too, and gets the same."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            made = make(**{option: given[option] for option in options})
            command(**{name: made}, **{option: value for option, value in given.items() if option in own})

        options = inspect.signature(make, eval_str=True).parameters
        own = inspect.signature(command, eval_str=True).parameters
        place = list(own).index(name)
        added = [option for option in options.values() if option.name not in own]
        every = [*list(own.values())[:place], *added, *list(own.values())[place + 1 :]]
        vars(run)["__signature__"] = inspect.Signature(every)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
        return run

    return decorated
