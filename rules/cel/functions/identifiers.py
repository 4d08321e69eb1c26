"""``uuid``: identifiers (RFC 9562), at random, by time, and of a name."""

from typing import TYPE_CHECKING, Final

from rules.cel import chance
from rules.cel.errors import CelError
from rules.cel.functions.hashing import octets
from rules.cel.functions.registry import function

if TYPE_CHECKING:
    from uuid import UUID

_SPACES: Final = {"dns": "NAMESPACE_DNS", "url": "NAMESPACE_URL", "oid": "NAMESPACE_OID"}


@function("uuid", arity=0, pure=False)
def _random() -> str:
    """A new UUID at random (version 4), another one each time.

    Example: uuid().size() == 36
    """
    import uuid

    return str(uuid.UUID(bytes=chance.noise(16), version=4))


@function("uuid.v7", arity=0, pure=False)
def _by_time() -> str:
    """A new UUID that begins with the time, in milliseconds (version 7): later ones sort after earlier ones.

    Example: uuid.v7().matches("^[0-9a-f]{8}-[0-9a-f]{4}-7")
    """
    import uuid

    milliseconds = chance.now() // 1_000_000
    noise = int.from_bytes(chance.noise(10))
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | noise
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


@function("uuid.v5")
def _of_name(space: str, name: str) -> str:
    """The UUID of a name (version 5): the same for the same name, so that a record that comes twice gets one id. The
    space of the name is `"dns"`, `"url"`, `"oid"` or a UUID of your own.

    Example: uuid.v5("dns", "example.com") == "cfbff0d1-9375-5685-968c-48ce8b15ae17"
    """
    import uuid

    known = space_of(space)
    octets(name)  # which says what is wrong with a text that has none
    return str(uuid.uuid5(known, name))


def space_of(name: str) -> "UUID":
    """A space of names, by its own name or as a UUID. Raises CelError."""
    import uuid

    try:
        found: UUID = getattr(uuid, _SPACES[name]) if name in _SPACES else uuid.UUID(name)
    except ValueError as error:
        raise CelError(f"uuid.v5(): {name[:40]!r} is neither dns, url, oid nor a UUID") from error
    return found
