"""Text: what CEL's standard library and its strings extension do with it. Places are counted in characters."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import function, method
from rules.cel.operators import MAX_SIZE

_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
# Unicode's White_Space; str.strip would take away U+001C to U+001F too.
_SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
_QUOTES: Final = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


@function("size")
@method("size")
def _size(value: str | bytes | list[object] | Mapping[object, object]) -> int:
    """How many characters, bytes, elements or entries there are.

    Example: "äb".size() == 2
    Example: size({"a": 1}) == 1
    """
    return len(value)


@method("startsWith")
def _starts_with(text: str, prefix: str) -> bool:
    """Whether a text begins with another one.

    Example: "order".startsWith("or") == true
    """
    return text.startswith(prefix)


@method("endsWith")
def _ends_with(text: str, suffix: str) -> bool:
    """Whether a text ends with another one.

    Example: "order".endsWith("er") == true
    """
    return text.endswith(suffix)


@method("contains")
def _contains(text: str, part: str) -> bool:
    """Whether a text has another one in it.

    Example: "order".contains("rd") == true
    """
    return part in text


@functools.lru_cache(maxsize=128)
def pattern(source: str) -> Any:  # google-re2 has no types
    """A compiled regular expression of RE2, for texts in UTF-8; a CelError that says why there is none.

    Of a text as ``str``, the library works out where in it each group is, which takes it twice as long as to search.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(source.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise CelError(f"matches(): {source[:80]!r} is not a regular expression of RE2: {reason}") from error


@function("matches")
@method("matches")
def _matches(text: str, source: str) -> bool:
    """Whether a regular expression (RE2) finds something in a text, anywhere.

    Example: "ada@example.org".matches("^[a-z]+@") == true
    Example: matches("example.org", "org$") == true
    """
    return pattern(source).search(text.encode()) is not None


@method("lowerAscii")
def _lower_ascii(text: str) -> str:
    """The text with the letters A to Z in lower case; others stay.

    Example: "ÄB".lowerAscii() == "Äb"
    """
    return text.lower() if text.isascii() else text.translate(_LOWER)


@method("upperAscii")
def _upper_ascii(text: str) -> str:
    """The text with the letters a to z in upper case; others stay.

    Example: "äb".upperAscii() == "äB"
    """
    return text.upper() if text.isascii() else text.translate(_UPPER)


@method("trim")
def _trim(text: str) -> str:
    """The text without white space at its ends.

    Example: " a b ".trim() == "a b"
    """
    return text.strip(_SPACES)


@method("reverse")
def _reverse(text: str) -> str:
    return text[::-1]


@method("charAt")
def _char_at(text: str, place: int) -> str:
    """The character at an index, as a text.

    Example: "abc".charAt(1) == "b"
    """
    return text[_place("charAt", text, place) :][:1]


@method("indexOf")
def _index_of(text: str, part: str) -> int:
    """Where a text begins in another one, from an index on if one is given; -1 for nowhere.

    Example: "tacocat".indexOf("c") == 2
    Example: "tacocat".indexOf("c", 3) == 4
    """
    return text.find(part)


@method("indexOf")
def _index_of_from(text: str, part: str, start: int) -> int:
    """Where a text begins in another one, from an index on if one is given; -1 for nowhere.

    Example: "tacocat".indexOf("c") == 2
    Example: "tacocat".indexOf("c", 3) == 4
    """
    return text.find(part, _place("indexOf", text, start))


@method("lastIndexOf")
def _last_index_of(text: str, part: str) -> int:
    """Where a text begins in another one for the last time, up to an index if one is given; -1 for nowhere.

    Example: "tacocat".lastIndexOf("c") == 4
    """
    return text.rfind(part)


@method("lastIndexOf")
def _last_index_of_from(text: str, part: str, start: int) -> int:
    """Where a text begins in another one for the last time, up to an index if one is given; -1 for nowhere.

    Example: "tacocat".lastIndexOf("c") == 4
    """
    return text.rfind(part, 0, _place("lastIndexOf", text, start) + len(part))


@method("substring")
def _substring_from(text: str, start: int) -> str:
    """The characters from an index on, up to another one, which is not among them, if one is given.

    Example: "tacocat".substring(4) == "cat"
    Example: "tacocat".substring(0, 4) == "taco"
    """
    return text[_place("substring", text, start) :]


@method("substring")
def _substring(text: str, start: int, end: int) -> str:
    """The characters from an index on, up to another one, which is not among them, if one is given.

    Example: "tacocat".substring(4) == "cat"
    Example: "tacocat".substring(0, 4) == "taco"
    """
    if end < start:
        raise CelError(f"substring(): the end {end} is before the start {start}")
    return text[_place("substring", text, start) : _place("substring", text, end)]


@method("replace")
def _replace(text: str, old: str, new: str) -> str:
    """The text with one text in it replaced by another, so many times if a number is given.

    Example: "a-b-c".replace("-", "+") == "a+b+c"
    Example: "a-b-c".replace("-", "+", 1) == "a+b-c"
    """
    return _replace_some(text, old, new, -1)


@method("replace")
def _replace_some(text: str, old: str, new: str, limit: int) -> str:
    """The text with one text in it replaced by another, so many times if a number is given.

    Example: "a-b-c".replace("-", "+") == "a+b+c"
    Example: "a-b-c".replace("-", "+", 1) == "a+b-c"
    """
    if len(new) > len(old):
        count = text.count(old)
        grown = len(text) + (len(new) - len(old)) * (count if limit < 0 else min(count, limit))
        _check_size("replace", grown)
    return text.replace(old, new, max(limit, -1))


@method("split")
def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators, so many at most if a number is given.

    Example: "a,b,c".split(",") == ["a", "b", "c"]
    Example: "a,b,c".split(",", 2) == ["a", "b,c"]
    """
    return _split_some(text, separator, -1)


@method("split")
def _split_some(text: str, separator: str, limit: int) -> list[str]:
    """The parts of a text between separators, so many at most if a number is given.

    Example: "a,b,c".split(",") == ["a", "b", "c"]
    Example: "a,b,c".split(",", 2) == ["a", "b,c"]
    """
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


@method("join")
def _join(parts: list[object]) -> str:
    """The texts of a list as one, with a separator between them if one is given.

    Example: ["a", "b"].join() == "ab"
    Example: ["a", "b"].join("-") == "a-b"
    """
    return _join_with(parts, "")


@method("join")
def _join_with(parts: list[object], separator: str) -> str:
    """The texts of a list as one, with a separator between them if one is given.

    Example: ["a", "b"].join() == "ab"
    Example: ["a", "b"].join("-") == "a-b"
    """
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise CelError("join() takes a list of strings: convert the others, as in list.map(x, string(x))")
    _check_size("join", sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


@function("strings.quote")
def _quote(text: str) -> str:
    r"""The text as CEL writes it, in quotes and with escapes.

    Example: strings.quote("é\n") == "\"é\\n\""
    """
    escaped = text.encode(errors="replace").decode().translate(_QUOTES)
    return f'"{escaped}"'


def _place(name: str, text: str, place: int) -> int:
    if not 0 <= place <= len(text):
        raise CelError(f"{name}(): {place} is outside a text of {len(text)} characters")
    return place


def _check_size(name: str, length: int) -> None:
    if length > MAX_SIZE:
        raise CelError(f"{name}(): the text would be longer than {MAX_SIZE:,} characters")
