"""Dead letters over the API: how much of one is told."""

from __future__ import annotations

import base64
from pathlib import Path

from api_daemons import client_of, project

from router.letter import Letter

LONG = b'{"long": "' + b"x" * 5_000 + b'"}'
BYTES = b"\xff\xfe" * 300


def letter(value: bytes, out: bytes | None = None) -> Letter:
    """One of the flow that has nothing to hide."""
    stage = "rule" if out is None else "sink"
    told = {"flow": "others", "source": "others", "rule": "all", "sink": "out", "reason": "refused"}
    return Letter(time=1, stage=stage, value=value, out_value=out, **told)  # type: ignore[arg-type] # they are texts


async def test_of_long_payloads_the_beginning_can_be_asked_for(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await client.daemon.store.add_many([letter(LONG, LONG + b" "), letter(BYTES)])
        listed = (await client.get("/api/dead_letters", flow="others", cut=10))["letters"]
        assert [(one["value"], one["size"]) for one in listed] == [
            ('{"long": "', len(LONG)),
            ({"base64": base64.b64encode(BYTES).decode()[:8]}, len(BYTES)),
        ]
        one = await client.get(f"/api/dead_letters/{listed[0]['id']}", cut=4)
        assert (one["value"], one["out_value"]) == ('{"lo', '{"lo')
        assert (one["size"], one["out_size"]) == (len(LONG), len(LONG) + 1)
        whole = await client.get(f"/api/dead_letters/{listed[0]['id']}")
        assert (whole["value"], whole["out_value"]) == (LONG.decode(), LONG.decode() + " ")


async def test_what_came_first_is_cut_too(tmp_path: Path) -> None:
    async with client_of(project(tmp_path)) as client:
        await client.daemon.store.add_many([letter(LONG)])
        [listed] = (await client.get("/api/dead_letters", flow="others"))["letters"]
        path = f"/api/dead_letters/{listed['id']}"
        amended = await client.post(f"{path}/amend", text="short")
        assert (amended["value"], amended["out_size"]) == ("short", None)
        assert amended["original"]["value"] == LONG.decode()
        assert (await client.get(path, cut=3))["original"]["value"] == '{"l'
