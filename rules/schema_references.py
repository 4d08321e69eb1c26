"""References within a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote


def referred(root: object, reference: str) -> object | None:
    """The part of a schema that a reference within it leads to; None for any other, also into another ``$id``."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    here = root
    for step in reference[2:].split("/") if reference != "#" else ():
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping) and name in here and (here is root or "$id" not in here):
            here = here[name]
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            return None
    return here
