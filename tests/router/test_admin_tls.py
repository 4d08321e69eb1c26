"""The admin pages over https: what the daemon says when it starts, and whom the pages answer."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from daemons import daemon_of

from router.config import load
from router.daemon import Daemon
from router.errors import SluicewayError
from tests.certificates import Certificates

SLUICEWAY = Path(sys.executable).with_name("sluiceway")
TLS = "{{cert: '{folder}/server.pem', key: '{folder}/server.key'{more}}}"


def config(folder: Path, tls: str) -> Path:
    """A daemon that does nothing but serve its pages so."""
    (folder / "rules.yaml").write_text("from: [never]\nrules: [{to: out}]\n")
    path = folder / "sluiceway.yaml"
    path.write_text(
        f"http: {{listen: 127.0.0.1:0, token: s3cret, tls: {tls}}}\n"
        "sources: {never: {type: memory, channel: never}}\n"
        "sinks: {out: {type: memory, channel: out}}\n"
        "flows: [rules.yaml]\n"
    )
    return path


async def get(url: str, tls: ssl.SSLContext, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, ssl=tls, headers=headers) as answer:
        return answer.status, await answer.text()


async def pages(path: Path, tls: ssl.SSLContext) -> tuple[str, tuple[int, str], tuple[int, str]]:
    """Where the pages are, and what a client gets of the health page and of the status page, with the token."""
    async with daemon_of(path) as daemon:
        assert daemon.admin is not None
        health = await get(f"{daemon.admin.url}/healthz", tls)
        status = await get(f"{daemon.admin.url}/api/status", tls, Authorization="Bearer s3cret")
    return daemon.admin.url, health, status


async def test_the_pages_are_served_over_https(tmp_path: Path, certificates: Certificates) -> None:
    path = config(tmp_path, TLS.format(folder=certificates.folder, more=""))
    url, health, status = await pages(path, ssl.create_default_context(cafile=certificates.ca))
    assert url.startswith("https://127.0.0.1:")
    assert health == (200, "ok\n")
    assert status[0] == 200


async def test_with_mutual_tls_a_client_without_a_certificate_gets_no_page(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Not even the pages that need no token."""
    path = config(tmp_path, TLS.format(folder=certificates.folder, more=f", client_ca: '{certificates.ca}'"))
    context = ssl.create_default_context(cafile=certificates.ca)
    with pytest.raises(BaseExceptionGroup) as refused:
        await pages(path, context)
    assert refused.group_contains(aiohttp.ClientError)
    context.load_cert_chain(certificates.folder / "client.pem", certificates.folder / "client.key")
    assert (await pages(path, context))[1] == (200, "ok\n")


async def test_a_certificate_that_cannot_be_used_is_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SluicewayError, match=r"^http\.tls: none\.pem cannot be used: No such file"):
        await Daemon(load([config(tmp_path, "{cert: none.pem}")])).run()


def test_the_banner_says_https(tmp_path: Path, certificates: Certificates) -> None:
    config(tmp_path, TLS.format(folder=certificates.folder, more=""))
    with subprocess.Popen(
        [SLUICEWAY, "run"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        banner = ""
        while "Ctrl-C" not in banner:
            line = running.stdout.readline()
            assert line, running.stderr and running.stderr.read()
            banner += line
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0
    assert "  metrics  https://127.0.0.1:" in banner
    assert "  console  https://127.0.0.1:" in banner
