"""The list of functions in docs/functions.md, made from their docstrings.

``python -m scripts.function_docs`` writes it; with ``--check`` it fails if it is not what the code gives.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

from router.reference import cell
from rules.cel import functions, macros
from rules.cel.functions import registry
from rules.cel.functions.registry import ANY, Function
from rules.cel.surroundings import Surroundings, Table
from scripts.environment import ROOT
from scripts.made_part import MadePart

AROUND = Surroundings(
    {"countries": Table({"DE": {"name": "Germany"}}), "prices": Table({"7": 12.5})}, {"pepper": "s3cret"}
)
"""What the examples find around them, as the page says."""

_EXAMPLE = "Example: "
_GROUPS: dict[str, Sequence[ModuleType]] = {
    "Texts": (functions.strings, functions.text_format),
    "Lists": (functions.lists,),
    "Maps, JSON and tables": (functions.data,),
    "Numbers": (functions.mathematics,),
    "Conversions": (functions.conversions,),
    "Times": (functions.time,),
    "Hashes": (functions.hashing,),
    "Masks": (functions.masking,),
    "Identifiers": (functions.identifiers,),
    "URLs": (functions.urls,),
    "Addresses": (functions.network,),
    "Optionals": (functions.optionals,),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A function or a macro: how it is called, with its types; what it promises; expressions that are true."""

    name: str
    forms: tuple[tuple[str, str], ...]
    summary: str
    examples: tuple[str, ...]


def entries() -> dict[str, list[Entry]]:
    """Everything that an expression can call, by group."""
    made = {title: list(_of_modules(modules)) for title, modules in _GROUPS.items()}
    listed = [_entry(name, [(name, "")], text) for name, text in macros.REFERENCE.items()]
    return {"Macros": listed, **made}


def _of_modules(modules: Sequence[ModuleType]) -> Iterator[Entry]:
    names = [module.__name__ for module in modules]
    found: dict[object, list[Function]] = {}
    for function in registry.every():
        first = function.implementations[0]
        if first.__module__ in names:
            # What is written both as a function and as a method is one.
            own = found.get(first) or found.setdefault((function.name, function.is_method), [])
            own.append(function)
            found[first] = own
    for same in {id(own): own for own in found.values()}.values():
        name, is_method = same[0].name, same[0].is_method
        texts = [text for one in same for run in one.implementations if (text := inspect.getdoc(run))]
        yield _entry(f".{name}" if is_method else name, [_form(one) for one in same], texts[0] if texts else "")


def _form(function: Function) -> tuple[str, str]:
    run = function.implementations[0]
    known = {name: kind for name, kind in run.__annotations__.items() if name != "return" and kind is not Surroundings}
    target, *rest = [*known] if function.is_method else ["", *known]
    parameters = "a, b, ..." if function.arity == ANY else ", ".join(rest)
    call = f"{target}.{function.name}({parameters})" if function.is_method else f"{function.name}({parameters})"
    return call, f"{function.signatures()} → {function.returns}"


def _entry(name: str, forms: Sequence[tuple[str, str]], text: str) -> Entry:
    lines = inspect.cleandoc(text).splitlines()
    summary = " ".join(line for line in lines if line and not line.startswith(_EXAMPLE))
    examples = tuple(line.removeprefix(_EXAMPLE) for line in lines if line.startswith(_EXAMPLE))
    return Entry(name, tuple(forms), summary, examples)


def listed() -> str:
    """What stands between the two comments."""
    parts = []
    for title, group in entries().items():
        rows = ["| call | what it gives | these are true |", "|---|---|---|"]
        for entry in group:
            calls = "<br>".join(_code(call) + (f"<br>{_code(types)}" if types else "") for call, types in entry.forms)
            rows.append(f"| {calls} | {cell(entry.summary)} | {'<br>'.join(map(_code, entry.examples))} |")
        parts += [f"## {title}", "\n".join(rows)]
    return "\n\n".join(parts)


def _code(text: str) -> str:
    """Code in a cell of a table, where a bar would end it."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}".replace("|", r"\|")


PART = MadePart(ROOT / "docs" / "functions.md", listed, "function_docs")

if __name__ == "__main__":
    PART.main(sys.argv[1:])
