"""Pydantic's errors as faults: at the right place, in plain words, with what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.config.interpolation import Filled, Mixed
from router.config.secrets import MASK, Secrets
from router.units import parse_duration
from rules.document import Document, Key, Node
from rules.faults import Fault, Place
from rules.flow import Expr, Template
from rules.form import Form, kind
from rules.model import descriptions
from rules.reader import Scope, compile_within, read_expr
from rules.suggest import nearest

T = TypeVar("T", bound=BaseModel)

_WANTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "bytes_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "empty",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "string_pattern_mismatch": "text that matches `{pattern}`",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
    "url_parsing": "a URL",
    "url_scheme": "a URL that begins with {expected_schemes}",
}
_CEL = ("expression", "template")
"""Errors of ``router.expression``."""
_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
_SHOWN = 40


def validate(form: Form, filled: Filled, model: type[T], known: Iterable[str] = ()) -> T | None:
    """The form's document as a ``model``, or None, with its faults. ``known`` are further keys, for hints alone."""
    data = form.document.data
    try:
        return model.model_validate(data)
    except ValidationError as error:
        _Faults(form, filled, model, tuple(known)).take(error.errors(include_url=False))
        return None


def faults_of(document: Document, model: type[BaseModel], errors: Iterable[ErrorDetails]) -> list[Fault]:
    """A model's errors as faults of a document in which nothing is filled in."""
    form = Form(document)
    filled = Filled(document, {}, frozenset(), frozenset(), Secrets(()), ())
    _Faults(form, filled, model, ()).take(errors)
    return form.faults


def not_taken(document: Document, model: type[BaseModel]) -> frozenset[str]:
    """The keys of a document whose values the model does not take, or that it does not know."""
    try:
        model.model_validate(document.data)
    except ValidationError as error:
        return frozenset(str(detail["loc"][0]) for detail in error.errors(include_url=False) if detail["loc"])
    return frozenset()


def without_faults(document: Document, model: type[T], needed: Iterable[str]) -> T | None:
    """The model of what is right in a mapping that has faults: what it says of these keys may be relied on. None where
    one of them is among the faults, or may be meant by a key that is not known, or where more is missing."""
    if not isinstance(document.data, Mapping):
        return None
    wrong = not_taken(document, model)
    if not wrong.isdisjoint(needed) or any(nearest(key, needed) for key in wrong - model.model_fields.keys()):
        return None
    try:
        return model.model_validate({key: value for key, value in document.data.items() if key not in wrong})
    except ValidationError:
        return None


class _Faults:
    def __init__(self, form: Form, filled: Filled, model: type[BaseModel], known: tuple[str, ...]) -> None:
        self._form = form
        self._filled = filled
        self._model = model
        self._known = known

    def take(self, errors: Iterable[ErrorDetails]) -> None:
        """One fault for each place: where a value could be of several kinds, all of them are what would be right."""
        wanted: dict[Key, list[str]] = {}
        for error in sorted(errors, key=lambda error: error["type"] == "missing"):
            path = self._path(error["loc"])
            node = self._form.document.node(path)
            if node is not None and (node in self._filled.failed or self._is_unread(node, error)):
                continue
            if node is not None and error["type"] in _CEL:
                self._cel(path, node, error)
            elif error["type"] == "extra_forbidden":
                self._form.unknown(path, [*self._siblings(path), *(self._known if len(path) == 1 else ())])
            elif error["type"] == "missing":
                self._missing(path, error)
            elif error["type"] == "union_tag_not_found":
                self._form.missing(path, _discriminator(error), "what tells of which kind it is")
            elif error["type"] == "union_tag_invalid":
                tags = re.sub(r"'([^']*)'", r"\1", str(error["ctx"]["expected_tags"]))
                wanted.setdefault((*path, _discriminator(error)), []).append(f"one of {tags}")
            else:
                wanted.setdefault(path, []).append(_message(error) + self._unit(node, error))
        for path, messages in wanted.items():
            # Of a list or a mapping in which something is wrong it is no fault that it is none of the other kinds.
            if not any(other[: len(path)] == path for other in wanted if len(other) > len(path)):
                self._report(path, list(dict.fromkeys(messages)))

    def _is_unread(self, node: Node, error: ErrorDetails) -> bool:
        """Whether the value is a text with ``${CEL}``, whose type is only known once it is filled in."""
        return node in self._filled.cel and error["type"] not in ("value_error", "assertion_error", *_CEL)

    def _cel(self, path: Key, node: Node, error: ErrorDetails) -> None:
        """The faults of a setting that is CEL, in its own columns."""
        scope, before = Scope(frozenset(error["ctx"]["names"])), len(self._form.faults)
        if error["type"] == "expression":
            read_expr(self._form, path, node.data, scope)
        elif node in self._filled.cel:
            read_mixed(self._form, self._filled.cel[node], scope)
        if len(self._form.faults) == before:
            self._report(path, ["text"])

    def _path(self, location: tuple[int | str, ...]) -> Key:
        """The part of a location that the document has; pydantic adds steps for the members of unions."""
        node = self._form.document.root
        path: list[str | int] = []
        for step in location:
            below = node.child(step)
            if below is not None:
                path.append(step)
                node = below
        return tuple(path)

    def _unit(self, node: Node | None, error: ErrorDetails) -> str:
        """The unit of a bound that a duration does not keep."""
        if error["type"] not in _BOUNDS or node is None or not isinstance(node.data, str):
            return ""
        try:
            parse_duration(node.data)
        except ValueError:
            return ""
        return "s"

    def _missing(self, path: Key, error: ErrorDetails) -> None:
        key = str(error["loc"][-1])
        model = self._model_at(path)
        description = "" if model is None else descriptions(model).get(key, "")
        self._form.missing(path, key, _first_sentence(description))

    def _fields(self, path: Key) -> Mapping[str, Any]:
        model = self._model_at(path)
        return {} if model is None else model.model_fields

    def _model_at(self, path: Key) -> type[BaseModel] | None:
        """The model that stands at ``path``, as far as it can be told from the outer model."""
        model: Any = self._model
        for depth, step in enumerate(path, 1):
            info = getattr(model, "model_fields", {}).get(step)
            members = _members(getattr(info, "annotation", None))
            models = [part for part in members if hasattr(part, "model_fields")]
            model = self._member(path[:depth], models)
        return cast("type[BaseModel] | None", model)

    def _member(self, path: Key, models: Sequence[Any]) -> Any:
        """Of the models that a value could be, the one that its ``type`` says, or the first."""
        node = self._form.document.node((*path, "type"))
        for model in models:
            kind_of = model.model_fields.get("type")
            if node is not None and kind_of is not None and kind_of.default == node.data:
                return model
        return next(iter(models), None)

    def _siblings(self, path: Key) -> list[str]:
        return list(self._fields(path[:-1]))

    def _report(self, path: Key, messages: list[str]) -> None:
        node = self._form.document.node(path)
        if node is not None and any(part.cut for part in node.collections()):
            return  # what is wrong with the whole may come of what is not read
        hidden = node is not None and self._is_hidden(path)
        plain = [message for message in messages if not message.startswith("\0")]
        own = [message[1:] for message in messages if message.startswith("\0")]
        what = f"{self._form.named(path)} is {self._shown(path, hidden=hidden)}"
        if own and not plain:
            self._own(path, own[0], hidden=hidden)
        else:
            parts = [*plain, *(_should_be(message) for message in own)]
            self._form.fault(path, what, "should be " + " or ".join(part for part in parts if part))

    def _own(self, path: Key, message: str, *, hidden: bool) -> None:
        """A validator's own message. Of a hidden value it is shown from its ``should`` on alone, and masked."""
        should = _should_be(message)
        if hidden:
            _, found, wanted = message.partition("should ")
            hint = self._filled.secrets.mask(found + wanted) or f"its value is not shown: {MASK}"
            self._form.fault(path, f"{self._form.named(path)} is not accepted", hint)
        elif should:
            shown = self._shown(path, hidden=False)
            self._form.fault(path, f"{self._form.named(path)} is {shown}", f"should be {should}")
        else:
            self._form.fault(path, f"{self._form.named(path)}: {message}" if path else message)

    def _is_hidden(self, path: Key) -> bool:
        """Whether the value, or anything in it, came from outside."""
        node = self._form.document.node(path)
        below = [] if node is None else [node]
        while below:
            here = below.pop()
            if here in self._filled.hidden:
                return True
            below += [*here.items, *(value for _, value in here.entries.values())]
        return False

    def _shown(self, path: Key, *, hidden: bool) -> str:
        node = self._form.document.node(path)
        data = None if node is None else node.data
        if data == "" and not hidden:
            return "empty"
        if hidden or data is None or isinstance(data, dict | list):
            return kind(data)
        written = str(data).lower() if isinstance(data, bool) else str(data)
        return f"`{written}`" if len(written) <= _SHOWN and written.isprintable() and written else kind(data)


def _discriminator(error: ErrorDetails) -> str:
    return str(error["ctx"]["discriminator"]).strip("'")


def _message(error: ErrorDetails) -> str:
    """What would be right; a message of a validator's own is marked by a null character before it."""
    context = dict(error.get("ctx", {}))
    if context.get("min_length") == 1 and error["type"] == "string_too_short":
        return "at least 1 character long"
    if error["type"] in _WANTED:
        if "expected" in context:
            context["expected"] = re.sub(r"'([^']*)'", r"\1", str(context["expected"]))
        return _WANTED[error["type"]].format(**context)
    message = str(context["error"]) if isinstance(context.get("error"), Exception) else error["msg"]
    return "\0" + message


def _members(annotation: Any) -> list[Any]:
    """An annotation and everything that it is made of."""
    found = [annotation]
    for part in getattr(annotation, "__args__", ()):
        found += _members(part)
    return found


def _should_be(message: str) -> str:
    return message.partition("should be ")[2] if "should be " in message else ""


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0].removesuffix(".")
    return f"given: {sentence[:1].lower()}{sentence[1:]}" if sentence else "given"


def read_mixed(form: Form, mixed: Mixed, scope: Scope) -> Template | None:
    """A text with ``${CEL}`` in it, its pieces compiled; None where something is wrong with one."""
    found: list[str | Expr | None] = [
        compile_within(form, piece.text, _places(mixed.written, piece.start), scope) if piece.is_cel else piece.text
        for piece in mixed.pieces
    ]
    whole = tuple(part for part in found if part is not None)
    return Template(whole, mixed.written.place) if len(whole) == len(found) else None


def _places(node: Node, start: int) -> Callable[[int], Place]:
    return lambda offset: node.origin.place(node.text_index(start + offset))


def document_of(document: Document, keys: Iterable[str]) -> Document:
    """The mapping at the root of a document with these keys alone."""
    root = document.root
    entries = {key: entry for key, entry in root.entries.items() if key in set(keys)}
    return Document(root.holding({key: value.data for key, (_, value) in entries.items()}, entries=entries))
