"""Sources and sinks: an entry of the daemon's file, with its connection and the defaults, as a specification."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from msgspec import Struct, field

from router.config.crosschecks import are_declared, known_names, known_vars
from router.config.inputs import Inputs
from router.config.interpolation import Filled
from router.config.model import SinkCommon, SinkSpec, SourceCommon, SourceSpec
from router.config.validation import document_of, not_taken, read_mixed, validate, without_faults
from router.plugins import BrokenConnector, Kind, UnknownConnector, connector_class, types
from router.settings import Settings
from rules.codecs import Format
from rules.document import Document, Key, Node, merge
from rules.faults import Fault, Place
from rules.flow import ENDS, ROOTS, Value
from rules.form import Form
from rules.reader import Scope
from rules.suggest import did_you_mean, nearest

_SELECTORS = ("type", "use")
_WANTED = {
    "source": "a mapping such as {type: file, path: in.ndjson}",
    "sink": "a mapping such as {type: file, path: out.ndjson}",
}


class Components(Struct):
    """Reads the sources and sinks of a document. Faults go to ``faults``. Files are relative to ``folder``. A
    specification is made of one with faults, too, when they are in nothing that others depend on."""

    filled: Filled
    folder: Path
    inputs: Inputs
    faults: list[Fault] = field(default_factory=list)
    templates: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    """By sink, its settings that hold ``${CEL}``, as far as they could be read, whatever else is wrong with it."""

    def sources(self) -> dict[str, SourceSpec | None]:
        """Every source that is declared; None for one that could not be read."""
        return {name: self._source(name, node) for name, node in self._entries("sources").items()}

    def sinks(self) -> dict[str, SinkSpec | None]:
        """Every sink that is declared; None for one that could not be read."""
        return {name: self._sink(name, node) for name, node in self._entries("sinks").items()}

    def connections(self) -> None:
        """Check that every connection is one that some connector could use."""
        known = sorted({*types("source"), *types("sink")})
        parts = [self.filled.document.node((key,)) for key in ("sources", "sinks")]
        users = [entry for part in parts if part is not None for _, entry in part.entries.values()]
        used = {use.data for user in users if (use := user.child("use")) is not None and isinstance(use.data, str)}
        for name, entry in self._entries("connections").items():
            form = Form(entry, f"connection `{name}`")
            mapping = form.mapping((), entry.data, "a mapping such as {type: kafka, brokers: ...}")
            if mapping is not None and "type" not in mapping:
                self._untyped(form, "connections", name, "the type of the connectors that use it")
            elif mapping is not None:
                type_ = form.text(("type",), mapping["type"], "the type of the connectors that use it")
                if type_ is not None and type_ not in known:
                    form.fault(("type",), f"no connector of type `{type_}` is installed", did_you_mean(type_, known))
                elif type_ is not None and name not in used:
                    self._unused(form, type_, mapping)
            self.faults += form.faults

    def _untyped(self, form: Form, key: str, name: str, wanted: str) -> None:
        """An entry without a type; it may be meant for one of another file, which it is to change."""
        document = self.filled.document
        own, others = document.node((key, name)), document.node((key,))
        entries = {} if others is None else others.entries
        known = [other for other, (_, node) in entries.items() if own is None or node.origin.file != own.origin.file]
        if not nearest(name, known) or document.is_cut((key, name)):
            form.missing((), "type", wanted)
        elif not form.is_misspelt((), ["type"]):
            what = f"`{name}` changes nothing that another file declares, and has no `type` of its own"
            form.faults.append(Fault(document.key_place((key, name)), what, did_you_mean(name, known)))

    def _unused(self, form: Form, type_: str, mapping: Mapping[str, object]) -> None:
        """What nothing uses is not read with its users; its keys at least are to be those of some connector."""
        known = {"type", *SourceCommon.model_fields, *SinkCommon.model_fields, "allow"}
        for kind in get_args(Kind):
            with contextlib.suppress(UnknownConnector, BrokenConnector):
                known.update(connector_class(kind, type_).Config.model_fields)
        for key in mapping:
            if key not in known:
                form.unknown((key,), sorted(known))

    def _entries(self, key: str) -> dict[str, Document]:
        document = self.filled.document
        node = document.node((key,))
        if node is None:
            return {}
        form = Form(document)
        wanted = "a mapping of names to settings"
        mapping = form.mapping((key,), node.data, wanted) or {}
        found = {}
        for name in mapping:
            if not name or not name.isprintable() or name != name.strip():
                form.key_fault(
                    (key, name), f"`{name}` cannot be a name", "should be printable, with no space at its ends"
                )
            elif key == "sinks" and name in ENDS:
                form.key_fault((key, name), f"`{name}` is a word of the rules", "should be another name")
            found[name] = document.below((key, name))
        self.faults += form.faults
        return found

    def _source(self, name: str, entry: Document) -> SourceSpec | None:
        reading = _Reading(self.filled, self.folder, self.inputs, "source", name, entry, SourceCommon, self._untyped)
        spec = reading.source(name, self.filled.document.key_place(("sources", name)))
        self.faults += reading.form.faults
        return spec

    def _sink(self, name: str, entry: Document) -> SinkSpec | None:
        reading = _Reading(self.filled, self.folder, self.inputs, "sink", name, entry, SinkCommon, self._untyped)
        spec = reading.sink(name, self.filled.document.key_place(("sinks", name)))
        self.templates[name] = reading.templates
        self.faults += reading.form.faults
        return spec


class _Reading:
    """One entry being read: the defaults, what its connection says, and what it says itself, merged in this order."""

    def __init__(
        self,
        filled: Filled,
        folder: Path,
        inputs: Inputs,
        kind: Kind,
        name: str,
        entry: Document,
        common: type[SourceCommon | SinkCommon],
        untyped: Callable[[Form, str, str, str], None],
    ) -> None:
        self._untyped = untyped
        self._filled = filled
        self._folder = folder
        self._inputs = inputs
        self._kind: Kind = kind
        self._common = common
        self._is_readable = isinstance(entry.data, Mapping)
        self._is_whole = False
        self._name = name
        self.templates: Mapping[str, Value] = {}
        self.form = Form(entry, f"{kind} `{name}`")
        if not self._is_readable:
            self.form.wrong((), entry.data, _WANTED[kind])
            return
        connection = self._connection(entry)
        if connection is not None:
            entry = merge(connection, entry)
        defaults = filled.document.node(("defaults", kind))
        if defaults is not None and isinstance(defaults.data, Mapping):
            entry = merge(document_of(Document(defaults), common.model_fields), entry)
        faults = self.form.faults
        self.form = Form(entry, f"{kind} `{name}`")
        self.form.faults = faults
        self._is_whole = not faults

    def _connection(self, entry: Document) -> Document | None:
        node = entry.node(("use",))
        if node is None:
            return None
        declared = self._filled.document.node(("connections",))
        names = list(declared.entries) if declared is not None else []
        name = self.form.text(("use",), node.data, "the name of a connection")
        if name is None:
            return None
        if name not in names:
            if are_declared(self._filled.document, "connections"):
                self.form.fault(("use",), f"there is no connection `{name}`", did_you_mean(name, names))
            return None
        found = self._filled.document.below(("connections", name))
        if not isinstance(found.data, Mapping):
            return None
        own, its = entry.node(("type",)), found.node(("type",))
        if own is not None and its is not None and own.data != its.data:
            what = f"`type` is `{own.data}`, and connection `{name}` is of type `{its.data}`"
            self.form.fault(("type",), what, "should be left out beside `use`")
            self._is_readable = False
        return found

    def source(self, name: str, place: Place) -> SourceSpec | None:
        """The specification, as far as there are no faults."""
        connector = self._connector()
        if connector is None:
            return None
        common = self._validated(self._common, self._common.model_fields, connector)
        settings = self._settings(connector, {})
        if not isinstance(common, SourceCommon):
            return None
        decode = self._format("decode", common.decode)
        if settings is None or decode is None or not self._is_whole:
            return None
        return SourceSpec(name, self._type, connector, settings, decode, place, self._fingerprint())

    def sink(self, name: str, place: Place) -> SinkSpec | None:
        """The specification, as far as there are no faults."""
        connector = self._connector()
        if connector is None:
            return None
        per_record = connector.Config.per_record()
        common = self._validated(self._common, self._common.model_fields, connector)
        if common is None:
            common = without_faults(
                document_of(self.form.document, SinkCommon.model_fields), SinkCommon, ("encode", "buffer")
            )
        allow = self._allow(per_record)
        templates = self.templates = self._templates(per_record)
        settings = self._settings(connector, templates)
        if not isinstance(common, SinkCommon):
            return None
        encode = None if common.encode is None else self._encode(common.encode)
        is_known = settings is not None and (encode is None) == (common.encode is None)
        if settings is None or not is_known or not self._is_whole:
            return None
        return SinkSpec(
            name, self._type, connector, settings, templates, allow, common, encode, place, self._fingerprint()
        )

    def _encode(self, format: Format) -> Format | None:  # noqa: A002 - the word of the codecs
        encode = self._format("encode", format)
        if encode is not None and encode.cannot_be_chosen:
            hint = encode.cannot_be_chosen.removeprefix("it ")
            self.form.fault(("encode",), f"nothing can be written in {encode}", hint)
            return None
        return encode

    def _format(self, key: str, format: Format) -> Format | None:  # noqa: A002 - the word of the codecs
        """The format with the contents of the files that it names, and a codec that works."""
        try:
            made = format.loaded(lambda name: self._inputs.read(self._folder / name))
            _ = made.codec
        except OSError as error:
            self.form.fault((key,), f"{error.filename} cannot be read: {error.strerror}")
        except ValueError as error:
            self.form.fault((key,), str(error))
        else:
            return made
        return None

    @property
    def _type(self) -> str:
        node = self.form.document.node(("type",))
        return str(node.data) if node is not None else ""

    def _connector(self) -> type[Any] | None:
        if not self._is_readable:
            return None
        node = self.form.document.node(("type",))
        if node is None:
            if self.form.document.node(("use",)) is None:
                wanted = f"the type of a {self._kind}: {', '.join(types(self._kind))}"
                self._untyped(self.form, f"{self._kind}s", self._name, wanted)
            return None
        type_ = self.form.text(("type",), node.data, f"the type of a {self._kind}")
        if type_ is None:
            return None
        try:
            return connector_class(self._kind, type_)
        except UnknownConnector:
            if self.form.document.node(("use",)) is not None and type_ not in {*types("source"), *types("sink")}:
                return None  # which is said of the connection
            what = f"no {self._kind} of type `{type_}` is installed"
            self.form.fault(("type",), what, did_you_mean(type_, types(self._kind)))
        except BrokenConnector as error:
            self.form.fault(("type",), str(error))
        return None

    def _validated(self, model: type[Any], keys: Any, connector: type[Any]) -> Any:
        form = Form(document_of(self.form.document, keys))
        made = validate(form, self._filled, model, connector.Config.model_fields)
        self.form.faults += form.faults
        return made

    def _settings(self, connector: type[Any], templates: Mapping[str, Value]) -> Settings | None:
        """The connector's own settings. A setting with ``${CEL}`` is given as it is written where its type takes text,
        and else left out."""
        common, own = self._common_keys(), self._own_keys()
        form = Form(document_of(self.form.document, own))
        made = validate(form, self._filled, connector.Config, common)
        is_cut = any(part.cut for part in form.document.root.collections())
        if made is None and templates and not form.faults and not is_cut:
            unread = not_taken(form.document, connector.Config).intersection(templates)
            form = Form(document_of(self.form.document, [key for key in own if key not in unread]))
            made = validate(form, self._filled, connector.Config, common)
        self._check_plain(form)
        self.form.faults += form.faults
        return made if isinstance(made, Settings) and not form.faults else None

    def _common_keys(self) -> list[str]:
        return [*_SELECTORS, *self._common.model_fields, *(("allow",) if self._kind == "sink" else ())]

    def _own_keys(self) -> list[str]:
        common = self._common_keys()
        return [key for key in self.form.document.root.entries if key not in common]

    def _fingerprint(self) -> str:
        """What changes when the connector's own settings do, and tells nothing of them."""
        data = document_of(self.form.document, ("type", *self._own_keys())).data
        return hashlib.sha256(repr(_ordered(data)).encode("utf-8", "surrogatepass")).hexdigest()

    def _check_plain(self, form: Form) -> None:
        """``${CEL}`` stands nowhere but in settings that each delivery may choose, or that the connector fills in."""
        taking = self._taking_cel()
        for key, (_, node) in self.form.document.root.entries.items():
            if key not in taking:
                form.faults += self._filled.stray(node, taking)

    def _taking_cel(self) -> frozenset[str]:
        config: type[Settings] = connector_class(self._kind, self._type).Config
        return config.templates() if self._kind == "source" else config.templates() | config.per_record()

    def _templates(self, per_record: frozenset[str]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, (_, node) in self.form.document.root.entries.items():
            if key in per_record and any(text in self._filled.cel for text in node.texts()):
                found[key] = self._value(node)
        return found

    def _value(self, node: Node) -> Value:
        if node in self._filled.cel and node.cut:
            return None
        if node in self._filled.cel:
            document = self._filled.document
            scope = Scope(ROOTS, vars=known_vars(document), declared=known_names(document))
            return read_mixed(self.form, self._filled.cel[node], scope)
        if isinstance(node.data, dict):
            return {name: self._value(value) for name, (_, value) in node.entries.items()}
        if isinstance(node.data, list):
            return tuple(self._value(item) for item in node.items)
        return str(node.data) if isinstance(node.data, str) else cast("bool | int | float | None", node.data)

    def _allow(self, per_record: frozenset[str]) -> dict[str, tuple[str, ...]]:
        node = self.form.document.node(("allow",))
        if node is None:
            return {}
        wanted = "a mapping of settings to patterns, such as {topic: [events.*]}"
        mapping = self.form.mapping(("allow",), node.data, wanted) or {}
        found = {}
        for key, value in mapping.items():
            path: Key = ("allow", key)
            if key not in per_record:
                hint = did_you_mean(key, sorted(per_record))
                self.form.key_fault(path, f"`{key}` is no setting that a record may choose", hint)
            patterns = (
                [value] if isinstance(value, str) else self.form.sequence(path, value, "a list of patterns") or ()
            )
            texts = [
                self.form.text(
                    path if isinstance(value, str) else (*path, index), pattern, "a pattern such as events.*"
                )
                for index, pattern in enumerate(patterns)
            ]
            whole = tuple(text for text in texts if text is not None)
            if len(whole) == len(texts):
                found[key] = whole
        return found


def _ordered(data: object) -> object:
    """The same for the same data, whatever the order of its mappings."""
    if isinstance(data, Mapping):
        return sorted((repr(key), _ordered(value)) for key, value in data.items())
    return [_ordered(item) for item in data] if isinstance(data, list) else str(data) if isinstance(data, str) else data
