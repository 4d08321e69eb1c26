r"""logfmt: a line of ``key=value`` pairs, as Go's loggers, Heroku and others write it.

There is no standard. What is read here: pairs with white space between them; a value that begins with ``"`` ends at the
next ``"`` that no ``\`` stands before, any other at the next white space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from rules.cel.errors import CelError
from rules.cel.values import a_type
from rules.codecs.conversions import CONVERSIONS, TextType
from rules.codecs.format import Codec, Format, in_text, write_json


class Logfmt(Format):
    r"""A line of `key=value` pairs, such as `level=info msg="it works" took=5ms`.

    The event is a map from key to text, or to what `types` makes of it; a key without `=` is true. Of a key that
    repeats, the last value counts. Values in double quotes may hold the escapes of JSON and of Go; `\xHH` stands for
    the character of that number.

    Written, a value is quoted where it must be; null is a key with nothing after its `=`, true a key alone (or
    `key=true`, where `types` says that the key is a `boolean`), and a list or a map is JSON.
    """

    type: Literal["logfmt"] = "logfmt"
    """Pairs of keys and values."""
    types: Mapping[Annotated[str, Field(min_length=1)], TextType] = Field(default_factory=dict)
    """What the values of keys are, besides text: `integer`, `number`, `boolean` (true, false, 1, 0), or `json`. An
    empty value of such a key is null; one that is something else makes the record undecodable."""

    @property
    def message_framing(self) -> Mapping[str, object]:
        """Every line is a record."""
        return self.stream_framing

    def make(self) -> Codec:
        """The codec."""
        pairs = _Pairs(self.types)
        return Codec(decode=pairs.decode, decode_plain=pairs.decode, encode=pairs.encode, encode_plain=pairs.encode)


# A key, its "=", a quoted or another value, and the white space or the end after it; or else what is wrong.
_PAIR: Final = re.compile(
    r"""([^\t-\r ="]++)(=?+)("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\t-\r "][^\t-\r ]*+|)(?:[\t-\r ]++|$)|[\t-\r ]++|(.)""",
    re.DOTALL,
)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BEFORE_VALUE: Final = re.compile(r'[^\t-\r ="]+=?')
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED: Final = {
    **{character: character for character in "\"'\\/"},
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_HALVES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF: Final = re.compile("[\ud800-\udfff]")

_KEY: Final = re.compile(r'[^\x00-\x20="\x7f]+')
_MUST_QUOTE: Final = re.compile(r'[\x00-\x20="\x7f]')
_SPECIAL: Final = {
    **{chr(code): f"\\u{code:04x}" for code in (*range(0x20), 0x7F)},
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_REMEMBERED: Final = 10_000
_SPECIALS: Final = str.maketrans(_SPECIAL)


class _Fault(Exception):
    """What is wrong with a line, and at which of its characters."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.at = at


class _Pairs:
    """Lines of pairs, read and written."""

    def __init__(self, types: Mapping[str, TextType]) -> None:
        self._conversions = {key: CONVERSIONS[kind] for key, kind in types.items() if kind != "text"}
        self._keys: set[str] = set()  # that can be keys, for they mostly are the same few
        self._as_json = {key for key, kind in types.items() if kind == "json"}
        self._booleans = {key for key, kind in types.items() if kind == "boolean"}

    # Reading

    def decode(self, payload: bytes) -> object:
        """A line as a map. Raises ValueError."""
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not logfmt: not UTF-8 at byte {error.start}") from error
        event: dict[str, object] = {}
        for key, equals, value, wrong in _PAIR.findall(text):
            if value[:1] == '"':
                event[key] = value[1:-1] if "\\" not in value else self._unescaped(text, value[1:-1])
            elif key:
                event[key] = value if equals else True
            elif wrong:
                raise ValueError(f"not logfmt: {_why(text)}")
        if self._conversions:
            self._convert(event, text)
        return event

    def _convert(self, event: dict[str, object], text: str) -> None:
        for key, convert in self._conversions.items():
            value = event.get(key)
            if isinstance(value, str):
                try:
                    event[key] = convert(value)
                except ValueError as error:
                    at = _value_at(text, key)
                    raise ValueError(f"not logfmt with these types: {key}, at byte {at}: {error}") from error

    @staticmethod
    def _unescaped(text: str, quoted: str) -> str:
        try:
            return _unescaped(quoted)
        except _Fault:
            raise ValueError(f"not logfmt: {_why(text)}") from None

    # Writing

    def encode(self, value: object) -> bytes:
        """A map as a line. Raises CelError for what is none, and for a key that cannot be one."""
        if not isinstance(value, Mapping):
            raise CelError(f"only a map can be written as logfmt, not {a_type(value)}")
        try:
            return " ".join([self._pair(key, content) for key, content in value.items()]).encode()
        except UnicodeEncodeError as error:
            raise CelError(f"it cannot be written as logfmt: {error}") from error

    def _pair(self, key: object, value: object) -> str:
        name = key if key.__class__ is str and key in self._keys else self._checked(key)
        if name in self._as_json and value is not None:
            value = write_json(value).decode()
        if value is True and name not in self._booleans:
            return name
        text = value if value.__class__ is str else "" if value is None else in_text(value)
        if _MUST_QUOTE.search(text) is None:
            return f"{name}={text}"
        return f'{name}="{text.translate(_SPECIALS)}"'

    def _checked(self, key: object) -> str:
        if not isinstance(key, str) or _KEY.fullmatch(key) is None:
            raise CelError(f"{key!r} cannot be a key of logfmt: it is a text without spaces, = and quotes")
        if len(self._keys) < _REMEMBERED:
            self._keys.add(key)
        return key


def _unescaped(quoted: str) -> str:
    """What stands between quotes, without its escapes. Raises _Fault."""

    def character(found: re.Match[str]) -> str:
        short, long, byte, other = found.groups()
        if other is None:
            return _character(int(short or long or byte, 16), found)
        if other not in _ESCAPED:
            raise _Fault(f"{found[0]} is no escape", found.start())
        return _ESCAPED[other]

    text = _ESCAPE.sub(character, quoted)
    if _HALF.search(text) is None:
        return text
    # Characters beyond the first 65,536 are two escapes in JSON; either of them alone is none.
    text = _HALVES.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    if half := _HALF.search(text):
        raise _Fault(f"\\u{ord(half[0]):04x} is half of a character", _half_at(quoted))
    return text


def _character(code: int, found: re.Match[str]) -> str:
    if code > 0x10FFFF:
        raise _Fault(f"{found[0]} is no character", found.start())
    return chr(code)


def _half_at(quoted: str) -> int:
    """Where the escape stands that is half of a character, and has no other half beside it."""
    first: re.Match[str] | None = None
    for found in _ESCAPE.finditer(quoted):
        code = int(found[1] or "0", 16)
        if 0xD800 <= code < 0xDC00 and first is None:
            first = found
        elif 0xDC00 <= code < 0xE000 and first is not None and first.end() == found.start():
            first = None
        elif 0xDC00 <= code < 0xE000 or first is not None:
            break
    return (first or found).start()


def _why(text: str) -> str:
    """What is wrong with a line, and at which of its bytes."""
    for found in _PAIR.finditer(text):
        at = found.start(3) + 1
        try:
            if found[4]:
                at = 0
                _explain(text, found.start())
            if found[3] and found[3][0] == '"':
                _unescaped(found[3][1:-1])
        except _Fault as fault:
            return f"{fault} at byte {len(text[: at + fault.at].encode())}"
    return "it cannot be read"


def _value_at(text: str, key: str) -> int:
    """The byte at which the value of a key begins, within its quotes: the last one, which counts."""
    *_, last = (found for found in _PAIR.finditer(text) if found[1] == key)
    return len(text[: last.start(3) + last[3].startswith('"')].encode())


def _explain(text: str, at: int) -> None:
    """Raise what is wrong with the pair that begins there."""
    before = _BEFORE_VALUE.match(text, at)
    if before is None:
        raise _Fault(f"{text[at]} where a key should begin", at)
    if text[before.end() - 1] != "=":
        raise _Fault('" inside a key', before.end())
    quoted = _QUOTED.match(text, before.end())
    if quoted is None:
        raise _Fault("the quote is not closed", before.end())
    raise _Fault("white space expected after the quote", quoted.end())
