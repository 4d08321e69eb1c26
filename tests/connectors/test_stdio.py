"""Standard input and output as real streams: pipes, files, terminals, readers that are slow or gone."""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from connectors.stdio import StdinSource, StdoutSink
from router import Sink, Source

REPOSITORY = Path(__file__).parents[2]

PREAMBLE = """
import asyncio, json, os, sys
from connectors.stdio import StdinSource, StdoutSink
from router import Batch, EndOfStream, NotConnected, WriteError

def say(*things):
    print(*things, file=sys.stderr, flush=True)

async def opened_source(**config):
    source = StdinSource(StdinSource.Config(**config))
    await source.open()
    return source

async def opened_sink():
    sink = StdoutSink(StdoutSink.Config())
    await sink.open()
    return sink
"""

READ = """
async def main():
    source = await opened_source(max_record=1000)
    while True:
        try:
            batch = await source.read()
        except EndOfStream:
            break
        assert len(batch)
        say(json.dumps([[v.decode("latin-1") for v in batch.values], {str(i): r for i, r in batch.spoiled.items()}]))
        await source.ack(batch.token)
    try:
        await source.read()
    except EndOfStream:
        say("end")
asyncio.run(main())
"""


def start(script: str, **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script], stderr=subprocess.PIPE, cwd=REPOSITORY, **streams
    )


def batches(said: bytes) -> tuple[list[bytes], list[str]]:
    """The records and the reasons of spoiled ones that a READ has said, up to its end."""
    *lines, last = said.decode().splitlines()
    assert last == "end", said
    values, reasons = [], []
    for line in lines:
        some, spoiled = json.loads(line)
        values += [value.encode("latin-1") for value in some]
        reasons += spoiled.values()
    return values, reasons


def read_all(stdin: int | IO[bytes]) -> tuple[list[bytes], list[str]]:
    with start(READ, stdin=stdin) as process:
        return batches(process.communicate(timeout=60)[1])


def lines_of(content: bytes) -> list[bytes]:
    *whole, last = content.split(b"\n")
    cut = [line.removesuffix(b"\r") for line in whole]
    return [line for line in [*cut, last] if line]


def random_lines(seed: int) -> bytes:
    """About two megabytes of lines of any bytes, of all lengths up to 900, blank ones among them."""
    rng = random.Random(seed)
    endings = (b"\n", b"\n", b"\r\n", b"\n\n")
    return b"".join(
        rng.randbytes(rng.randrange(900)).replace(b"\n", b"").rstrip(b"\r") + rng.choice(endings) for _ in range(4000)
    )


def test_they_are_connectors() -> None:
    """Both satisfy the protocols, and stdin says that it cannot replay."""
    assert isinstance(StdinSource(StdinSource.Config()), Source)
    assert isinstance(StdoutSink(StdoutSink.Config()), Sink)
    assert StdinSource.replays is False


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\r\n",
        b"a\nb\n",
        b"a\r\n\nb",
        b"last\r",
        b"\x00\xff\r\r\n\xc3\xa4",
        random_lines(1),
        random_lines(2)[:-1],
    ],
    ids=["empty", "blank", "two", "last without newline", "carriage return", "binary", "large", "large, cut"],
)
def test_every_line_of_a_pipe_and_of_a_file(content: bytes, tmp_path: Path) -> None:
    """Whatever the stream is, its records are its lines, and then it ends."""
    with start(READ, stdin=subprocess.PIPE) as process:
        assert batches(process.communicate(content, timeout=60)[1]) == (lines_of(content), [])
    file = tmp_path / "input"
    file.write_bytes(content)
    with file.open("rb") as stream:
        assert read_all(stream) == (lines_of(content), [])


def test_no_input_at_all() -> None:
    """/dev/null and a closed standard input are streams that have ended."""
    assert read_all(subprocess.DEVNULL) == ([], [])
    script = ["sh", "-c", 'exec "$0" "$@" <&-', sys.executable, "-c", PREAMBLE + READ]
    ran = subprocess.run(script, capture_output=True, cwd=REPOSITORY, timeout=60, check=False)
    assert batches(ran.stderr) == ([], [])


def test_a_long_line_is_spoiled_and_the_next_is_not() -> None:
    """It comes whole, with the reason; max_record itself is not too long."""
    content = b"a\n" + b"x" * 1001 + b"\n" + b"y" * 1000 + b"\nb"
    with start(READ, stdin=subprocess.PIPE) as process:
        values, reasons = batches(process.communicate(content, timeout=60)[1])
    assert values == content.split(b"\n")
    assert len(reasons) == 1
    assert "1001 bytes" in reasons[0]


def test_a_line_is_there_as_soon_as_it_was_written() -> None:
    """Nothing waits for a buffer to fill, and half a line waits for the rest of it."""
    with start(READ, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for piece, line in ((b"one\ntw", "one"), (b"o\n", "two"), ("ä\nend".encode(), "Ã¤")):
            process.stdin.write(piece)
            process.stdin.flush()
            assert json.loads(process.stderr.readline()) == [[line], {}]
        process.stdin.close()
        assert batches(process.stderr.read()) == ([b"end"], [])


def test_a_terminal() -> None:
    """Lines that are typed come one by one; control-D ends the stream."""
    master, slave = pty.openpty()
    with start(READ, stdin=slave) as process:
        os.close(slave)
        assert process.stderr is not None
        os.write(master, b"hello\n")
        assert json.loads(process.stderr.readline()) == [["hello"], {}]
        os.write(master, b"bye\n\x04")
        assert batches(process.stderr.read()) == ([b"bye"], [])
    os.close(master)


IMPATIENT = """
async def main():
    read, number, cancelled = [], 0, 0
    while True:
        source = await opened_source()
        try:
            batch = await asyncio.wait_for(source.read(), 0.001 if number % 3 else 0)
            read += batch.values
            if number < 3:
                say("got", len(read))
        except TimeoutError:
            cancelled += 1
        except EndOfStream:
            break
        number += 1
        await source.close()
    say(json.dumps([value.decode() for value in read]))
    assert cancelled
asyncio.run(main())
"""


def test_a_cancelled_read_loses_nothing() -> None:
    """Reads that are given up again and again, by sources built anew, still give every record once and in order."""
    lines = [f"line {number} {'x' * (number % 50)}" for number in range(20_000)]
    content = "\n".join(lines).encode()
    with start(IMPATIENT, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for at in range(0, len(content), 7001):
            process.stdin.write(content[at : at + 7001])
            process.stdin.flush()
        said = process.communicate(timeout=60)[1].decode().splitlines()
    assert json.loads(said[-1]) == lines


def test_one_source_reads_at_a_time() -> None:
    """A second one is told; when the first is closed it can go on."""
    script = """
async def main():
    first = await opened_source()
    try:
        await opened_source()
    except NotConnected as error:
        say(error)
    await first.close()
    await first.close()
    second = await opened_source()
    say((await second.read()).values)
asyncio.run(main())
"""
    with start(script, stdin=subprocess.PIPE) as process:
        said = process.communicate(b"a\n", timeout=60)[1].decode()
    assert said == "another source reads standard input, and a process has only one\n[b'a']\n"


def test_a_read_that_waits_does_not_keep_the_process() -> None:
    """The process ends although its standard input stays open and silent."""
    script = """
async def main():
    source = await opened_source()
    try:
        await asyncio.wait_for(source.read(), 0.05)
    except TimeoutError:
        say("given up")
    await source.close()
asyncio.run(main())
"""
    with start(script, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b"given up\n"


def test_records_are_written_as_lines() -> None:
    """JSON that holds newlines is compacted; what cannot be a line fails alone, for good."""
    script = """
async def main():
    sink = await opened_sink()
    await sink.write(Batch([b'{"a": 1}', b'{\\n "b":\\n 1.50}', "ä".encode()]))
    try:
        await sink.write(Batch([b"x", b"no\\nJSON", b"y"]))
    except WriteError as error:
        say(error.failed, error.retryable)
    try:
        await sink.write(Batch([b"no\\nJSON"]))
    except WriteError as error:
        say(list(error.failed))
    await sink.close()
asyncio.run(main())
"""
    with start(script, stdout=subprocess.PIPE) as process:
        out, said = process.communicate(timeout=60)
    assert out == '{"a": 1}\n{"b":1.50}\nä\nx\ny\n'.encode()
    assert said.startswith(b"{1: ")
    assert said.endswith(b"False\n[0]\n")


def test_a_slow_reader_gets_everything() -> None:
    """Batches far larger than a pipe holds come whole, from two sinks at once, no line torn."""
    script = """
async def write(sink, letter):
    for number in range(20):
        await sink.write(Batch([letter * (500 + number)] * 1000))
async def main():
    await asyncio.gather(write(await opened_sink(), b"a"), write(await opened_sink(), b"b"))
asyncio.run(main())
"""
    with start(script, stdout=subprocess.PIPE) as process:
        lines = process.communicate(timeout=60)[0].split(b"\n")
    expected = [letter * (500 + number) for letter in (b"a", b"b") for number in range(20) for _ in range(1000)]
    assert lines.pop() == b""
    assert sorted(lines, key=lambda line: (line[:1], len(line))) == expected


def test_a_reader_that_is_gone() -> None:
    """write() says so, and so does open() from then on: nobody will ever read again, and no record is to blame."""
    script = """
async def main():
    sink = await opened_sink()
    await sink.write(Batch([b"first"]))
    os.read(0, 1)
    for attempt in (sink.write(Batch([b"a", b"b"])), sink.open(), sink.open(), sink.write(Batch([b"c"]))):
        try:
            await attempt
        except EndOfStream as error:
            say(error)
asyncio.run(main())
os._exit(0)
"""
    with start(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        process.stdout.close()
        process.stdout = None
        said = process.communicate(b"!", timeout=60)[1].decode()
    assert said == "the reader of standard output is gone\n" * 4


def test_a_line_that_a_failure_cut_is_finished_first(tmp_path: Path) -> None:
    """When the disk takes no more in the middle of a line, nothing else follows before the rest of that line; open()
    fails for as long as the disk does."""
    script = """
import resource
def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
async def main():
    sink = await opened_sink()
    batch = Batch([b"%03d" % number * 5 for number in range(50)])
    for limit in (0, 20, 24, 32, 33, 47, 400):
        allow(limit)
        for attempt in (sink.open, lambda: sink.write(batch)):
            try:
                await attempt()
                say("done")
            except NotConnected as error:
                say(type(error.__cause__).__name__)
    allow(resource.RLIM_INFINITY)
    await sink.open()
    await sink.write(batch)
asyncio.run(main())
"""
    output = tmp_path / "output"
    with output.open("wb") as stream, start(script, stdout=stream) as process:
        said = process.communicate(timeout=60)[1].decode().splitlines()
    assert process.returncode == 0, said
    whole = [b"%03d" % number * 5 for number in range(50)]
    lines = output.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert set(lines) == set(whole)
    assert lines[-50:] == whole
    assert said.count("OSError") > 7  # writes, and openings too


def test_a_write_that_is_given_up_tears_no_line() -> None:
    """With a reader that stalls, a cancelled write still finishes before the next, and the process can end."""
    script = """
async def main():
    sink = await opened_sink()
    try:
        await asyncio.wait_for(sink.write(Batch([b"a" * 999] * 1000)), 0.05)
    except TimeoutError:
        say("given up")
    await sink.close()
    sink = await opened_sink()
    os.read(0, 1)
    await sink.write(Batch([b"b" * 99]))
    say("written")
    try:
        await asyncio.wait_for(sink.write(Batch([b"c" * 999] * 1000)), 0.05)
    except TimeoutError:
        say("ending")
asyncio.run(main())
"""
    with start(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == b"given up\n"
        process.stdin.write(b"!")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(1001)] == [b"a" * 999 + b"\n"] * 1000 + [b"b" * 99 + b"\n"]
        assert process.stderr.read() == b"written\nending\n"
        assert process.wait(timeout=60) == 0


def test_a_daemon_whose_reader_is_gone_delivers_the_rest_and_ends(tmp_path: Path) -> None:
    """`sluiceway run | head`: exit code 1, and the other sink has all that was read."""
    (tmp_path / "sluiceway.yaml").write_text(
        "http: null\nstate_dir: state\nflows: [flow.yaml]\n"
        "sources: {in: {type: generate, rate: 100000/s, template: {n: '{sequence}'}}}\n"
        "sinks: {out: {type: stdout}, file: {type: file, path: all.ndjson}}\n"
    )
    (tmp_path / "flow.yaml").write_text("from: in\nrules: [{to: [out, file]}]\n")
    command = [str(Path(sys.executable).with_name("sluiceway")), "run", "--log-format", "json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        process.stdout = None
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "the reader of standard output is gone" in said
    assert "Traceback" not in said
    written = [json.loads(line)["n"] for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert written == list(range(len(written)))
    assert written
