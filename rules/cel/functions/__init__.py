"""The functions of CEL, its usual extensions, and the router's own.

Each module beside this one holds a group and registers it when it is imported; what is costly to import (regular
expressions, time zones, addresses) is imported by the first call that needs it.
"""

from rules.cel.functions import conversions, lists, mathematics, network, optionals, own, strings, text_format, time
from rules.cel.functions.registry import ANY, Function, arities, find, is_namespace, names

__all__ = [
    "ANY",
    "Function",
    "arities",
    "conversions",
    "find",
    "is_namespace",
    "lists",
    "mathematics",
    "names",
    "network",
    "optionals",
    "own",
    "strings",
    "text_format",
    "time",
]
