"""What the contract of each flow, and what sinks are given, says about the expressions of both kinds of file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from router.config.interpolation import Filled
from router.config.model import SourceSpec
from router.config.unread import may_change, may_pass
from rules.document import Document, Node, load
from rules.faults import Fault, Place
from rules.flow import Expr, Flow
from rules.inference import Finding, Templates, check_flow, loosened, type_of_contract
from rules.reader.flows import FLOW


def type_check(
    flows: Sequence[Flow],
    sources: Mapping[str, SourceSpec | None],
    templates: Templates,
    models: Mapping[str, type[Any] | None],
    variables: Mapping[str, object] | None,
    texts: Mapping[str, bytes],
    filled: Filled,
    faults: list[Fault],
) -> list[Fault]:
    """Add what is certainly wrong with expressions to ``faults``; return what is probably not meant."""
    locator = _Locator(texts, filled)
    warnings: list[Fault] = []
    for flow in flows:
        unread = [fault.place for fault in faults if fault.place.file == flow.place.file]
        specs = [sources.get(name) for name, _ in flow.sources]
        decodes = {None if spec is None else spec.decode for spec in specs}
        event = type_of_contract(flow.contract, decodes, models)
        document = _document(texts, flow.place.file) if unread else None
        if document is not None and may_pass(document, unread):
            event = loosened(event)
        changing = [place for place in unread if document is None or may_change(document, place)]
        found = check_flow(
            flow, event=event, variables=variables, templates=templates, unread=unread, changing=changing
        )
        for finding in found.expressions:
            fault = Fault(locator.place(finding), finding.what, finding.hint)
            (faults if finding.certain else warnings).append(fault)
        warnings += [Fault(rule.rule.place, rule.what, rule.hint) for rule in found.rules]
    wrong = {fault.place for fault in faults}
    return [warning for warning in dict.fromkeys(warnings) if warning.place not in wrong]


def _document(texts: Mapping[str, bytes], file: str) -> Document | None:
    return load(texts[file], file, FLOW)[0] if file in texts else None


class _Locator:
    """Finds the places of parts of expressions, which are asked for when something is wrong alone."""

    def __init__(self, texts: Mapping[str, bytes], filled: Filled) -> None:
        self._texts = texts
        self._filled = filled
        self._nodes: dict[str, list[Node]] = {}

    def place(self, finding: Finding) -> Place:
        """Where the part of an expression stands that a finding is about."""
        for node, start in self._written(finding.expr):
            return node.origin.place(node.text_index(start + finding.offset))
        at = finding.expr.place
        return at if "\n" in finding.expr.cel.text else Place(at.file, at.line, at.column + finding.offset)

    def _written(self, expr: Expr) -> Iterator[tuple[Node, int]]:
        """The text that an expression stands in, and where in it."""
        text = expr.cel.text
        for node in self._texts_of(expr.place.file):
            if isinstance(node.data, str) and node.place <= expr.place:
                for start in _occurrences(node.data, text):
                    if node.origin.place(node.text_index(start)) == expr.place:
                        yield node, start

    def _texts_of(self, file: str) -> Iterable[Node]:
        if file not in self._nodes:
            document, _ = load(self._texts[file], file) if file in self._texts else (None, ())
            root = self._filled.document.root if document is None else document.root
            written = {node: self._filled.cel[node].written for node in root.texts() if node in self._filled.cel}
            self._nodes[file] = [written.get(node, node) for node in root.texts()]
        return [node for node in self._nodes[file] if node.origin.file == file]


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)
