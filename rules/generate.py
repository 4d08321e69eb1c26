"""A flow as one generated Python function over a batch.

The function decides every record that the plain paths cover. For any other, and on any surprise, it takes back what
the record had added and leaves that record alone to the exact interpreter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from rules.cel import nodes
from rules.cel.compile_code import Code, Operand
from rules.cel.compile_forms import is_impure
from rules.cel.compile_runtime import MISSING
from rules.cel.nodes import Node
from rules.cel.scope import free_variables, references
from rules.codecs import UNDECODED, Codec, Format
from rules.columns import Constant
from rules.contract import Validator
from rules.decisions import Letter
from rules.flow import DROP, Check, Expr, Flow, Rule, Split, Target, Template, Value
from rules.generate_contract import ContractWriter
from rules.generate_dispatch import DispatchWriter
from rules.generate_gates import GateWriter, Why
from rules.generate_record import Form, RecordCompiler
from rules.lets import Lets
from rules.plan import UNMATCHED, Columns, Lane, Plan, unmatched_targets
from rules.projection import Projection, columns_projection, projection, tree_of


class Generated(Struct, frozen=True):
    """The function of a flow, and its source.

    It is called with ``(columns, values, source, start, into, slow)``: ``values`` are the payloads of the records from
    index ``start`` on, ``into`` the decisions to add to, ``slow(i)`` what decides the record at ``i`` in its stead.
    ``takes_lines``: each payload may have a newline after it, which it has when it goes out, then, too.
    """

    route: Callable[..., None]
    source: str
    takes_lines: bool


_CHEAP: Final = frozenset({"startsWith", "endsWith", "contains", "size"})
_RECORD: Final = frozenset({"event", "meta", "vars"})
# Up to so many rules, and so many lanes, the lists that are appended to are bound to locals before the loop.
_FEW: Final = 50


def generate(
    flow: Flow, plan: Plan, lets: Lets, validator: Validator | None, decode: Format, names: Mapping[str, object]
) -> Generated:
    """The function of a flow whose sources' payloads are in the format ``decode``, with these ``vars``."""
    paths = _paths(flow, plan, lets)
    contract = None if validator is None else ContractWriter(validator, None if paths is None else tree_of(paths))
    projected = contract.projection if contract else _projection(decode, paths)
    if projected is not None:
        generator = _Generator(flow, plan, lets, names, decode.codec, contract, projected)
        generator.write()
        if not generator.reads_whole_event:
            return generator.generated(decode)
    generator = _Generator(flow, plan, lets, names, decode.codec, contract)
    generator.write()
    return generator.generated(decode)


def _projection(decode: Format, paths: frozenset[tuple[str, ...]] | None) -> Projection | None:
    if paths is None:
        return None
    if decode.codec.decode_columns is not None:
        return columns_projection(paths)
    return projection(paths) if decode.type == "json" else None


def _paths(flow: Flow, plan: Plan, lets: Lets) -> frozenset[tuple[str, ...]] | None:
    """What a flow reads of an event, as paths below it, if it sends every record out as it came."""
    if any(lane.reshapes for lane in plan.lanes) or any(rule.shape or rule.split for rule in flow.rules):
        return None
    gates = [gate.key for rule in flow.rules for gate in rule.gates if gate.key is not None]
    checks = [*flow.contract.expect, *(check for rule in flow.rules for check in rule.expect)]
    found = [check.expr for check in checks] + [rule.when for rule in flow.rules if rule.when is not None] + gates
    values = [value for lane in plan.lanes for value in lane.templates.values()]
    targets = [*(target for rule in flow.rules for target in rule.targets), *unmatched_targets(flow)]
    values += [value for target in targets for value in target.settings.values()]
    found += [expr for value in values for expr in _exprs(value)]
    paths = {path for expr in found for path in references(lets.inline(expr.cel.node)) if path[0] == "event"}
    return frozenset(path[1:] for path in paths)


class _Generator:
    """Writes the function of one flow."""

    def __init__(
        self,
        flow: Flow,
        plan: Plan,
        lets: Lets,
        names: Mapping[str, object],
        codec: Codec,
        contract: ContractWriter | None,
        projected: Projection | None = None,
    ) -> None:
        self._flow = flow
        self._plan = plan
        self._code = self.code = Code({"U": object(), "Letter": Letter})
        self._codec = codec
        self._contract = contract
        self._writers: dict[Format, str] = {}
        self._record = RecordCompiler(self._code, lets, names, projected)
        self._record.memos = _repeated(flow, self._record)
        self._binds_rules = len(flow.rules) <= _FEW
        self._binds_lanes = len(plan.lanes) <= _FEW
        self._dispatch = DispatchWriter(flow, self._code, self._record, self)
        self._gates = GateWriter(flow, self._code, self._record, self._send_held)
        self._main = Form("event", "False")
        self._ends = False  # whether no record gets any further than what is written

    @property
    def reads_whole_event(self) -> bool:
        """Whether something that was written needs the whole event, and not only its fields."""
        return self._record.reads_whole_event

    def generated(self, decode: Format) -> Generated:
        """What was written, compiled."""
        file = f"<ruleset {self._flow.name} {self._flow.version} {decode}>"
        changes = any(lane.reshapes for lane in self._plan.lanes)
        takes_lines = decode.type == "json" and not changes and not self._record.reads_raw
        return Generated(self._code.function("route", file), self._code.source, takes_lines)

    def write(self) -> None:
        """Write all of it."""
        code, record, contract = self._code, self._record, self._contract
        projected = record.projection is not None
        for name in record.memos.values():
            record.start[name] = "U"
        keys = code.reserve()
        if contract is not None:
            contract.write_before(code, projected=projected)
        with code.block("def route(columns, values, source, start, into, slow):"):
            before = code.reserve()
            with code.block(self._loop()):
                with code.block("try:"):
                    self._decode()
                    start = code.reserve()
                    if contract is not None:
                        contract.write(code, projected=projected)
                    self._expect(self._flow.contract.expect)
                    self._rules()
                with code.block("except Exception:"):
                    code.line("slow(i)")
            before(*(f"{name} = {text}" for name, text in record.before.items()))
            start(*(f"{name} = {text}" for name, text in record.start.items()))
        keys(*self._dispatch.keys)

    def _loop(self) -> str:
        """Write what decodes many payloads at once, where there is such a thing; back comes the head of the loop."""
        projected, codec, before = self._record.projection, self._codec, self._record.before
        namespace = self._code.namespace
        namespace |= {"known": codec.known, "UNDECODED": UNDECODED}
        if projected is not None and projected.decode is None:
            namespace |= {"columns_of": partial(_columns_of, codec), "NAMES": projected.names}
            before["cells"] = "columns_of(columns, start, values, NAMES)"
            fields = "".join(f", {attribute}" for attribute, _ in projected.root.fields.values())
            # Strict: should there ever be fewer events than payloads, none may go unnoticed.
            return f"for i, raw, whole{fields} in zip(range(start, start + len(values)), values, *cells, strict=True):"
        if projected is None and codec.decode_all is not None:
            namespace["decode_all"] = codec.decode_all
            before["events"] = "decode_all(values, known(columns, start, len(values)))"
            return "for i, raw, event in zip(range(start, start + len(values)), values, events, strict=True):"
        namespace["decode"] = codec.decode_plain if projected is None else projected.decode
        return "for i, raw in enumerate(values, start):"

    def _decode(self) -> None:
        projected, code = self._record.projection, self._code
        if projected is not None and projected.decode is None:
            code.line("if not whole: raise Surprise")
        elif projected is None and self._codec.decode_all is not None:
            code.line("if event is UNDECODED: raise Surprise")
        else:
            if projected is not None:
                self._record.before["ascii"] = "columns.is_ascii"
                code.line("ascii or raw.isascii() or raw.decode()")
            code.line("event = decode(raw)")

    def _expect(self, checks: Sequence[Check]) -> None:
        for check in checks:
            cond = self._record.condition(self._record.node(check.expr))
            if cond.true != "True":
                self._code.line(f"if not {cond.true}: raise Surprise")

    # Rules

    def _rules(self) -> None:
        stays = any(rule.to and rule.continues for rule in self._flow.rules)
        if stays:
            self._record.start["seen"] = "False"
        number = 0
        while number < len(self._flow.rules) and not self._ends:
            switch = self._dispatch.switches.get(number)
            if switch is not None:
                self._dispatch.write(switch)
                number += len(switch.choices)
            else:
                self._rule(number, self._flow.rules[number])
                number += 1
        if self._ends:
            return
        if stays:
            with self._code.block("if not seen:"):
                self._unmatched()
        else:
            self._unmatched()
        self._gates.leave(delivers=False, goes_on="")

    def _unmatched(self) -> None:
        self._append("strays", "into.strays", "i")
        number = len(self._plan.labels) - 1
        letter = ("rule", None, "unmatched", "no rule matched")
        self._targets(number, UNMATCHED, unmatched_targets(self._flow), self._main, letter)

    def _rule(self, number: int, rule: Rule) -> None:
        if rule.when is None:
            self.matched(number, rule)
        else:
            self.asked(number, rule, self._record.node(rule.when))
        if rule.is_step and rule.shape:
            self._code.known = {}

    def asked(self, number: int, rule: Rule, condition: Node) -> None:
        """Write a rule that matches where the condition holds."""
        self._record.branch(
            condition,
            lambda: self.matched(number, rule),
            lambda: self._append(f"missed{number}", f"into.missed[{number}]", "i"),
        )

    def matched(self, number: int, rule: Rule) -> None:
        """Write what a rule does with a record that matches."""
        self._expect(rule.expect)
        if rule.gates:
            self._gates.write(number, rule, lambda: self._passed(number, rule))
        else:
            self._passed(number, rule)

    def sole_lane(self, rule: Rule) -> int | None:
        """The lane to which a rule sends a record as it came, where that is all that it does."""
        if rule.continues or rule.expect or rule.gates or rule.shape or rule.split is not None or len(rule.to) != 1:
            return None
        target = rule.to[0]
        number = self._plan.lane_of.get(target.sink)
        if number is None or target.shape or target.settings:
            return None
        lane = self._plan.lanes[number]
        return None if lane.reshapes or lane.columns else number

    def sent(self) -> None:
        """Write that a record has been sent on, and goes no further."""
        self._gates.delivered()
        self._gates.leave(delivers=True)

    def _send_held(self, number: int, rule: Rule, target: Target, letter: Why) -> None:
        """What a gate holds goes where it says, as the steps before have left it."""
        self._targets(number, rule.name, (target,), self._main, letter)
        self._append(f"hits{number}", f"into.hits[{number}]", "i")
        if rule.continues:
            self._code.line("seen = True")

    def _passed(self, number: int, rule: Rule) -> None:
        if rule.is_step:
            self._step(rule)
            self._append(f"hits{number}", f"into.hits[{number}]", "i")
            return
        letter = ("rule", rule.name, "rule", "")
        if rule.split is None:
            form = self._record.shaped(rule.shape, self._main)
            self._targets(number, rule.name, rule.to, form, letter)
        else:
            self._split(number, rule, rule.split, letter)
        if self._plan.tallies[number] is None:
            self._append(f"hits{number}", f"into.hits[{number}]", "i")
        if rule.continues:
            self._code.line("seen = True")
        else:
            delivers = rule.split is None and any(target.sink in self._plan.lane_of for target in rule.to)
            self._gates.leave(delivers=delivers)
            self._ends = rule.takes_all

    def _step(self, rule: Rule) -> None:
        if not rule.shape:
            return
        record, code = self._record, self._code
        record.start["changed"] = "False"
        form = record.shaped(rule.shape, Form("event", "False"))
        always = rule.when is None and form.changed == "True" and all(gate.held for gate in rule.gates)
        if self._main.changed != "True":
            code.line(f"changed = {form.changed if form.changed == 'True' else 'changed or ' + form.changed}")
            self._main = Form("event", "True" if always else "changed")
        code.line(f"event = {form.local}")
        for name in [name for name in record.start if name.startswith("written_")]:
            code.line(f"{name} = None")
        record.changed_event()

    def _split(self, number: int, rule: Rule, split: Split, letter: tuple[str, str | None, str, str]) -> None:
        record, code = self._record, self._code
        elements = record.elements(split.each)
        with code.block(f"if not {elements}:"):
            self._append(f"drops{number}", f"into.drops[{number}]", "i")
        element = code.name("e")
        with code.block("else:"):
            lanes = [target for target in rule.to if target.sink in self._plan.lane_of]
            with code.block(f"for {element} in {elements}:"), record.element(split.name, element):
                form = record.shaped(rule.shape, Form(element, "True"))
                self._targets(number, rule.name, lanes, form, letter)
            others = [target for target in rule.to if target.sink not in self._plan.lane_of]
            self._targets(number, rule.name, others, self._main, letter)

    # Targets

    def _targets(
        self, number: int, label: str, targets: Sequence[Target], form: Form, letter: tuple[str, str | None, str, str]
    ) -> None:
        for target in targets:
            place = self._plan.lane_of.get(target.sink)
            if place is not None:
                self._deliver(label, target, self._plan.lanes[place], form)
            elif target.sink == DROP:
                self._append(f"drops{number}", f"into.drops[{number}]", "i")
            else:
                self._append("letters", "into.letters", f"Letter(i, {', '.join(map(repr, letter))})")

    def _deliver(self, label: str, target: Target, lane: Lane, form: Form) -> None:
        record = self._record
        form = record.shaped(target.shape, form)
        chosen = {**lane.templates, **target.settings}
        with record.seeing(form.local):
            settings = {name: record.setting(name, chosen[name]) for name in lane.columns if name in chosen}
        at = f"into.lanes[{lane.number}]"
        self._append(f"values{lane.number}", f"{at}.values", self._written(lane, form) if lane.reshapes else "raw")
        for place, name in enumerate(lane.columns):
            text = settings.get(name, "None")
            self._append(f"column{lane.number}_{place}", f"{at}.columns[{name!r}]", text)
        if lane.shared:
            self._append(f"rules{lane.number}", f"{at}.rules", repr(label))
        self._append(f"lane{lane.number}", f"{at}.indices", "i")
        self._gates.delivered()

    def _written(self, lane: Lane, form: Form) -> str:
        """The payload that goes out, as an expression."""
        write = self._writers.setdefault(lane.encode, f"write_{lane.encode}{len(self._writers) or ''}")
        codec = lane.encode.codec
        self._code.namespace[write] = codec.encode_plain if self._codec.decodes_plain else codec.encode
        changed = "True" if lane.always else form.changed
        if lane.rewrites and changed != "True":
            self._record.before["came_with"] = f"columns.attributes.get({lane.rewrites!r})"
            self._record.start["anew"] = "came_with is not None and came_with[i] is not None"
            changed = "anew" if changed == "False" else f"({changed} or anew)"
        if changed == "False":
            return "raw"
        if form.local == "event":
            return self._written_once(write, changed)
        key = (write, form.local, changed)
        known = self._code.known.get(key)
        if known is None:
            text = f"{write}({form.local})"
            known = Operand(self._code.let(text if changed == "True" else f"{text} if {changed} else raw"))
            self._code.known[key] = known
        return known.text

    def _written_once(self, write: str, changed: str) -> str:
        """The event as the steps left it may go to several sinks, and is written for the first of them only."""
        name, code = write.replace("write", "written", 1), self._code
        self._record.start[name] = "None"
        with code.block(f"if {name} is None:" if changed == "True" else f"if {changed} and {name} is None:"):
            code.line(f"{name} = {write}(event)")
        return name if changed == "True" else f"{name} if {changed} else raw"

    def _append(self, name: str, where: str, text: str) -> None:
        """Write that something is appended to a list of the decisions."""
        if self._binds_lanes if where.startswith("into.lanes") else self._binds_rules:
            self._record.before[name] = f"{where}.append"
            self._code.line(f"{name}({text})")
        else:
            self._code.line(f"{where}.append({text})")


def _columns_of(
    codec: Codec, columns: Columns, start: int, values: Sequence[bytes], names: Sequence[str]
) -> list[Sequence[object]]:
    """Whether each payload was read, and the values of each field; MISSING in those that no record has."""
    assert codec.decode_columns is not None  # noqa: S101 - asked by whoever wrote the call
    known, fields = codec.known(columns, start, len(values)), columns.fields
    if fields is not None:
        fields = fields.part(start, start + len(values))
    whole, found = codec.decode_columns(values, known, names, fields)
    return [whole, *(Constant(MISSING, len(values)) if column is None else column for column in found)]


def _repeated(flow: Flow, record: RecordCompiler) -> dict[Node, str]:
    """Costly expressions that several places use, which are computed at most once while the event stays the same."""
    found: Counter[Node] = Counter()
    for node in _nodes(flow, record):
        found.update(_costly(node))
    often = [node for node, count in found.items() if count > 1]
    return {node: f"shared{number}" for number, node in enumerate(often)}


def _costly(node: Node) -> Iterator[Node]:
    is_call = isinstance(node, nodes.Call) and node.name not in _CHEAP
    if (is_call or isinstance(node, nodes.Macro | nodes.Bind)) and not is_impure(node):
        names = free_variables(node)
        if "vars" not in names and names and names <= _RECORD:
            yield node
    if not isinstance(node, nodes.Macro | nodes.Bind):
        for child in nodes.children(node):
            yield from _costly(child)


def _nodes(flow: Flow, record: RecordCompiler) -> Iterator[Node]:
    """The expressions that see the event as it is at their rule."""
    for check in flow.contract.expect:
        yield record.node(check.expr)
    for rule in flow.rules:
        exprs = [check.expr for check in rule.expect]
        exprs += [rule.when] if rule.when else []
        exprs += [gate.key for gate in rule.gates if gate.key is not None]
        exprs += [rule.split.each] if rule.split else []
        yield from map(record.node, exprs)
        for shape in (rule.shape, *(target.shape for target in rule.targets)):
            for value in (shape.emit, *(assignment.value for assignment in shape.set)):
                yield from map(record.node, _exprs(value))


def _exprs(value: Value) -> Iterator[Expr]:
    """The expressions inside a value of the file."""
    if isinstance(value, Template):
        yield from (part for part in value.parts if not isinstance(part, str))
    elif isinstance(value, tuple):
        for part in value:
            yield from _exprs(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _exprs(part)
