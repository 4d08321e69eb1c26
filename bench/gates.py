"""What gates cost: a flow of one rule with each of them, beside the same flow without, in one process."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping

from bench.events import lines
from router.batch import Batch
from router.gatekeeper import Gatekeeper
from router.metrics import Metrics
from router.state import StateDir
from rules.flow import Flow
from rules.gates import Gates, digest
from rules.reader import read_flow
from rules.ruleset import SinkFacts, compile_flow

RECORDS = 1000
"""Of a batch."""
GATES: Mapping[str, str] = {
    "none": "",
    "sample of a key": "sample: {ratio: 10%, key: event.id}, ",
    "sample of the payload": "sample: {ratio: 10%}, ",
    "throttle": "throttle: {rate: 1000000/s}, ",
    "throttle per user": "throttle: {rate: 1000/s, per: event.user.id}, ",
    "dedupe, all new": "dedupe: {key: event.id, within: 1h}, ",
    "dedupe, all new, persist": "dedupe: {key: event.id, within: 1h, persist: true}, ",
    "dedupe, nearly all held": "dedupe: {key: event.device, within: 1h}, ",
}


def main(arguments: list[str]) -> int:
    """Print microseconds of CPU a record, and bytes a key."""
    parser = argparse.ArgumentParser(prog="python -m bench gates", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    payloads = [line[:-1] for line in lines(options.records)]
    chunks = [payloads[at : at + RECORDS] for at in range(0, len(payloads), RECORDS)]
    print(f"{'us':>7}{'more':>7}  gate")
    floor = 0.0
    for name, gate in GATES.items():
        runs = [asyncio.run(_seconds(_flow(gate), chunks)) for _ in range(options.runs)]
        taken = statistics.median(runs) / len(payloads) * 1e6
        floor = floor or taken
        print(f"{taken:7.2f}{taken - floor:7.2f}  {name}", flush=True)
    print(f"{_bytes_a_key():.0f} bytes a key of a dedupe")
    return 0


def _flow(gate: str) -> Flow:
    text = f"flow: f\nfrom: s\nrules: [{{name: r, {gate}to: a}}]\notherwise: {{unmatched: drop}}\n"
    flow, faults = read_flow(text, "flow.yaml", lambda name: name.encode())
    if flow is None or faults:
        sys.exit("\n".join(map(str, faults)))
    return flow


async def _seconds(flow: Flow, chunks: list[list[bytes]]) -> float:
    """CPU of deciding about these, as a pipeline does it, and of remembering the keys."""
    ruleset = compile_flow(flow, sinks={"a": SinkFacts("a")}, vars={}, models={})
    with tempfile.TemporaryDirectory() as folder, StateDir.open(folder) as state:
        keeper = Gatekeeper(flow, state, Metrics()) if flow.rules[0].gates else None
        if keeper is not None:
            await keeper.load()
        began = time.process_time()
        for chunk in chunks:
            batch = Batch(chunk)
            crossing = None if keeper is None else keeper.cross(batch.arrived)
            ruleset.route(batch, "s", crossing=crossing)
            if keeper is not None and crossing is not None:
                keeper.tell()
                keeper.follow(crossing, [])
                await keeper.remember(crossing)
        return time.process_time() - began


def _bytes_a_key(keys: int = 200_000) -> float:
    gates = Gates(_flow("dedupe: {key: event.id, within: 1h}, "))
    tracemalloc.start()
    for start in range(0, keys, RECORDS):
        gates.remember(0, time.time_ns(), (digest(number) for number in range(start, start + RECORDS)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / keys


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
