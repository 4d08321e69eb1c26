"""Text to tokens. Messages say what is wrong, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from rules.cel.errors import CelSyntaxError
from rules.cel.values import INT_MAX, UINT_MAX, UInt

MAX_TEXT: Final = 100_000

# Kinds of token that are no symbols; a symbol, and the word `in`, is its own kind.
IDENT: Final = "identifier"
QUOTED: Final = "quoted name"
LITERAL: Final = "literal"
NUMBER: Final = "number"
BROKEN: Final = "broken literal"  # of which it is known where it ends, but not what it means
STRAY: Final = "stray character"  # no part of the language, with more of it behind
CUT: Final = "cut"  # behind it nothing can be read
END: Final = "end"
VALUES: Final = frozenset({IDENT, LITERAL, NUMBER, QUOTED, BROKEN})

_IDENT = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_SKIP = re.compile(r"(?:[ \t\n\f\r]+|//[^\n\r]*)+")
_NUMBER = re.compile(
    r"(?P<hex>0x[0-9a-fA-F]+)(?P<hexu>[uU]?)"
    r"|(?P<double>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"|(?P<int>[0-9]+)(?P<intu>[uU]?)"
)
_SYMBOL = re.compile(r"&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]")
_QUOTED = re.compile(r"`([A-Za-z0-9_.\-/ ]+)`")
_STRING = re.compile(r"([bB]?)([rR]?)('''|\"\"\"|'|\")")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"
)
# What ends a search inside a string: its quote, an escape that may hide one, a line's end where none may stand.
_STOPS: Final = {
    quote: re.compile(rf"\\.|{quote}" + ("" if len(quote) == 3 else "|[\r\n]"), re.DOTALL)
    for quote in ("'", '"', "'''", '"""')
}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER: Final = 100
TOO_LARGE: Final = (
    "the number is too large for an int: at most 9223372036854775807; a uint ends with u, a double has a point"
)
_LAST_CHARACTER: Final = 0x10FFFF
_SURROGATES: Final = (0xD800, 0xDFFF)
# Half surrogates are no characters of any text, so an octet that was written as an escape can be marked by one.
_OCTETS: Final = 0xDC00
_PLAIN_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

# What people write from habit, and what CEL says instead: what begins like a symbol, then what does not.
_LONG_HABITS: Final = {
    "===": "use == to compare",
    "!==": "use != to compare",
    "=>": "CEL has no arrow functions: a macro is written list.exists(x, x > 0)",
    "=~": "use text.matches('pattern')",
    "<>": "use != to compare",
    "**": "CEL has no power operator",
    "??": "for a value that may be absent use event.?field.orValue(default)",
}
_HABITS: Final = {
    "=": "use == to compare",
    "&": "use && for 'and'",
    "|": "use || for 'or'",
    "#": "a comment begins with //",
    ";": "an expression ends without it",
    "^": "there is no such operator",
    "~": "there is no such operator",
    "$": "names begin with a letter or _, and ${...} belongs in values that are no expressions",
    "@": "names begin with a letter or _",
    "\\": "a backslash stands only inside quotes",
    "\u00a0": "this is a no-break space, use an ordinary one",
    "\u2018": "use straight quotes",
    "\u2019": "use straight quotes",
    "\u201c": "use straight quotes",
    "\u201d": "use straight quotes",
}
_OPERATORS: Final = frozenset("=&|^") | _LONG_HABITS.keys() - {"=>"}
# What quotes, or begins a comment or another statement, elsewhere: whatever follows is no expression.
_CUTTING: Final = frozenset("#;\\\u2018\u2019\u201c\u201d`")


class Flaw(NamedTuple):
    """What is wrong with ``text[start:end]``."""

    message: str
    start: int
    end: int


class Token(NamedTuple):
    """One word of the language. ``value`` is a literal's value or a name, ``flaws`` are of what is none."""

    kind: str
    value: object
    start: int
    end: int
    flaws: tuple[Flaw, ...] = ()


def syntax_error(text: str, message: str, start: int, end: int | None = None) -> CelSyntaxError:
    """A CelSyntaxError that points at ``text[start:end]``."""
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return CelSyntaxError(
        message, line=line, column=column, offset=start, length=0 if end is None else max(0, end - start)
    )


def tokenize(text: str) -> list[Token]:
    """Cut a text into tokens, up to its end or to what nothing can be read behind.

    Raises nothing but the CelSyntaxError of a text that is too long. Flaws stand in their tokens, for the parser to
    report when it gets there, or to pass over.
    """
    if len(text) > MAX_TEXT:
        raise syntax_error(text, f"the expression is longer than {MAX_TEXT:,} characters", MAX_TEXT)
    tokens: list[Token] = []
    place = 0
    while True:
        skipped = _SKIP.match(text, place)
        place = skipped.end() if skipped else place
        if place == len(text):
            break
        token = _next(text, place)
        tokens.append(token)
        place = token.end
        if token.kind == CUT:
            break
    tokens.append(Token(END, None, len(text), len(text)))
    return tokens


def is_string(text: str, token: Token) -> bool:
    """Whether a token is a string, broken or not."""
    return token.kind in (LITERAL, BROKEN) and text[token.end - 1] in "'\""


def is_operator(text: str, token: Token) -> bool:
    """Whether a stray character is an operator of another language."""
    return token.kind == STRAY and text[token.start : token.end] in _OPERATORS


def is_too_large(token: Token) -> bool:
    """Whether a number is the one that is an int only behind a minus."""
    return type(token.value) is int and token.value > INT_MAX


def _flawed(kind: str, message: str, start: int, end: int) -> Token:
    return Token(kind, None, start, end, (Flaw(message, start, end),))


def _next(text: str, place: int) -> Token:
    if string := _STRING.match(text, place):
        return _string(text, string)
    if ident := _IDENT.match(text, place):
        return _word(ident)
    if number := _NUMBER.match(text, place):
        return _number(text, number)
    for habit, advice in _LONG_HABITS.items():
        if text.startswith(habit, place):
            return _flawed(STRAY, f"'{habit}' is not CEL: {advice}", place, place + len(habit))
    if symbol := _SYMBOL.match(text, place):
        return Token(symbol[0], symbol[0], place, symbol.end())
    if quoted := _QUOTED.match(text, place):
        return Token(QUOTED, quoted[1], place, quoted.end())
    return _stray(text, place)


def _stray(text: str, place: int) -> Token:
    character = text[place]
    kind = CUT if character in _CUTTING else STRAY
    if character == "`":
        message = "a name in backquotes is made of letters, digits and _ . - / and spaces, and ends with a backquote"
        return _flawed(kind, message, place, place + 1)
    advice = _HABITS.get(character, "no part of the language begins with it")
    return _flawed(kind, f"{_shown(character)} is not CEL: {advice}", place, place + 1)


def _shown(character: str) -> str:
    return f"'{character}'" if character.isprintable() else f"the character U+{ord(character):04X}"


def _word(ident: re.Match[str]) -> Token:
    name = ident[0]
    if name in _CONSTANTS:
        return Token(LITERAL, _CONSTANTS[name], *ident.span())
    return Token("in" if name == "in" else IDENT, name, *ident.span())


def _number(text: str, number: re.Match[str]) -> Token:
    start, end = number.span()
    if tail := _IDENT.match(text, end):
        message = f"{text[start : tail.end()]} is neither a number nor a name: a name does not begin with a digit"
        return _flawed(BROKEN, message, start, tail.end())
    if number["double"]:
        double = float(number["double"])
        if double == float("inf"):
            return _flawed(BROKEN, "the number is too large for a double", start, end)
        return Token(NUMBER, double, start, end)
    digits = number["hex"] or number["int"]
    if len(digits) > _LONGEST_NUMBER:
        return _flawed(BROKEN, "the number has too many digits", start, end)
    value = int(digits, 16 if number["hex"] else 10)
    if number["hexu"] or number["intu"]:
        if value > UINT_MAX:
            message = "the number is too large for a uint: at most 18446744073709551615u"
            return _flawed(BROKEN, message, start, end)
        return Token(NUMBER, UInt(value), start, end)
    if value > INT_MAX + 1:  # one more is left to the parser: it fits where a minus stands before it
        return _flawed(BROKEN, TOO_LARGE, start, end)
    return Token(NUMBER, value, start, end)


def _string(text: str, opening: re.Match[str]) -> Token:
    is_bytes, is_raw, quote = bool(opening[1]), bool(opening[2]), opening[3]
    start, body = opening.span()
    end = _closing(text, body, quote, is_raw)
    if end is None:
        message = f"the string that begins here has no closing {quote}"
        if len(quote) == 1 and (newline := re.search("[\r\n]", text[body:])):
            message += " on its line: a string over several lines is written in triple quotes"
            body += newline.start()
        return _flawed(CUT, message, start, body)
    flaws: list[Flaw] = []
    value = _content(text, body, end, flaws, is_bytes=is_bytes, is_raw=is_raw)
    if flaws:
        return Token(BROKEN, None, start, end + len(quote), tuple(flaws))
    return Token(LITERAL, value, start, end + len(quote))


def _content(text: str, start: int, end: int, flaws: list[Flaw], *, is_bytes: bool, is_raw: bool) -> str | bytes:
    """What a string holds, if it has no flaws."""
    content = text[start:end]
    try:
        octets = content.encode()
    except UnicodeEncodeError as error:
        flaws.append(Flaw("half a surrogate pair is not a character", start + error.start, end))
        return content
    if is_raw:
        return octets if is_bytes else content
    return _unescape_bytes(text, start, end, flaws) if is_bytes else _unescape(text, start, end, flaws)


def _closing(text: str, place: int, quote: str, is_raw: bool) -> int | None:
    """Where the string that goes on at ``place`` has its closing quote."""
    stops = _STOPS[quote]
    while stop := stops.search(text, place):
        if stop[0] == quote:
            return stop.start()
        if stop[0] in "\r\n":
            return None
        place = stop.end() - is_raw * (len(stop[0]) - 1)
    return None


def _unescape(text: str, start: int, end: int, flaws: list[Flaw]) -> str:
    def character(found: re.Match[str]) -> str:
        plain, two, four, eight, octal = found.groups()
        if plain:
            return _PLAIN_ESCAPES.get(plain, plain)
        point = int(octal, 8) if octal else int(two or four or eight, 16)
        if point > _LAST_CHARACTER or _SURROGATES[0] <= point <= _SURROGATES[1]:
            flaws.append(Flaw(f"{found[0]} is not a character", *found.span()))
            return ""
        return chr(point)

    return _replace_escapes(text, start, end, character, flaws)


def _unescape_bytes(text: str, start: int, end: int, flaws: list[Flaw]) -> bytes:
    def octet(found: re.Match[str]) -> str:
        plain, two, four, eight, octal = found.groups()
        if plain:
            return _PLAIN_ESCAPES.get(plain, plain)
        if four or eight:
            message = f"{found[0]} names a character, and bytes hold octets: write it as \\x.. or as itself"
            flaws.append(Flaw(message, *found.span()))
            return ""
        # Kept apart from the characters of the text, which stand for their UTF-8, until both become bytes.
        return chr(_OCTETS + int(octal, 8) if octal else _OCTETS + int(two, 16))

    marked = _replace_escapes(text, start, end, octet, flaws)
    return b"".join(
        bytes([ord(part) - _OCTETS]) if _OCTETS <= ord(part) <= _OCTETS + 255 else part.encode() for part in marked
    )


def _replace_escapes(
    text: str, start: int, end: int, replace: Callable[[re.Match[str]], str], flaws: list[Flaw]
) -> str:
    parts: list[str] = []
    place = start
    while (slash := text.find("\\", place, end)) >= 0:
        found = _ESCAPE.match(text, slash, end)
        parts.append(text[place:slash])
        place = found.end() if found else slash + 2
        if found:
            parts.append(replace(found))
        else:
            message = f"the escape {text[slash:place]} does not exist: \\\\ is a backslash, r'...' has no escapes"
            flaws.append(Flaw(message, slash, place))
    return "".join((*parts, text[place:end]))
