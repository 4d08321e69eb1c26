"""The functions of CEL, its usual extensions, and the router's own.

Each module beside this one holds a group and registers it when it is imported; what is costly to import (regular
expressions, time zones, addresses) is imported by the first call that needs it.
"""

from rules.cel.functions import (
    conversions,
    data,
    hashing,
    identifiers,
    lists,
    masking,
    mathematics,
    network,
    optionals,
    strings,
    text_format,
    time,
    urls,
)
from rules.cel.functions.registry import ANY, Function, arities, called, find, is_namespace, names

__all__ = [
    "ANY",
    "Function",
    "arities",
    "called",
    "conversions",
    "data",
    "find",
    "hashing",
    "identifiers",
    "is_namespace",
    "lists",
    "masking",
    "mathematics",
    "names",
    "network",
    "optionals",
    "strings",
    "text_format",
    "time",
    "urls",
]
