"""``hash.*``: digests of texts (of their UTF-8) and of bytes, as hexadecimal digits in lower case."""

from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import function
from rules.cel.surroundings import Surroundings

ALGORITHMS: Final = ("md5", "sha1", "sha256", "sha512")
"""What ``hash.*`` and ``hash.hmac`` know."""


def octets(data: str | bytes) -> bytes:
    """Bytes as they are, and a text in UTF-8. Raises CelError for half a character, which has none."""
    if isinstance(data, bytes):
        return data
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise CelError(f"half of a surrogate pair, at index {error.start}, has no UTF-8") from error


def keyed_digest(algorithm: str, secret: str, data: str | bytes) -> bytes:
    """HMAC (RFC 2104). The algorithm is one of ``ALGORITHMS``."""
    import hmac

    return hmac.digest(secret.encode(), octets(data), algorithm)


def known_algorithm(name: str) -> str:
    """The name, if it is that of an algorithm. Raises CelError."""
    if name in ALGORITHMS:
        return name
    raise CelError(f"there is no algorithm {name[:20]!r}: there are {', '.join(ALGORITHMS)}")


# Where a machine refuses weak algorithms for signatures, they still tell one record from another.


@function("hash.md5")
def _md5(data: str | bytes) -> str:
    """The MD5 digest: to tell apart, not to protect.

    Example: hash.md5("abc") == "900150983cd24fb0d6963f7d28e17f72"
    """
    import hashlib

    return hashlib.md5(octets(data), usedforsecurity=False).hexdigest()


@function("hash.sha1")
def _sha1(data: str | bytes) -> str:
    """The SHA-1 digest: to tell apart, not to protect.

    Example: hash.sha1("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"
    """
    import hashlib

    return hashlib.sha1(octets(data), usedforsecurity=False).hexdigest()


@function("hash.sha256")
def _sha256(data: str | bytes) -> str:
    """The SHA-256 digest. What can be guessed, such as an address or a phone number, is found by trying: see
    `mask.token`.

    Example: hash.sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    """
    import hashlib

    return hashlib.sha256(octets(data)).hexdigest()


@function("hash.sha512")
def _sha512(data: str | bytes) -> str:
    """The SHA-512 digest.

    Example: hash.sha512("abc").startsWith("ddaf35a193617abacc417349ae204131")
    """
    import hashlib

    return hashlib.sha512(octets(data)).hexdigest()


@function("hash.crc32")
def _crc32(data: str | bytes) -> str:
    """The CRC-32 of zlib and gzip, as eight digits: quick, and easily forged.

    Example: hash.crc32("abc") == "352441c2"
    """
    import zlib

    return f"{zlib.crc32(octets(data)):08x}"


@function("hash.hmac")
def _hmac(around: Surroundings, algorithm: str, secret: str, data: str | bytes) -> str:
    """HMAC (RFC 2104) with `md5`, `sha1`, `sha256` or `sha512`, and a secret that stands, by this name, under `secrets`
    of the daemon's file.

    Example: hash.hmac("sha256", "pepper", "abc") == "4f2f30aaf4a57bd60ab473c8e9c2cdfefc186723d4727ed6f31f04353c91389a"
    """
    return keyed_digest(known_algorithm(algorithm), around.secret(secret), data).hex()
