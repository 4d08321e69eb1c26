"""The router's own functions; ``time.format`` stands with the other functions of time."""

from rules.cel.functions.registry import function
from rules.cel.values import Timestamp


@function("mask.email")
def _mask_email(text: str) -> str:
    """An address with its local part hidden; a text that is no address is hidden whole."""
    return "*" + text[text.rfind("@") :] if "@" in text else "*"


@function("now", arity=0, pure=False)
def _now() -> Timestamp:
    import time

    return Timestamp.from_nanos(time.time_ns())


@function("uuid", arity=0, pure=False)
def _uuid() -> str:
    import uuid

    return str(uuid.uuid4())


@function("url.encode")
def _url_encode(text: str) -> str:
    """A text as it may stand in any part of a URL: everything but letters, digits and ``-._~`` as ``%XX``."""
    from urllib.parse import quote

    return quote(text, safe="")
