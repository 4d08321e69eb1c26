"""TLS settings become contexts that let the right peers talk, and say what is wrong with the files."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from router import ClientTls, NotConnected, ServerTls
from tests.certificates import Certificates


async def _greet(server: ServerTls, client: ClientTls, folder: Path) -> bytes:
    """What a server says to a client, each in a context of its settings."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server.context(folder))
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client.context(folder), server_hostname=client.server_name or "127.0.0.1"
        )
        try:
            return await reader.read()
        finally:
            writer.close()


async def test_both_sides_prove_who_they_are(certificates: Certificates) -> None:
    server = ServerTls(cert="server.pem", key="server.key", client_ca="ca.pem")
    client = ClientTls(ca="ca.pem", cert="client.pem", key="client.key")
    assert await _greet(server, client, certificates.folder) == b"hello"


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await _greet(ServerTls(cert="server.pem", key="server.key"), ClientTls(), certificates.folder)


async def test_a_server_is_trusted_blindly_when_told_to(certificates: Certificates) -> None:
    server = ServerTls(cert="server.pem", key="server.key")
    assert await _greet(server, ClientTls(verify=False), certificates.folder) == b"hello"


async def test_a_client_without_a_certificate_is_not_let_in(certificates: Certificates) -> None:
    server = ServerTls(cert="server.pem", key="server.key", client_ca="ca.pem")
    said = b""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        said = await _greet(server, ClientTls(ca="ca.pem"), certificates.folder)
    assert said != b"hello"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotConnected, match=r"none\.pem cannot be used: No such file"):
        ServerTls(cert="none.pem").context(tmp_path)
    with pytest.raises(NotConnected, match=r"none\.pem cannot be used: No such file"):
        ClientTls(ca="none.pem").context(tmp_path)


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="key should stand beside cert"):
        ClientTls(key="client.key")
