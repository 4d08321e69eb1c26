"""What each file says about the others: names that must exist, and things that go together."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from pathlib import Path
from typing import Any, cast

from router.config.chosen import constants_of, refused, untaken
from router.config.model import KEYS, DeadLetterPolicy, SinkSpec, SourceSpec, incoming_format
from router.config.validation import faults_of
from router.diskbuffer import file_of
from router.framing import Framing
from router.interfaces import Rejects
from router.plugins import BrokenConnector, UnknownConnector, connector_class
from router.settings import Settings
from rules.codecs import Format
from rules.document import Document, Node, load
from rules.faults import Fault, Place
from rules.flow import DEAD_LETTER, DROP, ENDS, PASS, REJECT, Flow, Target
from rules.form import Form
from rules.reader import sink_targets
from rules.suggest import did_you_mean, nearest

_LONGEST_NAME = 240
_RECORD = ("event", "raw", "key", "headers")


def are_declared(document: Document, key: str) -> bool:
    """Whether the names under a key are known: it is a mapping that could be read to its end, or not there at all."""
    node = document.node((key,))
    if document.is_cut((key,)):
        return False
    return document.root.entries.keys() <= set(KEYS) if node is None else isinstance(node.data, dict)


def known_vars(document: Document) -> Mapping[str, object] | None:
    """What stands under ``vars``, if all of it is known."""
    node = document.node(("vars",))
    if not are_declared(document, "vars") or (node is not None and any(part.cut for part in node.collections())):
        return None
    return {} if node is None else cast("Mapping[str, object]", node.data)


def known_names(document: Document) -> Mapping[str, Collection[str]]:
    """The names under ``tables`` and ``secrets``, if all of them are known."""
    found = {}
    for key in ("tables", "secrets"):
        node = document.node((key,))
        if are_declared(document, key):
            found[key] = [] if node is None else list(node.entries)
    return found


def cross_check(
    document: Document,
    sources: Mapping[str, SourceSpec | None],
    sinks: Mapping[str, SinkSpec | None],
    flows: Sequence[Flow],
    models: Mapping[str, type[Any] | None],
    letters: DeadLetterPolicy,
    texts: Mapping[str, bytes],
    folder: Path,
    faults: list[Fault],
) -> list[Fault]:
    """Add every fault to ``faults``; return what is no fault and yet probably not meant. Files that sinks write are
    relative to ``folder``."""
    checks = _Checks(document, sources, sinks, models, letters, texts, folder, faults)
    checks.names(flows)
    checks.letters(flows)
    checks.readers(flows)
    checks.framings(flows)
    checks.clashes(flows)
    checks.conflicts()
    checks.files()
    for flow in flows:
        checks.rejections(flow)
        checks.buffers(flow)
        checks.targets(flow)
        checks.model(flow)
        checks.tests(flow)
    return [
        *checks.idle(flows),
        *checks.unused(),
        *checks.early(flows),
        *checks.advice(),
    ]


class _Checks:
    def __init__(
        self,
        document: Document,
        sources: Mapping[str, SourceSpec | None],
        sinks: Mapping[str, SinkSpec | None],
        models: Mapping[str, type[Any] | None],
        letters: DeadLetterPolicy,
        texts: Mapping[str, bytes],
        folder: Path,
        faults: list[Fault],
    ) -> None:
        self._document = document
        self._sources = sources
        self._sinks = sinks
        self._models = models
        self._letters = letters
        self._texts = texts
        self._folder = folder
        self._targets: dict[str, dict[Place, Node]] = {}
        self._faults = faults

    def _fault(self, place: Place, what: str, hint: str = "") -> None:
        self._faults.append(Fault(place, what, hint))

    def names(self, flows: Sequence[Flow]) -> None:
        """No two flows have one name."""
        first: dict[str, Flow] = {}
        for flow in flows:
            if flow.name in first:
                what = f"a second flow is named `{flow.name}`"
                self._fault(
                    flow.place, what, f"the first is in {first[flow.name].place.file}; should have another `flow:`"
                )
            first.setdefault(flow.name, flow)

    def letters(self, flows: Sequence[Flow]) -> None:
        """Dead letters are moved to sinks that exist, by flows that exist."""
        names = [flow.name for flow in flows]
        form = Form(self._document)
        for flow, sink in self._letters.routes:
            path = ("dead_letters", "to") if flow is None else ("dead_letters", "to", flow)
            if form.is_unsure(path):
                continue
            if sink not in self._sinks and are_declared(self._document, "sinks"):
                self._fault(self._document.place(path), f"there is no sink `{sink}`", did_you_mean(sink, self._sinks))
            if flow is not None and flow not in names:
                place = self._document.key_place(path)
                self._fault(place, f"there is no flow `{flow}`", did_you_mean(flow, names))

    def readers(self, flows: Sequence[Flow]) -> None:
        """Every source that a flow reads exists, and no other flow reads it."""
        reader: dict[str, Flow] = {}
        for flow in flows:
            for name, place in flow.sources:
                if name not in self._sources and are_declared(self._document, "sources"):
                    self._fault(place, f"there is no source `{name}`", did_you_mean(name, self._sources))
                elif name in reader and reader[name] is not flow:
                    what = f"source `{name}` is read by flow `{reader[name].name}` already"
                    self._fault(place, what, "should be another source, declared for this flow with its own group")
                reader.setdefault(name, flow)

    def framings(self, flows: Sequence[Flow]) -> None:
        """What is written by a framing is what it can frame."""
        for name, spec in self._sinks.items():
            framing = None if spec is None else getattr(spec.settings, "framing", None)
            if spec is None or not isinstance(framing, Framing):
                continue
            why = framing.of(self._outgoing(spec, flows)).cannot_join
            if why:
                place = self._document.place(("sinks", name, "framing"))
                self._fault(place, f"nothing can be written to sink `{name}` by the framing {framing.type}", why)

    def clashes(self, flows: Sequence[Flow]) -> None:
        """The settings of sources and sinks go with each other, and with what they carry."""
        for key, spec in self._components():
            payloads = spec.decode if isinstance(spec, SourceSpec) else self._outgoing(spec, flows)
            for setting, (what, hint) in spec.settings.clashes(payloads.type).items():
                self._fault(self._document.place((key, spec.name, setting)), what, hint)

    def _outgoing(self, spec: SinkSpec, flows: Sequence[Flow]) -> Format:
        return spec.encode or incoming_format(spec.name, flows, self._sources, self._letters)

    def files(self) -> None:
        """A sink with a disk buffer has a name that a file can have."""
        for name, spec in self._sinks.items():
            if spec is not None and spec.buffer is not None and len(file_of(Path(), name).name) > _LONGEST_NAME:
                place = self._document.key_place(("sinks", name))
                self._fault(place, "the name is too long for the file of a disk buffer", "should be shorter")

    def conflicts(self) -> None:
        """No two sources and sinks want the same thing for themselves."""
        for (_, first), (key, second) in combinations(self._components(), 2):
            if why := second.settings.conflict(first.settings):
                place = self._document.key_place((key, second.name))
                self._fault(place, f"`{second.name}` cannot run beside `{first.name}`: {why}")

    def _components(self) -> Iterator[tuple[str, SourceSpec | SinkSpec]]:
        """Every source and sink without faults, with the key under which it stands."""
        for key, specs in (("sources", self._sources), ("sinks", self._sinks)):
            yield from ((key, spec) for spec in specs.values() if spec is not None)

    def rejections(self, flow: Flow) -> None:
        """What a flow rejects came from a source that can send it back."""
        for target in flow.otherwise.rejecting:
            for name, _ in flow.sources:
                kind, connector = self._connector("sources", name)
                if connector is not None and not issubclass(connector, Rejects):
                    what = f"`reject` needs a source that answers who sent the records, and `{name}` is a {kind}"
                    self._fault(target.place, what, "should be `dead_letter`, `drop` or a sink")

    def buffers(self, flow: Flow) -> None:
        """What a source promises to be in a buffer goes to sinks that have one."""
        for name, spec in self._promising(flow, "buffered"):
            for sink in self._sinks_of(flow):
                if sink.buffer is None:
                    place = self._document.place(("sources", name, "accept"))
                    what = f"a {spec.type} that accepts what is `buffered` sends to `{sink.name}`, which has no buffer"
                    self._fault(place, what, f"should be `delivered`, or `{sink.name}` have `buffer: {{type: disk}}`")

    def early(self, flows: Sequence[Flow]) -> Iterator[Fault]:
        """Sources that promise delivery, and whose records are taken for safe before that."""
        for flow in flows:
            for name, _ in self._promising(flow, "delivered"):
                for sink in self._sinks_of(flow):
                    if sink.buffer is not None:
                        what = f"source `{name}` does not wait until its records are delivered to `{sink.name}`"
                        hint = "its disk buffer has them; `accept: buffered` says so, where every sink has one"
                        yield Fault(self._document.key_place(("sources", name)), what, hint)

    def _promising(self, flow: Flow, promise: str) -> list[tuple[str, SourceSpec]]:
        found = [(name, spec) for name, _ in flow.sources if (spec := self._sources.get(name)) is not None]
        return [(name, spec) for name, spec in found if spec.settings.acknowledged() == promise]

    def _sinks_of(self, flow: Flow) -> list[SinkSpec]:
        names = dict.fromkeys(target.sink for target in sink_targets(flow.rules, flow.otherwise))
        return [spec for name in names if (spec := self._sinks.get(name)) is not None]

    def targets(self, flow: Flow) -> None:
        """Every sink exists, and lets deliveries choose what its targets set."""
        for target in sink_targets(flow.rules, flow.otherwise):
            if target.sink not in self._sinks:
                if not are_declared(self._document, "sinks"):
                    continue
                known = [*self._sinks, *_words(flow, target)]
                place = self._place(target, "sink", at_value=True)
                self._fault(place, f"there is no sink `{target.sink}`", did_you_mean(target.sink, known))
                continue
            chosen = self._per_record(target.sink)
            per_record = sorted(target.settings if chosen is None else chosen)
            for name in target.settings:
                if name not in per_record:
                    what = f"a delivery to `{target.sink}` cannot choose `{name}`"
                    hint = did_you_mean(name, [*per_record, "set", "unset", "emit"])
                    self._fault(self._place(target, name), what, hint)
            self._constants(target)

    def _constants(self, target: Target) -> None:
        """What a target sets to the same for every record is what its sink takes."""
        config, spec = self._config(target.sink), self._sinks.get(target.sink)
        chosen = {} if config is None else constants_of(target.settings, config.per_record())
        if config is None or not chosen:
            return
        errors = untaken(config, chosen)
        reasons = {} if spec is None or errors else refused(spec, chosen, self._folder)
        node = self._node(target) if errors or reasons else None
        if node is not None:
            below = Document(node)
            self._faults += faults_of(below, config, errors)
            self._faults += [Fault(below.place((name,)), what, hint) for name, (what, hint) in reasons.items()]

    def _per_record(self, sink: str) -> frozenset[str] | None:
        """What deliveries to a sink may choose; None where that cannot be known."""
        config = self._config(sink)
        return None if config is None else config.per_record()

    def _config(self, sink: str) -> type[Settings] | None:
        """What the settings of a sink are; None where that cannot be known."""
        connector = self._connector("sinks", sink)[1]
        return None if connector is None else cast("type[Settings]", connector.Config)

    def _connector(self, key: str, name: str) -> tuple[str, type[Any] | None]:
        """The type of a source or sink and its class; None where that cannot be known. It can of one with faults."""
        entry = self._document.node((key, name))
        use = None if entry is None else entry.child("use")
        users = [entry, None if use is None else self._document.node(("connections", str(use.data)))]
        types = [str(node.data) for part in users if part is not None and (node := part.child("type")) is not None]
        with contextlib.suppress(UnknownConnector, BrokenConnector):
            if types:
                return types[0], connector_class("source" if key == "sources" else "sink", types[0])
        return "", None

    def _place(self, target: Target, key: str, *, at_value: bool = False) -> Place:
        """Where a key of a target stands; the target's own place where it is but a name."""
        node = self._node(target)
        return (
            target.place if node is None or key not in node.entries else node.entries[key][1 if at_value else 0].place
        )

    def _node(self, target: Target) -> Node | None:
        """The mapping that a target was read from."""
        file = target.place.file
        if file not in self._targets:
            document, _ = load(self._texts.get(file, b""), file)
            below = [] if document is None else [document.root]
            found: dict[Place, Node] = {}
            while below:
                node = below.pop()
                if "sink" in node.entries:
                    found.setdefault(node.place, node)
                below += _children(node)
            self._targets[file] = found
        return self._targets[file].get(target.place)

    def model(self, flow: Flow) -> None:
        """The model of the contract exists."""
        name, place = flow.contract.model, flow.contract.model_place
        is_known = name in self._models or not are_declared(self._document, "models")
        if name is not None and place is not None and not is_known:
            self._fault(place, f"there is no model `{name}`", did_you_mean(name, self._models))

    def tests(self, flow: Flow) -> None:
        """Tests name sinks that the flow has, and expect of records nothing that the sink does not have."""
        targets = {target.sink for target in sink_targets(flow.rules, flow.otherwise)}
        misspelt = not targets <= self._sinks.keys()  # then that is the fault, and the test may well be right
        for test in flow.tests:
            for sink, expected in test.then.items():
                if sink not in targets | ENDS and not (misspelt and sink in self._sinks):
                    known = [*sorted(target for target in targets if target in self._sinks), DROP, DEAD_LETTER]
                    self._fault(expected.name_place, f"this flow has no sink `{sink}`", did_you_mean(sink, known))
                chosen = self._per_record(sink)
                known = [*_RECORD, *sorted(chosen or ())]
                for places in expected.key_places if chosen is not None else ():
                    for key, place in places.items():
                        if key not in known:
                            self._fault(place, f"a record at `{sink}` has no `{key}`", did_you_mean(key, known))

    def idle(self, flows: Sequence[Flow]) -> Iterator[Fault]:
        """Sources that no flow reads, and sinks that no flow names."""
        read = {name for flow in flows for name, _ in flow.sources}
        named = {target.sink for flow in flows for target in sink_targets(flow.rules, flow.otherwise)}
        named |= self._letters.sinks
        for name in self._sources:
            if not self._may_be_meant(name, read, self._sources):
                yield Fault(self._document.key_place(("sources", name)), f"no flow reads source `{name}`")
        for name in self._sinks:
            if not self._may_be_meant(name, named, self._sinks):
                yield Fault(self._document.key_place(("sinks", name)), f"no flow sends anything to sink `{name}`")

    def unused(self) -> Iterator[Fault]:
        """Connections that no source and no sink uses."""
        declared = self._document.node(("connections",))
        if declared is None or not all(are_declared(self._document, key) for key in ("sources", "sinks")):
            return
        used = set()
        for key, specs in (("sources", self._sources), ("sinks", self._sinks)):
            for name, spec in specs.items():
                entry = self._document.node((key, name))
                use = None if entry is None else entry.child("use")
                if spec is None and entry is not None and use is None and _may_use(entry):
                    return
                used |= set() if use is None else {str(use.data)}
        if used <= declared.entries.keys():  # else one of them is meant
            for name in declared.entries.keys() - used:
                what = f"no source and no sink uses connection `{name}`"
                yield Fault(self._document.key_place(("connections", name)), what)

    def _may_be_meant(self, name: str, used: AbstractSet[str], declared: Mapping[str, object]) -> bool:
        """Whether a name is used, or may be where it is misspelt or could not be read."""
        if name in used or any(nearest(other, [name]) for other in used - declared.keys()):
            return True
        is_read = not any(fault.place.file in self._texts for fault in self._faults)
        return not is_read and any(name.encode() in text for text in self._texts.values())

    def advice(self) -> Iterator[Fault]:
        """Settings that do something else than most people think."""
        for key, spec in self._components():
            for setting, (what, hint) in spec.settings.advice().items():
                yield Fault(self._document.place((key, spec.name, setting)), what, hint)


def _may_use(entry: Node) -> bool:
    """Whether an entry that has faults may be meant to use a connection."""
    is_cut = any(part.cut for part in entry.collections())
    return is_cut or "type" not in entry.entries or any(nearest(key, ["use"]) for key in entry.entries)


def _words(flow: Flow, target: Target) -> list[str]:
    """What may stand in the place of a target and is no sink."""
    invalid, undecodable = flow.otherwise.invalid, flow.otherwise.undecodable
    is_invalid = not isinstance(invalid, str) and any(other is target for other in invalid)
    is_undecodable = any(other is target for other in undecodable)
    return [DROP, DEAD_LETTER, *([PASS] if is_invalid else []), *([REJECT] if is_invalid or is_undecodable else [])]


def _children(node: Node) -> list[Node]:
    return [*node.items, *(value for _, value in node.entries.values())]
