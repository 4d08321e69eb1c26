"""``sluiceway diff``: what another configuration would do with the same records."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer
from msgspec import Struct

from router.cli.dead import letters_of, refuse
from router.cli.faults import show
from router.cli.reach import Reach
from router.cli.record import about_of
from router.client import named
from router.config import Configuration, SourceSpec, load
from router.letter import Letter
from router.letter_filter import Where
from router.preview import Difference, Looked, of_file, of_letters, of_told, preview
from router.preview.records import read_now
from rules.faults import Fault, Refused


class Asked(Struct, frozen=True, kw_only=True):
    """What the options say: which records, and how the answer looks."""

    on: str
    flow: str | None = None
    source: str | None = None
    meta: str | None = None
    limit: int = 3
    most: int | None = None
    as_json: bool = False
    exit_code: bool = False
    reach: Reach | None = None
    """The daemon whose samples are looked at; by default that of the old configuration."""


def diff(old: Sequence[Path], new: Sequence[Path], asked: Asked) -> None:
    """Print the difference. Exit status 2 for wrong usage and for configurations that are refused, each with every
    fault; with ``exit_code``, 1 when a record would move or go out changed."""
    sides = _load([old, new])
    try:
        with _records(*sides, asked) as (records, notes, tell):
            difference = preview(*sides, records, examples=asked.limit, most=asked.most, tell=tell)
    except Refused as refused:
        show(refused.faults)
        raise typer.Exit(2) from refused
    difference.notes += notes
    if asked.as_json:
        print(json.dumps(difference.as_json(), ensure_ascii=False))
    else:
        _print(difference, asked)
    raise typer.Exit(1 if asked.exit_code and not difference.is_none else 0)


def _load(files: Sequence[Sequence[Path]]) -> tuple[Configuration, Configuration]:
    """Both configurations; or every fault of both on stderr, those of shared files once, and exit status 2."""
    loaded: list[Configuration] = []
    faults: dict[Fault, None] = {}
    warnings: dict[Fault, None] = {}
    for some in files:
        try:
            loaded.append(load(some))
        except Refused as refused:
            faults |= dict.fromkeys(refused.faults)
            warnings |= dict.fromkeys(refused.warnings)
    if faults or warnings:
        show(list(faults), list(warnings))
        raise typer.Exit(2)
    return loaded[0], loaded[1]


Tell = Callable[[int], None]
_Found = tuple[Iterator[Looked], list[str], Tell]


@contextlib.contextmanager
def _records(old: Configuration, new: Configuration, asked: Asked) -> Iterator[_Found]:
    """The records that are asked for, what is to be said about them at the end, and who hears how many were seen."""
    match asked.on:
        case "dead":
            with _letters(old, asked) as found:
                yield found
        case "live":
            yield _samples(old, asked)
        case _:
            with _file(old, new, asked) as found:
                yield found


# Files


@contextlib.contextmanager
def _file(old: Configuration, new: Configuration, asked: Asked) -> Iterator[_Found]:
    flow, spec = _source(old, new, asked)
    known = _known(asked)
    notes = []
    other = new.sources.get(spec.name)
    if other is not None and _framing(other) != _framing(spec):
        notes.append(
            f"source {spec.name} is framed otherwise by the new configuration; both are shown what the old makes"
        )
    if asked.on == "-":
        yield of_file(flow, spec, sys.stdin.buffer, known), notes, lambda _: None
        return
    try:
        file = Path(asked.on).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        refuse(f"--on: {asked.on} cannot be read: {error.strerror}")
    with file, _shown(Path(asked.on).stat().st_size) as tell:
        yield of_file(flow, spec, file, known, tell), notes, lambda _: None


def _framing(spec: SourceSpec) -> object:
    return getattr(spec.settings, "framing", None), spec.decode.stream_framing


def _known(asked: Asked) -> Mapping[str, object]:
    about = about_of(asked.meta, None, ())
    if about.key is not None or about.headers is not None or about.time is not None:
        refuse("--meta: what every record of a file has in common is neither a key nor a header nor a time")
    return about.attributes


def _source(old: Configuration, new: Configuration, asked: Asked) -> tuple[str, SourceSpec]:
    """The flow and the source that the records of a file are as if from: of the old configuration, or of the new one
    where the old has none such."""
    for configuration in (old, new):
        for flow in configuration.flows:
            names = [name for name, _ in flow.sources]
            if asked.flow in (None, flow.name) and (asked.source is None or asked.source in names):
                if asked.flow is None and asked.source is None and len(configuration.flows) > 1:
                    continue
                return flow.name, configuration.sources[asked.source or names[0]]
    return _unclear(old, asked)


def _unclear(old: Configuration, asked: Asked) -> NoReturn:
    listed = ", ".join(flow.name for flow in old.flows)
    if asked.source is not None:
        refuse(f"--source: no flow{f' {asked.flow!r}' if asked.flow else ''} reads {asked.source!r}")
    if asked.flow is not None:
        refuse(f"--flow: there is no flow {asked.flow!r}; there is {listed}")
    refuse(f"which --flow, or --source? There is {listed}")


@contextlib.contextmanager
def _shown(size: int) -> Iterator[Tell]:
    """What shows how far a file is read, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("looking"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=size)
        yield lambda read: bars.update(bar, completed=read)


# What flows now

_UNTOLD = (
    "the daemon does not show a record that is too long to be kept, or that cannot be decoded where a contract marks "
    "something as sensitive; or it cannot be written anew"
)


def _samples(old: Configuration, asked: Asked) -> _Found:
    """What the daemon has kept of the flows of the old configuration. Raises NoDaemon, NotGranted."""
    reach = asked.reach or Reach(old.files)
    client = reach.client()
    flows = [flow.name for flow in old.flows if asked.flow in (None, flow.name)]
    kept = [told for flow in flows for told in client.get(named("flows", flow, "samples"))["samples"]]
    wanted = [told for told in kept if asked.source in (None, told["source"])]
    looked = list(of_told(wanted, old.sources))
    note = f"these are {len(looked)} record(s) of the sample that the daemon keeps of each flow, written anew"
    notes = [f"{note}; what a contract marks as sensitive is *** in them"]
    if len(looked) < len(wanted):
        notes.append(f"{len(wanted) - len(looked)} record(s) of the sample are not among these: {_UNTOLD}")
    return iter(looked), notes, _nobody


# Dead letters


@contextlib.contextmanager
def _letters(old: Configuration, asked: Asked) -> Iterator[_Found]:
    """Those in the state folder of the old configuration, as a replay would send them through their flow. Those of
    stage sink go by no rule: it is said how many there are."""
    straight: Counter[str] = Counter()
    notes: list[str] = []
    with letters_of(old) as store:
        if store is None:
            yield iter(()), ["there are no dead letters: no daemon has run with the old configuration yet"], _nobody
            return
        found = read_now(store.find(Where(flow=asked.flow, source=asked.source)))

        def through_flow() -> Iterator[Letter]:
            for letter in found:
                if letter.stage == "sink":
                    straight[letter.sink] += 1
                else:
                    yield letter

        yield of_letters(through_flow()), notes, _nobody
    notes += [
        f"{many} dead letter(s) of stage sink are not among these: a replay sends them straight to sink {sink}"
        for sink, many in sorted(straight.items())
    ]


def _nobody(_: int) -> None:
    """Nobody is told."""


# The answer


def _print(difference: Difference, asked: Asked) -> None:
    from rich.console import Console

    from router.explanation.comparison import Comparison
    from router.explanation.lines import show as show_lines

    console = Console()
    told = Comparison(difference, console.width)
    if sys.stdout.isatty():
        console.print(told.table())
    else:
        print("\n".join(told.counts()))
    for line in told.lines():
        print()
        show_lines([line], console)
    if difference.counts:
        print()
    for note in difference.notes:
        print(f"note: {note}")
    print(told.summary())
    if asked.on == "dead" and difference.records:
        good = difference.records - difference.still
        print(f"replayed with the new configuration, {good:,} would succeed, {difference.still:,} would not")
