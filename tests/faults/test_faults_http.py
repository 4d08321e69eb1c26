"""The http source of a whole daemon under malformed requests and kills: short, with fixed seeds.

``python tests/faults fuzz-http`` and ``python tests/faults kill-http`` are the long versions.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fuzz_http import fuzz
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
