"""``url.*``: URLs (RFC 3986) taken apart, and texts as they stand inside them."""

import re
from collections.abc import Iterator
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.hashing import octets
from rules.cel.functions.registry import function
from rules.cel.operators import MAX_SIZE

_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
# Characters that no URL has: Python's library takes some of them out, and reads on.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NO_AUTHORITY: Final = re.compile(r"[\s\"<>\\^`{|}]")


@function("url.encode")
def _encode(text: str) -> str:
    """A text as it may stand in any part of a URL: everything but letters, digits and `-._~` as `%XX`.

    Example: url.encode("a b/ü") == "a%20b%2F%C3%BC"
    """
    from urllib.parse import quote

    made = quote(octets(text), safe="")
    if len(made) > MAX_SIZE:
        raise CelError(f"url.encode(): that would be longer than {MAX_SIZE:,}")
    return made


@function("url.decode")
def _decode(text: str) -> str:
    """A text with its `%XX` turned back. A `+` stays one; a `%` without two hexadecimal digits behind it is an
    error, and so is what is not UTF-8 then.

    Example: url.decode("a%20b%2F%C3%BC") == "a b/ü"
    """
    from urllib.parse import unquote_to_bytes

    if broken := _BROKEN_ESCAPE.search(text):
        escape = text[broken.start() : broken.start() + 3]
        raise CelError(f"url.decode(): {escape!r} is no octet: two hexadecimal digits follow a %")
    try:
        return unquote_to_bytes(octets(text)).decode()
    except UnicodeDecodeError as error:
        raise CelError(f"url.decode(): the result is not UTF-8, at its byte {error.start}") from error


@function("url.parse")
def _parse(text: str) -> dict[str, object]:
    """The parts of a URL, or of a relative one: `scheme`, `user`, `host`, `port` (an int), `path`, `query` and
    `fragment`. A part that it does not have is missing, but for `path`, which may be empty, and `query`, which may have
    nothing in it. Scheme and host are in lower case, the path as it is written; a password is left out. `query` is a
    map from name to the first value of that name, both decoded; `queries` has a list of all of them.

    Example: url.parse("https://Example.com:8443/a?q=x+y&q=z").host == "example.com"
    Example: url.parse("https://example.com:8443/a?q=x+y&q=z").port == 8443
    Example: url.parse("/search?q=x+y&q=z").query == {"q": "x y"}
    Example: url.parse("/search?q=x+y&q=z").queries.q == ["x y", "z"]
    """
    from urllib.parse import parse_qs, urlsplit

    try:
        found = urlsplit(text)
        if _CONTROL.search(text) or _NO_AUTHORITY.search(found.netloc):
            raise ValueError("there is a character in it that belongs there only as %XX")
        port = found.port
    except ValueError as error:
        raise CelError(f"url.parse(): {text[:40]!r} is no URL: {error}") from error
    queries = parse_qs(found.query, keep_blank_values=True)
    parts: Iterator[tuple[str, object]] = iter(
        [
            ("scheme", found.scheme or None),
            ("user", found.username),
            ("host", found.hostname),
            ("port", port),
            ("path", found.path),
            ("query", {name: values[0] for name, values in queries.items()}),
            ("queries", queries),
            ("fragment", found.fragment or None),
        ]
    )
    return {name: value for name, value in parts if value is not None}
