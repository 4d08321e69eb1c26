"""``sluiceway explain``: why a record goes where it goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import typer
from msgspec import Struct
from msgspec.structs import replace as with_fields

from router.assembly import ruleset_of
from router.cli.dead import find_letter
from router.cli.faults import load_or_exit, show, tables_or_exit
from router.cli.record import Given, Record, about_of, of_letter, refuse
from router.config import Configuration, SourceSpec
from router.letter import Letter
from rules.explain import Explanation
from rules.faults import Refused
from rules.flow import Flow
from rules.ruleset import Ruleset


class Wanted(Struct, frozen=True, kw_only=True):
    """What the options say: which records, from where, and how the answer looks."""

    file: str | None = None
    dead: int | None = None
    source: str | None = None
    meta: str | None = None
    key: str | None = None
    headers: Sequence[str] = ()
    limit: int = 10
    brief: bool = False
    code: bool = False
    as_json: bool = False


def explain(arguments: Sequence[str], wanted: Wanted) -> None:
    """Explain each of the records that are wanted. Exit status 2 for wrong usage or a refused configuration."""
    files, name = split(arguments)
    configuration = load_or_exit(files)
    letter = None
    if wanted.dead is not None:
        letter = _letter(configuration, wanted)
    flow = _flow(configuration, name, wanted.source, letter)
    source = _source(flow, wanted.source) if letter is None else letter.source
    # As a replay does it: a source that is gone decoded as the first of the flow does.
    spec = configuration.sources.get(source) or configuration.sources[_sources(flow)[0]]
    if wanted.code:
        print(_compiled(_masked(configuration), flow, spec).code, end="")
        return
    ruleset = _compiled(configuration, flow, spec)
    records = [of_letter(letter)] if letter is not None else _records(spec, wanted)
    explained = [(record, ruleset.explain(record.batch, 0, source)) for record in records]
    if wanted.as_json:
        _print_json(configuration, explained)
    else:
        _print_trees(configuration, explained, wanted)


def split(arguments: Sequence[str]) -> tuple[list[Path], str | None]:
    """The daemon's files, and the flow: what ends in .yaml, .yml or .json or has a / in it is a file."""
    files = [Path(argument) for argument in arguments if _is_file(argument)]
    names = [argument for argument in arguments if not _is_file(argument)]
    if len(names) > 1:
        refuse(f"{' and '.join(names)}: one FLOW, please; a CONFIG ends in .yaml, .yml or .json, or has a / in it")
    return files or [Path("sluiceway.yaml")], names[0] if names else None


def _is_file(argument: str) -> bool:
    return argument.endswith((".yaml", ".yml", ".json")) or "/" in argument


def _letter(configuration: Configuration, wanted: Wanted) -> Letter:
    beside = {"--file": wanted.file, "--source": wanted.source, "--meta": wanted.meta, "--key": wanted.key}
    for option, value in {**beside, "--header": wanted.headers or None}.items():
        if value is not None:
            refuse(f"{option} beside --dead: a dead letter brings its own")
    return find_letter(configuration, wanted.dead or 0)


def _flow(configuration: Configuration, name: str | None, source: str | None, letter: Letter | None) -> Flow:
    """The flow that is named, or the one that reads the source, or that the letter is of, or the only one."""
    flows = {flow.name: flow for flow in configuration.flows}
    listed = ", ".join(flows)
    if letter is not None and name not in (None, letter.flow):
        refuse(f"dead letter {letter.id} is of flow {letter.flow!r}, not of {name!r}")
    if letter is not None and letter.flow not in flows:
        refuse(f"dead letter {letter.id} is of flow {letter.flow!r}, which is no longer there; there is {listed}")
    name = letter.flow if letter is not None else name
    if name is None and source is not None:
        name = next((flow.name for flow in flows.values() if source in _sources(flow)), None)
        if name is None:
            refuse(f"--source: no flow reads {source!r}")
    if name is None and len(flows) == 1:
        name = next(iter(flows))
    if name is None:
        refuse(f"which FLOW? There is {listed}")
    return flows.get(name) or refuse(f"there is no flow {name!r}; there is {listed}")


def _sources(flow: Flow) -> list[str]:
    return [name for name, _ in flow.sources]


def _source(flow: Flow, wanted: str | None) -> str:
    """The source that the record is as if from: the first one, as in tests, unless another is named."""
    sources = _sources(flow)
    if wanted is not None and wanted not in sources:
        refuse(f"--source: flow {flow.name!r} does not read {wanted!r}; it reads {', '.join(sources)}")
    return wanted or sources[0]


def _masked(configuration: Configuration) -> Configuration:
    """The same with no secret among the ``vars``, which are constants of the code, as is what is made of them."""

    def masked(value: object) -> object:
        if isinstance(value, Mapping):
            return {name: masked(part) for name, part in value.items()}
        if isinstance(value, list):
            return list(map(masked, value))
        return configuration.secrets.mask(value) if isinstance(value, str) else value

    return replace(configuration, vars={name: masked(value) for name, value in configuration.vars.items()})


def _compiled(configuration: Configuration, flow: Flow, source: SourceSpec) -> Ruleset:
    try:
        return ruleset_of(configuration, flow, source.decode, tables_or_exit(configuration))
    except Refused as refused:
        show(refused.faults)
        raise typer.Exit(2) from refused


def _records(source: SourceSpec, wanted: Wanted) -> list[Record]:
    given = Given(source, about_of(wanted.meta, wanted.key, wanted.headers))
    return given.from_stdin(wanted.limit) if wanted.file is None else given.from_file(wanted.file, wanted.limit)


_Explained = Sequence[tuple[Record, Explanation]]


def _print_json(configuration: Configuration, explained: _Explained) -> None:
    from router.explanation.as_json import AsJson
    from router.explanation.sinks import Sinks
    from router.explanation.values import Values

    made = AsJson(Values(configuration.secrets.mask), Sinks(configuration.sinks))
    for record, explanation in explained:
        whole = made.explanation(explanation)
        if record.line is not None:
            whole = {"line": record.line, **whole}
        if record.letter is not None:
            whole = {"dead_letter": record.letter.id, **whole}
        print(json.dumps(whole, ensure_ascii=False))


def _print_trees(configuration: Configuration, explained: _Explained, wanted: Wanted) -> None:
    from rich.console import Console

    from router.explanation.lines import show
    from router.explanation.sinks import Sinks
    from router.explanation.steps import Picture
    from router.explanation.values import Values
    from router.redaction import Redaction

    console = Console()
    values, redaction = Values(configuration.secrets.mask), Redaction(configuration)
    picture = Picture(values, console.width, Sinks(configuration.sinks), only=() if wanted.brief else None)
    for number, (record, explanation) in enumerate(explained):
        lines = picture.lines(explanation)
        if record.letter is not None:
            letter = with_fields(record.letter, detail=redaction.detail(record.letter))
            lines.insert(0, picture.letter(letter, explanation.version))
        elif record.line is not None:
            lines.insert(0, picture.line_of_file(record.line))
        if number:
            print()
        show(lines, console)
