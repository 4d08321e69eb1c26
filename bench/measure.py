"""Measuring whole processes: what they cost from their start to their end, with everything that they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SLUICEWAY = str(Path(sys.executable).with_name("sluiceway"))


class Failed(SystemExit):
    """A command that is measured failed; the message has the end of its log. Uncaught, it ends the benchmark."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost: seconds of CPU (user and system), seconds that passed, and the most memory it ever held."""

    cpu: float
    wall: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process that runs: a moment in seconds, the CPU (user and system) it has had, and its memory now."""

    seconds: float
    cpu: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory at some moment, in MB, and seconds since the start."""

    seconds: float
    rss_mb: float


def run(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    samples: list[Sample] | None = None,
) -> Cost:
    """Run a command to its end. Its output goes to ``log``; a failure ends the benchmark with the end of it.

    Its memory, ten times a second, is added to ``samples``.
    """
    os.sync()  # what an earlier run left to be written is not to be paid by this one
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        if samples is not None:
            _watch(process.pid, began, samples)
        cost = _wait(process, began)
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{_tail(log)}")
    return cost


def usage(pid: int) -> Usage:
    """What a process has used so far, its children not counted. Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)
    return Usage(time.monotonic(), cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6)


def run_during(command: Sequence[str], work: Callable[[], T], *, log: Path) -> tuple[T, Cost]:
    """Run a command for as long as ``work`` takes, and tell it to stop, as ``run_beside`` does."""
    return run_beside(command, lambda _pid: work(), log=log)


def run_beside(command: Sequence[str], work: Callable[[int], T], *, log: Path) -> tuple[T, Cost]:
    """Run a command for as long as ``work``, which gets its process id, takes, and tell it to stop. What came of the
    work, and the cost.

    Work that raises TimeoutError, and a command that fails, end the benchmark with the end of the ``log``.
    """
    os.sync()
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            done = work(process.pid)
        except BaseException as error:
            process.kill()
            process.wait()
            if isinstance(error, TimeoutError):
                raise Failed(f"not all records have come in time:\n{_tail(log)}") from error
            raise
        os.kill(process.pid, signal.SIGTERM)  # it has its number until it is waited for
        cost = _wait(process, began)
    if process.returncode not in (0, -signal.SIGTERM):
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{_tail(log)}")
    return done, cost


def _wait(process: subprocess.Popen[bytes], began: float) -> Cost:
    """What it has cost when it has ended."""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def _watch(pid: int, began: float, samples: list[Sample]) -> None:
    """Until it ends."""
    page = os.sysconf("SC_PAGE_SIZE")
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with contextlib.suppress(OSError, IndexError):  # it has just ended
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
            samples.append(Sample(time.monotonic() - began, resident / 1e6))
        time.sleep(0.1)


def interleaved(contenders: Mapping[str, Callable[[], Cost]], runs: int) -> dict[str, list[Cost]]:
    """The costs of each contender, run by turns so that a change of the machine's mood meets all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for turn in range(runs):
        for name, contender in contenders.items():
            cost = contender()
            costs[name].append(cost)
            print(
                f"  run {turn + 1} of {runs}: {name:<9} cpu {cost.cpu:7.2f} s  wall {cost.wall:7.2f} s  "
                f"rss {cost.rss_mb:6.1f} MB",
                flush=True,
            )
    return costs


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.rss_mb for cost in costs),
    )


def print_costs(costs: Mapping[str, Sequence[Cost]], records: int) -> None:
    """A table of the medians of each contender, the CPU for a record among them."""
    print(f"{'':8}{'cpu s':>9}{'us/record':>11}{'wall s':>9}{'rss MB':>9}")
    for name, runs in costs.items():
        cost = median(runs)
        print(f"{name:8}{cost.cpu:9.2f}{cost.cpu / records * 1e6:11.3f}{cost.wall:9.2f}{cost.rss_mb:9.1f}")


def write_json(file: Path | None, costs: Mapping[str, Sequence[Cost]], **figures: object) -> None:
    """Write these figures, and those of each run, to a file if there is one to be."""
    if file is not None:
        runs = {name: [asdict(cost) for cost in of_one] for name, of_one in costs.items()}
        file.write_text(json.dumps({**figures, "runs": runs}, indent=2))


def ratio(ours: Sequence[Cost], floor: Sequence[Cost], figure: Callable[[Cost], float]) -> float:
    """How many times the floor's figure ours is: the median over turns, each beside the floor's runs next to it.

    A shared machine is up to twice as fast in one minute as in the next, so that medians of each side compare minutes.
    """
    beside = [[floor[turn], *floor[turn + 1 : turn + 2]] for turn in range(len(ours))]
    return statistics.median(
        figure(cost) / statistics.mean(map(figure, runs)) for cost, runs in zip(ours, beside, strict=True)
    )
