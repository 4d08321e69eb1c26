"""What a contract marks as sensitive: paths below ``event`` and ``meta``, by itself or in its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rules.document import Key
from rules.faults import Place
from rules.flow import EachItem, Marked
from rules.form import Form
from rules.reader.values import read_path, read_steps
from rules.suggest import did_you_mean, nearest

_META = re.compile(r"meta(?=[.\[])")
_ALL = ".*"


def read_sensitive(form: Form, path: Key, data: object, schema: object) -> tuple[Marked, ...]:
    """The paths. One that the ``schema`` does not know, where it can be told, is a fault: what is misspelt would be
    shown."""
    if not isinstance(data, list):
        found = [_read(form, path, data, schema)]
    else:
        found = [_read(form, (*path, index), item, schema) for index, item in enumerate(data)]
    return tuple(marked for marked in found if marked is not None)


def _read(form: Form, path: Key, data: object, schema: object) -> Marked | None:
    text = form.text(path, data, "a path such as event.user.email")
    if text is None:
        return None
    plain, every = text.removesuffix(_ALL), text.endswith(_ALL)
    root = "meta" if _META.match(text) else "event"

    def at(offset: int) -> Place:
        return form.document.text_place(path, offset)

    steps = read_steps(form, plain, len(root), at) if root == "meta" else read_path(form, plain, at)
    if steps is None:
        return None
    if root == "event" and not _is_known(form, path, steps, schema):
        return None
    return (root, *steps, *([EachItem()] if every else []))


def _is_known(form: Form, path: Key, steps: Marked, schema: object) -> bool:
    """Whether the schema knows the fields, as far as it says which there are: a fault where it does not."""
    at = schema
    for step in steps:
        at = _followed(at, schema)
        if not isinstance(at, Mapping):
            return True
        if not isinstance(step, str):
            at = at.get("items")
            continue
        known = at.get("properties")
        if not isinstance(known, Mapping) or "patternProperties" in at:
            return True
        if step not in known:
            if at.get("additionalProperties") is not False and not nearest(step, known):
                return True
            form.fault(path, f"the schema has no field `{step}` there", did_you_mean(step, known))
            return False
        at = known[step]
    return True


def _followed(part: object, root: object) -> object:
    """A part of a schema, through references within it."""
    for _ in range(10):
        reference = part.get("$ref") if isinstance(part, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return part
        part = root
        for name in reference[2:].split("/"):
            part = part.get(name) if isinstance(part, Mapping) else None
    return None


def marked_in(schema: object) -> Iterator[Marked]:
    """The paths of the fields that a JSON Schema marks with ``"sensitive": true``. What comes back to itself is marked
    as a whole if anything in the schema is."""
    yield from _marked(schema, ("event",), schema, ())


def _marked(part: object, at: Marked, root: object, within: tuple[str, ...]) -> Iterator[Marked]:
    if not isinstance(part, Mapping):
        return
    if part.get("sensitive") is True:
        yield at
        return
    reference = part.get("$ref")
    if isinstance(reference, str):
        if reference in within:
            if _marks(root):
                yield at
        else:
            yield from _marked(_referred(root, reference), at, root, (*within, reference))
    for keyword in ("properties", "dependentSchemas"):
        named = part.get(keyword)
        for name, inner in named.items() if isinstance(named, Mapping) else ():
            yield from _marked(inner, (*at, name) if keyword == "properties" else at, root, within)
    patterns = part.get("patternProperties")
    each = [part.get(name) for name in ("items", "additionalItems", "additionalProperties", "contains")]
    each += [part.get("unevaluatedItems"), part.get("unevaluatedProperties")]
    each += list(patterns.values()) if isinstance(patterns, Mapping) else []
    for many in (part.get("prefixItems"), part.get("items")):
        each += many if isinstance(many, list) else []
    for inner in each:
        yield from _marked(inner, (*at, EachItem()), root, within)
    same = [part.get(name) for name in ("if", "then", "else", "not")]
    for name in ("allOf", "anyOf", "oneOf"):
        some = part.get(name)
        same += some if isinstance(some, list) else []
    for inner in same:
        yield from _marked(inner, at, root, within)


def _referred(root: object, reference: str) -> object:
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _marks(part: object) -> bool:
    """Whether anything in a schema is marked."""
    if isinstance(part, Mapping):
        return part.get("sensitive") is True or any(map(_marks, part.values()))
    return any(map(_marks, part)) if isinstance(part, list) else False
