"""The words of the parser's faults: what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rules.cel import functions, lexer, macros
from rules.cel.lexer import Token
from rules.cel.nodes import Node

RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)

# Words from other languages that stand where an operator or a value should.
_WORDS: Final = {
    "and": "write && for 'and'",
    "or": "write || for 'or'",
    "not": "write !condition, and !(x in list) for 'not in'",
    "is": "write == to compare, and type(x) == string for a type",
    "eq": "write == to compare",
    "ne": "write != to compare",
    "lt": "write < to compare",
    "gt": "write > to compare",
    "contains": "write text.contains('part'), or x in list",
    "matches": "write text.matches('pattern')",
    "startsWith": "write text.startsWith('prefix')",
    "like": "write text.contains('part') or text.matches('pattern')",
    "between": "write low <= x && x <= high",
    "if": "write condition ? this : that",
    "then": "write condition ? this : that",
    "else": "write condition ? this : that",
    "for": "write list.map(x, ...), list.filter(x, ...) or list.exists(x, ...)",
    "let": "name expressions under let: in the rules file, or write cel.bind(x, value, expression)",
    "var": "name expressions under let: in the rules file, or write cel.bind(x, value, expression)",
    "function": "functions cannot be defined here",
    "while": "write list.map(x, ...) or list.filter(x, ...)",
}

_OPERATORS: Final = frozenset({"and", "or", "is", "eq", "ne", "lt", "gt", "contains", "matches", "startsWith", "like"})

# Functions of other languages, as one would call them here.
_SYNONYMS: Final = {
    "len": "size(x)",
    "length": "size(x)",
    "count": "size(x), or list.filter(x, condition).size()",
    "str": "string(x)",
    "toString": "string(x)",
    "tostring": "string(x)",
    "float": "double(x)",
    "number": "double(x)",
    "Number": "double(x)",
    "parseInt": "int(x)",
    "parseFloat": "double(x)",
    "boolean": "bool(x)",
    "date": "timestamp(text)",
    "datetime": "timestamp(text)",
    "typeof": "type(x)",
    "isinstance": "type(x) == string",
    "defined": "has(event.field)",
    "exists": "has(event.field), or list.exists(x, condition)",
    "lower": "text.lowerAscii()",
    "toLower": "text.lowerAscii()",
    "toLowerCase": "text.lowerAscii()",
    "upper": "text.upperAscii()",
    "toUpper": "text.upperAscii()",
    "toUpperCase": "text.upperAscii()",
    "strip": "text.trim()",
    "includes": "text.contains('part'), or x in list",
    "has": "'key' in map, or has(map.key)",
    "get": "map.?key.orValue(default)",
    "substr": "text.substring(start, end)",
    "slice": "list.slice(start, end)",
    "match": "text.matches('pattern')",
    "test": "text.matches('pattern')",
    "regex": "text.matches('pattern')",
    "any": "list.exists(x, condition)",
    "some": "list.exists(x, condition)",
    "every": "list.all(x, condition)",
    "select": "list.filter(x, condition)",
    "find": "list.filter(x, condition)",
    "keys": "map.map(key, key)",
    "isEmpty": "x.size() == 0",
    "max": "math.greatest(a, b)",
    "min": "math.least(a, b)",
    "abs": "math.abs(x)",
    "round": "math.round(x)",
    "floor": "math.floor(x)",
    "ceil": "math.ceil(x)",
    "coalesce": "event.?field.orValue(default)",
    "default": "event.?field.orValue(default)",
}


def reserved(name: str) -> str:
    """For a reserved word where a name should be."""
    advice = _WORDS.get(name, "it is a name only after a dot, as in event." + name)
    return f"'{name}' is a reserved word: {advice}"


def bad_field(text: str, token: Token) -> str:
    """For what follows a dot and is no field's name."""
    if token.kind == lexer.END:
        return "a field's name is missing after the dot"
    word = text[token.start : token.end]
    if word.isidentifier():
        return f"'{word}' is a word of the language: as a field it is written ['{word}'] or .`{word}`"
    return f"a field's name belongs after the dot, not {word}: other keys are written event['a b'] or event.`a-b`"


def unexpected(text: str, tokens: Sequence[Token], place: int, wanted: str) -> str:
    """For a token that cannot stand where it does."""
    token = tokens[place]
    before = tokens[place - 1] if place else None
    word = text[token.start : token.end]
    if token.kind == lexer.END:
        return f"the expression ends here, where {wanted} should follow"
    if token.kind == lexer.IDENT and word in _WORDS:
        return f"'{word}' is no operator: {_WORDS[word]}"
    if before is not None and before.kind == lexer.IDENT and before.value in {"not", "and", "or"}:
        return f"'{before.value}' is no operator: {_WORDS[str(before.value)]}"
    if token.kind == ")" and wanted == "an operator":
        return "this ) closes nothing"
    if token.kind == "{" and wanted == "an operator":
        return "CEL's messages, Name{field: value}, do not exist here: write a map, {'field': value}"
    if token.kind == ":" and wanted in {", or ]", "an operator"}:
        return "a : belongs into condition ? this : that, or into a map; a part of a text is text.substring(start, end)"
    if wanted in {"an operator", ")", ", or ]", ", or }"} and token.kind in lexer.VALUES:
        return f"{word} follows a value with no operator between them"
    return f"{wanted} should stand here, not {word}"


def is_operator(word: str) -> bool:
    """Whether a word is an operator of another language, so that an expression may follow it."""
    return word in _OPERATORS


def bad_call(name: str, target: Node | None, count: int) -> str:
    """For a call of a function that does not exist, or that takes other arguments."""
    is_method = target is not None
    shown = f".{name}()" if is_method else f"{name}()"
    if known := functions.arities(name, is_method=is_method):
        return f"{shown} takes {_counts(known)}, not {count}"
    if functions.arities(name, is_method=not is_method):
        if is_method:
            return f"{name} is a function: write {name}(x), not x.{name}()"
        return f"{name} is a method: write x.{name}(), not {name}(x)"
    if not is_method and name in macros.METHODS and name not in _SYNONYMS:
        return f"{name} is a method of lists and maps: write list.{name}(x, ...)"
    kind = "method" if is_method else "function"
    last = name.rpartition(".")[2]
    if last in _SYNONYMS:
        return f"there is no {kind} {name}: write {_SYNONYMS[last]}"
    near = _nearest(name, is_method=is_method)
    return f"there is no {kind} {name}" + (f": did you mean {near}?" if near else "")


def _counts(known: Sequence[int]) -> str:
    if functions.registry.ANY in known:
        return "one argument or more"
    text = " or ".join(map(str, known)) if max(known) else "no"
    return f"{text} argument{'s' if known[-1] != 1 else ''}"


def _nearest(name: str, *, is_method: bool) -> str | None:
    """How to write the call whose name is spelt most like this one, if any is: of the same kind first."""
    own, other = _names(is_method=is_method), _names(is_method=not is_method)
    spaced = [known for known in other if known.endswith(f".{name}")] if is_method else []
    if spaced:
        return spaced[0]
    last = {} if is_method else {known.rpartition(".")[2]: known for known in own}
    written = {known: f"{known}(x)" if is_method else f"x.{known}()" for known in other}
    for candidates in ({known: known for known in own} | _SYNONYMS, written, last):
        near = [(_edits(name.lower(), known.lower()), usage) for known, usage in candidates.items()]
        edits, usage = min(near, key=lambda found: found[0], default=(len(name), ""))
        if edits <= max(1, len(name) // 3) and edits < len(name):
            return usage
    return None


def _names(*, is_method: bool) -> list[str]:
    return [*functions.names(is_method=is_method), *(macros.METHODS if is_method else macros.FUNCTIONS)]


def _edits(one: str, other: str) -> int:
    """How many letters are to be added, left out, changed or swapped with the next to make one of the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one):
        earlier, before, row = before, row, [at + 1]
        for to, wanted in enumerate(other):
            edits = min(before[to + 1] + 1, row[to] + 1, before[to] + (letter != wanted))
            if at and to and letter == other[to - 1] and one[at - 1] == wanted:
                edits = min(edits, earlier[to - 1] + 1)
            row.append(edits)
    return row[-1]
