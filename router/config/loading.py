"""From files to a checked configuration, or to every fault in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, SecretStr

from router.config.components import Components
from router.config.crosschecks import cross_check, known_names, known_vars
from router.config.inputs import Inputs
from router.config.interpolation import Filled, fill
from router.config.literals import Unreadable, secrets_in
from router.config.model import KEYS, Configuration, DeadLetterPolicy, Http, Part, SinkCommon, SourceCommon
from router.config.models import import_models
from router.config.secrets import MASK
from router.config.tables import check_secrets, read_tables
from router.config.typechecks import type_check
from router.config.validation import document_of, validate, without_faults
from router.units import Duration
from rules.document import Document, Key, Node, merge
from rules.document import load as load_document
from rules.faults import Fault, Place, Refused
from rules.flow import Flow
from rules.form import Form
from rules.reader import read_flow


class Top(Part):
    """The plain settings of the daemon's file."""

    state_dir: str = "state"
    """The folder for positions and dead letters, relative to this file."""
    drain_timeout: Duration = 30.0
    """How long a stopping daemon waits for what it has read to be delivered."""
    vars: dict[str, JsonValue] = {}  # noqa: RUF012 - pydantic copies it
    """Values that expressions see as `vars`."""
    secrets: dict[str, Annotated[SecretStr, Field(min_length=1)]] = {}  # noqa: RUF012 - pydantic copies it
    """Secrets that `hash.hmac` and `mask.token` know by these names, each filled in by `${env:NAME}`, `${file:PATH}` or
    `${credential:NAME}`."""


def load(
    paths: Sequence[Path], environment: Mapping[str, str] | None = None, inputs: Inputs | None = None
) -> Configuration:
    """Read the daemon's files, one at least, later ones merged over earlier ones, and every rules file they name.

    ``environment`` is what ``${env:NAME}`` is filled in from; by default that of the process. ``inputs`` are told of
    every file that it depends on, whether it is refused or not. Raises ``rules.faults.Refused`` with every fault of
    every file.
    """
    faults: list[Fault] = []
    inputs = inputs or Inputs()
    document = _read(paths, faults, inputs)
    if document is None:
        raise Refused(faults)
    folder = Path(paths[0]).parent
    filled = fill(document, os.environ if environment is None else environment, folder, inputs)
    loading = _Loading(tuple(map(Path, paths)), folder, filled, inputs)
    configuration = loading.run()
    faults += [*filled.faults, *loading.faults]
    if faults or configuration is None:
        raise Refused(map(filled.masked, faults), map(filled.masked, loading.warnings))
    return configuration


@dataclass(frozen=True)
class Whereabouts:
    """Where an instance keeps its state, and where it is asked how it is; files of ``http`` are relative to
    ``folder``."""

    folder: Path
    state_dir: Path
    http: Http | None


def whereabouts(
    paths: Sequence[Path], environment: Mapping[str, str] | None = None, *, with_token: bool = True
) -> Whereabouts:
    """What the daemon's files say of these alone: for whoever talks to a daemon that runs, while the files may have
    faults that it has refused. Without the token, what it is filled in from need not be there, and ``http`` has some
    other text in its place. Raises ``rules.faults.Refused`` with the faults of these."""
    faults: list[Fault] = []
    inputs = Inputs()
    document = _read(paths, faults, inputs)
    if document is None:
        raise Refused(faults)
    folder = Path(paths[0]).parent
    wanted = document_of(document, ("state_dir", "http"))
    token = wanted.node(("http", "token"))
    if not with_token and token is not None and isinstance(token.data, str):
        wanted = Document(_holding(wanted.root, ("http", "token"), MASK))
    filled = fill(wanted, os.environ if environment is None else environment, folder, inputs)
    return _Loading(tuple(map(Path, paths)), folder, filled, inputs).whereabouts()


def _holding(node: Node, path: tuple[str, ...], data: str) -> Node:
    """The same node with other data at a path that is there."""
    if not path:
        return node.holding(data)
    key, value = node.entries[path[0]]
    entries = node.entries | {path[0]: (key, _holding(value, path[1:], data))}
    return node.holding({name: below.data for name, (_, below) in entries.items()}, entries=entries)


def _read(paths: Sequence[Path], faults: list[Fault], inputs: Inputs) -> Document | None:
    merged: Document | None = None
    for path in paths:
        try:
            data = inputs.read_text(Path(path), "main")
        except OSError as error:
            faults.append(Fault(Place(str(path)), f"cannot be read: {error.strerror}", "should be the daemon's file"))
            continue
        document, found = load_document(data, str(path), KEYS)
        faults += found
        if document is not None and not isinstance(document.data, dict):
            faults.append(
                Fault(document.place(()), "this is no configuration", "should be a mapping with `sources` and so on")
            )
        elif document is not None:
            merged = document if merged is None else merge(merged, document)
    return merged


class _Loading:
    def __init__(self, files: tuple[Path, ...], folder: Path, filled: Filled, inputs: Inputs) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self._files = files
        self._folder = folder
        self._filled = filled
        self._inputs = inputs
        self._document = filled.document

    def run(self) -> Configuration | None:
        """The configuration; None, or one with gaps, when there are faults."""
        self._check_keys()
        top = self._validated((), Top, Top.model_fields)
        http = self._http()
        letters = self._dead_letters()
        self._check_defaults()
        tables = read_tables(self._filled, self.faults)
        for path in (path for spec in tables.values() if (path := spec.watched) is not None):
            self._inputs.note(self._folder / path)
        components = Components(self._filled, self._folder, self._inputs)
        components.connections()
        sources, sinks = components.sources(), components.sinks()
        self.faults += components.faults
        models = import_models(self._document, self._folder.resolve(), self.faults, self._inputs)
        texts = self._flow_texts()
        flows = [flow for path, text in texts.items() if (flow := self._flow(path, text)) is not None]
        folder = self._folder.resolve()
        self.warnings = cross_check(self._document, sources, sinks, flows, models, letters, texts, folder, self.faults)
        known = known_vars(self._document)
        self.warnings += type_check(
            flows, sources, components.templates, models, known, texts, self._filled, self.faults
        )
        if self.faults or top is None:
            return None
        return Configuration(
            files=self._files,
            folder=self._folder.resolve(),
            state_dir=(self._folder / top.state_dir).resolve(),
            http=http,
            vars=top.vars,
            named_secrets={name: secret.get_secret_value() for name, secret in top.secrets.items()},
            tables=tables,
            drain_timeout=top.drain_timeout,
            dead_letters=letters,
            sources={name: spec for name, spec in sources.items() if spec is not None},
            sinks={name: spec for name, spec in sinks.items() if spec is not None},
            flows=tuple(flows),
            models={name: model for name, model in models.items() if model is not None},
            warnings=tuple(sorted(self.warnings)),
            places={key: self._document.key_place((key,)) for key in self._document.root.entries},
            version=self._version(flows),
            secrets=self._filled.secrets,
            texts=tuple(self._inputs.texts.values()),
        )

    def whereabouts(self) -> Whereabouts:
        """Where the instance is. Raises ``Refused``."""
        top, http = self._validated((), Top, ("state_dir",)), self._http()
        faults = [*self._filled.faults, *self.faults]
        if faults or top is None:
            raise Refused(map(self._filled.masked, faults))
        return Whereabouts(self._folder.resolve(), (self._folder / top.state_dir).resolve(), http)

    def _validated(self, path: Key, model: type[Any], keys: Any = None) -> Any:
        below = self._document.below(path)
        form = Form(below if keys is None else document_of(below, keys))
        made = validate(form, self._filled, model)
        self.faults += form.faults
        return made

    def _check_keys(self) -> None:
        form = Form(self._document)
        form.mapping((), self._document.data, "a mapping", KEYS)
        if "flows" not in self._document.root.entries:
            form.missing((), "flows", "the rules files, such as [rules/*.yaml]")
        self._check_filled(form)
        check_secrets(form)
        variables = self._document.node(("vars",))
        if variables is not None:
            form.json(("vars",), variables.data)
        self.faults += form.faults

    def _check_filled(self, form: Form) -> None:
        """Outside the settings of sinks and sources, which are checked with them, nothing holds ``${CEL}``."""
        for key in KEYS:
            node = self._document.node((key,))
            if node is not None and key not in ("sources", "sinks", "connections"):
                form.faults += self._filled.stray(node)

    def _http(self) -> Http | None:
        node = self._document.node(("http",))
        if node is None:
            return Http()
        if node.data is None or node.data is False:
            return None
        if not isinstance(node.data, dict):
            form = Form(self._document)
            form.wrong(("http",), node.data, "a mapping such as {listen: 127.0.0.1:9600}, or false")
            self.faults += form.faults
            return None
        http = self._validated(("http",), Http)
        is_whole = not self._document.is_cut(("http",))
        said = http or without_faults(self._document.below(("http",)), Http, ("listen", "token"))
        if said is not None and said.token is None and not said.is_loopback and is_whole:
            what = f"`{said.listen}` can be reached from other machines, and there is no `token`"
            hint = "should have a `token`, or listen on 127.0.0.1"
            self.faults.append(Fault(self._document.place(("http", "listen")), what, hint))
        return http if isinstance(http, Http) else None

    def _dead_letters(self) -> DeadLetterPolicy:
        node = self._document.node(("dead_letters",))
        if node is None or node.data is None:
            return DeadLetterPolicy()
        if not isinstance(node.data, dict):
            form = Form(self._document)
            form.wrong(("dead_letters",), node.data, "a mapping such as {retain: 30d, max_bytes: 10GiB}")
            self.faults += form.faults
            return DeadLetterPolicy()
        made = self._validated(("dead_letters",), DeadLetterPolicy)
        made = made or without_faults(self._document.below(("dead_letters",)), DeadLetterPolicy, ("to",))
        return made if isinstance(made, DeadLetterPolicy) else DeadLetterPolicy()

    def _check_defaults(self) -> None:
        node = self._document.node(("defaults",))
        if node is None:
            return
        form = Form(self._document)
        wanted = "a mapping such as {sink: {timeout: 10s}}"
        mapping = form.mapping(("defaults",), node.data, wanted, ("source", "sink"))
        self.faults += form.faults
        for kind in mapping or {}:
            self._validated(("defaults", kind), SourceCommon if kind == "source" else SinkCommon)

    def _flow_texts(self) -> dict[str, bytes]:
        """The bytes of every rules file that ``flows`` names, in order, each once."""
        node = self._document.node(("flows",))
        if node is None:
            return {}
        form = Form(self._document)
        wanted = "a list of rules files, such as [rules/*.yaml]"
        patterns = [node.data] if isinstance(node.data, str) else form.sequence(("flows",), node.data, wanted) or ()
        found: dict[Path, bytes] = {}
        for index, pattern in enumerate(patterns):
            path: Key = ("flows",) if isinstance(node.data, str) else ("flows", index)
            text = form.text(path, pattern, wanted)
            for file in [] if text is None else self._matching(form, path, text):
                self._take(form, path, file, found)
        self.faults += form.faults
        return {str(file): data for file, data in found.items()}

    def _matching(self, form: Form, path: Key, pattern: str) -> list[Path]:
        folder = Path(form.document.place(path).file).parent
        try:
            names = self._inputs.matching(folder, pattern)
        except (ValueError, RecursionError) as error:
            form.fault(path, f"`{pattern}` is no pattern of files: {error}", "should be like rules/*.yaml")
            return []
        files = [folder / name for name in names if not (folder / name).is_dir()]
        if not files:
            form.fault(path, f"no file matches `{pattern}`", f"should be relative to {folder.resolve()}")
        return files

    def _take(self, form: Form, path: Key, file: Path, found: dict[Path, bytes]) -> None:
        if file in found:
            return
        try:
            found[file] = self._inputs.read_text(file, "rules")
        except OSError as error:
            form.fault(path, f"`{file}` cannot be read: {error.strerror}")

    def _flow(self, file: str, text: bytes) -> Flow | None:
        variables, declared = self._written_vars(), known_names(self._document)
        folder = Path(file).parent

        def read(name: str) -> bytes:
            return self._inputs.read_text(folder / name, "schema", Path(file))

        flow, faults = read_flow(text, file, read, variables, declared)
        self.faults += faults
        return flow

    def _written_vars(self) -> Mapping[str, Any] | None:
        node = self._document.node(("vars",))
        known = known_vars(self._document)
        return known if not known or node is None else _written(node)

    def _version(self, flows: Sequence[Flow]) -> str:
        root = self._document.root
        try:
            hidden = frozenset(map(id, secrets_in(root)))
        except Unreadable:
            return ""  # the file has faults, with which it is refused
        written = json.dumps([_written(root, hidden), [(flow.name, flow.version) for flow in flows]])
        return hashlib.sha256(written.encode()).hexdigest()[:12]


def _written(node: Node, hidden: Collection[int] = ()) -> Any:
    """What stands in a document, as it is written: without anything that was filled in, nor the nodes whose ids are
    ``hidden``."""
    if id(node) in hidden:
        return MASK
    if isinstance(node.data, dict):
        return {name: _written(value, hidden) for name, (_, value) in node.entries.items()}
    if isinstance(node.data, list):
        return [_written(item, hidden) for item in node.items]
    return node.source if isinstance(node.data, str) else node.data
