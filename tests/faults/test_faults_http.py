"""The http source of a whole daemon under malformed requests and kills, and the http sink with a server that answers
nonsense: short, with fixed seeds.

``python tests/faults fuzz-http``, ``kill-http`` and ``http`` are the long versions.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fuzz_http import fuzz
from harness import Rig, wait_until
from http_destination import KINDS, HttpDestination
from kill_http import Ordeal


def test_malformed_requests_do_no_harm(tmp_path: Path) -> None:
    """No answer of 5xx, no traceback, and every good request among them is delivered, once."""
    made = fuzz(tmp_path, 400, 7)
    assert made.complaints == []
    assert made.seen["good", "200"] == 80


def test_killed_while_clients_post(tmp_path: Path) -> None:
    """Every answered record is delivered, and none twice, by whichever process."""
    ordeal = Ordeal(tmp_path, 16, 7)
    try:
        verdict = asyncio.run(ordeal.suffer(4))
    finally:
        ordeal.daemon.kill()
    assert verdict.wrong == []
    assert verdict.replayed > 10
    assert verdict.cut > 0


def test_a_server_that_answers_nonsense() -> None:
    """Half an answer, lengths that are none, two answers for one, random bytes: nothing is lost, and no more comes
    again than what the server had taken when it answered so."""
    with Rig(http=True, seed=7) as rig:
        server = rig.destination
        assert isinstance(server, HttpDestination)
        rig.daemon.start()
        for kind in KINDS:
            server.nonsense = kind
            rig.feed("a", 200)
            wait_until(lambda kind=kind: server.told[kind] > 0, f"told: {kind}")  # type: ignore[misc]
            server.nonsense = ""
            found = rig.settle()
            wrong = {place: findings.examples for place, findings in found.items() if findings.violations}
            assert not wrong, kind
            assert found["wire"].found > 10
        assert rig.daemon.stop() == 0
