"""A dedupe under faults: short, with a fixed seed. ``python tests/faults dedupe`` is the long version."""

from __future__ import annotations

import dedupe


def test_the_first_record_of_each_key_arrives_and_no_other_one() -> None:
    """Killed in a burst, and while keys are pending because a sink is away; an answer of the sink is lost, too."""
    with dedupe.Rig(seed=5) as rig:
        rig.daemon.start()
        for fault in (dedupe.kill, dedupe.killed_while_sink_is_away):
            rig.destination.forgotten_answers = 1
            fault(rig)
            found = rig.settle()
            assert not dedupe.complaints(rig, found)
        assert (found.lost, found.others, found.strays) == (0, 0, 0)
        assert found.records > 10_000
        assert found.keys > 5_000
        assert rig.daemon.metrics()["sluiceway_gate_keys{flow=once,gate=dedupe,rule=once}"] == found.keys


def test_a_restart_repeats_nothing_and_remembers_every_key() -> None:
    with dedupe.Rig(seed=6) as rig:
        rig.daemon.start()
        dedupe.restart(rig)
        found = rig.settle()
        assert (found.broken, found.repeats, found.exchanged) == (0, 0, 0)
        assert found.keys > 3_000
