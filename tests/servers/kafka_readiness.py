"""Whether a node of Kafka does what clients ask, which it does not as soon as it listens."""

from __future__ import annotations

import socket
import struct
import time

from tests.servers.process import START_SECONDS, NotStarted

_INIT_PRODUCER_ID = 22
_REQUEST = struct.pack(">hhihhi", _INIT_PRODUCER_ID, 0, 1, -1, -1, 0)
"""Version 0, without client and transactional id, and so without a timeout."""
_ANSWER = struct.Struct(">iiih")
"""Its length, the number of the request, for how long clients are throttled, the error."""


def wait_until_ready(port: int) -> None:
    """Return once the node gives out identities to idempotent producers: a second or so after it has begun to listen.
    Raises NotStarted."""
    deadline = time.monotonic() + START_SECONDS
    while (code := _error_of_init_producer_id(port)) != 0:
        if time.monotonic() > deadline:
            raise NotStarted(f"the Kafka on port {port} gives no identity to producers: error {code}")
        time.sleep(0.02)


def _error_of_init_producer_id(port: int) -> int | None:
    """The error code of the answer; None if there was no answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            answer = connection.recv(_ANSWER.size, socket.MSG_WAITALL)
    except OSError:
        return None
    return int(_ANSWER.unpack(answer)[3]) if len(answer) == _ANSWER.size else None
