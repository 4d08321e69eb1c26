"""A test's loop leaves no connection half open, though its peer does not answer; of one that nobody closed it tells."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.certificates import Certificates
from tests.loops import ClosingLoop
from tests.servers.kafka_clients import client_context


@pytest.fixture
def silent_peer(certificates: Certificates) -> Iterator[int]:
    """The port of a peer that takes one connection, with TLS, and then says nothing, not even goodbye."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.folder / "server.pem", certificates.folder / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        accepted = threads.submit(lambda: context.wrap_socket(listener.accept()[0], server_side=True))
        yield listener.getsockname()[1]
        accepted.result(timeout=30).close()


def test_what_was_closed_is_cut_off_when_the_loop_ends(silent_peer: int, certificates: Certificates) -> None:
    loop = ClosingLoop()
    _, writer = loop.run_until_complete(_connection(silent_peer, certificates))
    writer.close()
    loop.run_until_complete(asyncio.sleep(0.05))
    connection = writer.get_extra_info("socket")
    assert connection.fileno() != -1, "TLS waits for the peer"
    loop.close()
    assert connection.fileno() == -1


def test_what_nobody_closed_is_told_of(silent_peer: int, certificates: Certificates) -> None:
    loop = ClosingLoop()
    streams = loop.run_until_complete(_connection(silent_peer, certificates))
    loop.close()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del streams
        gc.collect()
    assert "unclosed transport" in " ".join(str(warning.message) for warning in told)


async def _connection(port: int, certificates: Certificates) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=client_context(certificates))
