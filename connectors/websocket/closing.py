"""Close codes (RFC 6455, section 7.4, and the registry of IANA): what they say, and which say not to come back."""

from __future__ import annotations

from connectors.http.answers import excerpt

NORMAL = 1000
GOING_AWAY = 1001
NO_CODE = 1005
NO_CLOSE = 1006
TRY_AGAIN_LATER = 1013

_NAMES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code given",
    1007: "invalid payload",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}
_UNWELCOME = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003})


def told(code: int, reason: str) -> str:
    """A code and its reason, as a person reads it: ``1008 (policy violation): no such feed``."""
    name = _NAMES.get(code, "of this server's own" if code >= 4000 else "unknown")
    return f"{code} ({name})" + (f": {excerpt(reason, 125)}" if reason else "")


def is_unwelcome(code: int) -> bool:
    """Whether whoever closes so would do it again to whoever comes back at once, unchanged."""
    return code in _UNWELCOME or 4000 <= code < 5000
