"""``mask.*``: what is left of a text that not everybody may read. Each hides more rather than less when in doubt."""

import re
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.hashing import keyed_digest
from rules.cel.functions.registry import function
from rules.cel.surroundings import Surroundings

_HIDDEN: Final = "*"
_DOMAIN: Final = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")
_IPV4_KEPT: Final = 24
_IPV6_KEPT: Final = 48
_TOKEN_BYTES: Final = 16


@function("mask.all")
def _all(text: str) -> str:  # noqa: ARG001 - nothing of it may show
    """One star, whatever the text: not even its length shows.

    Example: mask.all("Ada Lovelace") == "*"
    """
    return _HIDDEN


@function("mask.email")
def _email(text: str) -> str:
    """An address with its local part hidden; a text that is no address is hidden whole.

    Example: mask.email("ada@example.com") == "*@example.com"
    """
    local, _, domain = text.rpartition("@")
    return f"{_HIDDEN}@{domain}" if local and _DOMAIN.fullmatch(domain) else _HIDDEN


@function("mask.keepFirst")
def _keep_first(text: str, count: int) -> str:
    """The first characters, and a star for each of the others. A text that is not longer is hidden whole.

    Example: mask.keepFirst("Lovelace", 2) == "Lo******"
    """
    return text[: _shown("keepFirst", text, count)].ljust(len(text), _HIDDEN)


@function("mask.keepLast")
def _keep_last(text: str, count: int) -> str:
    """The last characters, and a star for each of the others. A text that is not longer is hidden whole.

    Example: mask.keepLast("DE02120300000000202051", 4) == "******************2051"
    """
    return text[len(text) - _shown("keepLast", text, count) :].rjust(len(text), _HIDDEN)


@function("mask.digits")
def _digits(text: str, count: int) -> str:
    """All digits hidden but the last ones, and everything else as it is: for numbers of cards and phones. A text with
    no more digits than that keeps none of them.

    Example: mask.digits("4111 1111-1111 1234", 4) == "**** ****-**** 1234"
    """
    places = [place for place, character in enumerate(text) if character.isdigit()]
    characters = list(text)
    for place in places[: len(places) - _shown("digits", places, count)]:
        characters[place] = _HIDDEN
    return "".join(characters)


@function("mask.ip")
def _ip(text: str) -> str:
    """An address without what tells one machine, or one household, from the next: the first 24 bits of an IPv4 address,
    the first 48 of an IPv6 address. A text that is no address is hidden whole.

    Example: mask.ip("192.0.2.77") == "192.0.2.0"
    Example: mask.ip("2001:db8:1:2::3") == "2001:db8:1::"
    """
    import ipaddress

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _HIDDEN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(address), _IPV6_KEPT), strict=False).network_address)
        address = address.ipv4_mapped
    return str(ipaddress.IPv4Network((int(address), _IPV4_KEPT), strict=False).network_address)


@function("mask.token")
def _token(around: Surroundings, text: str, secret: str) -> str:
    """A pseudonym: the same for the same text, so that records can still be joined by it, and not to be turned back
    without the secret, which stands under this name in `secrets` of the daemon's file. It is the first half of
    `hash.hmac("sha256", secret, text)`.

    Example: mask.token("ada@example.com", "pepper") == "02499ca50786c7344cb6060012cb26ce"
    """
    return keyed_digest("sha256", around.secret(secret), text)[:_TOKEN_BYTES].hex()


def _shown(name: str, characters: str | list[int], count: int) -> int:
    """How many are shown of those that there are: none, where it would be all."""
    if count < 0:
        raise CelError(f"mask.{name}(): {count} is negative")
    return count if count < len(characters) else 0
