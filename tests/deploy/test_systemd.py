"""The units are what systemd takes, are as hardened as is promised, and start what they name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from router.daemon import MOVE_SECONDS
from tests.commands import sluiceway
from tests.deploy.units import SLUICEWAY, SYSTEMD, Host, lines_of

UNITS = ["sluiceway.service", "sluiceway@.service"]
PAGE = SYSTEMD.parents[1] / "docs" / "deployment.md"
EXPOSURE = 20
"""Tenths: 2.0 of 10."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze of systemd")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit_without_a_word(unit: str, tmp_path: Path) -> None:
    program = tmp_path / "sluiceway"
    program.symlink_to(SLUICEWAY)
    text = (SYSTEMD / unit).read_text().replace("/opt/sluiceway/bin/sluiceway", str(program))
    (tmp_path / unit).write_text(text)
    done = analyze("verify", "--man=no", tmp_path / unit.replace("@.", "@1.") if "@" in unit else tmp_path / unit)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_a_setting_that_systemd_does_not_know_is_told(tmp_path: Path) -> None:
    """So that silence about the units means something."""
    text = (SYSTEMD / UNITS[0]).read_text().replace("/opt/sluiceway/bin/sluiceway", SLUICEWAY)
    (tmp_path / UNITS[0]).write_text(text.replace("PrivateTmp=yes", "PrivateTemp=yes"))
    assert "PrivateTemp" in analyze("verify", "--man=no", tmp_path / UNITS[0]).stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_hardened(unit: str, tmp_path: Path) -> None:
    shutil.copy(SYSTEMD / unit, tmp_path / unit)
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", tmp_path / unit)
    assert done.returncode == 0, done.stdout


def test_the_template_differs_from_the_unit_in_what_an_instance_has_for_itself_alone() -> None:
    unit, template = (dict.fromkeys(lines_of(SYSTEMD / name)) for name in UNITS)
    differing = {name for _, name, _ in unit.keys() ^ template.keys()}
    instance = {"Environment", "StateDirectory", "WorkingDirectory", "ExecStart", "ExecReload", "Description"}
    assert differing == instance


@pytest.mark.parametrize(("unit", "instance"), [("sluiceway.service", ""), ("sluiceway@.service", "1")])
def test_the_shipped_configuration_is_right_and_so_are_its_tests(unit: str, instance: str, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.install()
    started = host.started(unit, instance)
    files = [argument for argument in started.command if argument.endswith(".yaml")]
    for command in ("check", "test"):
        done = sluiceway(command, *files, cwd=tmp_path, environment=started.environment)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["sluiceway check", "sluiceway dead list", "sluiceway test"])
def test_commands_run_on_the_host_after_the_lines_that_the_page_says(command: str, tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.install()
    (host.etc / "environment").write_text("BROKERS=kafka-1:9092,kafka-2:9092\n")
    lines = PAGE.read_text().partition("after these lines, as they are written:\n\n")[2].partition("\n\n")[0]
    assert lines
    before = host.below(lines).replace("/opt/sluiceway/bin", str(Path(SLUICEWAY).parent))
    done = subprocess.run(
        ["sh", "-euc", f"{before}\n{command}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_as_the_service() -> tuple[list[str], list[str]]:
    """The properties, and the command, that the page gives systemd-run."""
    text = PAGE.read_text()
    block = text[text.index("    systemd-run ") :].partition("\n\n")[0]
    words = iter(shlex.split(block.replace("\\\n", " ")))
    properties: list[str] = []
    others: list[str] = []
    for word in words:
        (properties if word == "-p" else others).append(next(words) if word == "-p" else word)
    return properties, others[others.index("--collect") + 1 :]


def test_a_command_that_runs_as_the_service_has_what_the_unit_says_of_its_user_and_secrets() -> None:
    """All that says who it is, where it writes, and what it knows."""
    given = {"DynamicUser", "User", "UMask", "StateDirectory", "StateDirectoryMode", "WorkingDirectory"}
    given |= {"EnvironmentFile", "LoadCredential"}
    unit = [f"{name}={value}" for _, name, value in lines_of(SYSTEMD / UNITS[0]) if name in given]
    assert sorted(run_as_the_service()[0]) == sorted(unit)


@needs_systemd
def test_systemd_takes_what_runs_as_the_service(tmp_path: Path) -> None:
    properties, (_, *arguments) = run_as_the_service()
    lines = ["[Service]", *properties, f"ExecStart={shlex.join([SLUICEWAY, *arguments])}"]
    (tmp_path / "replay.service").write_text("\n".join(lines))
    done = analyze("verify", "--man=no", tmp_path / "replay.service")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_runs_as_the_service_replays_without_a_daemon(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.install()
    environment = host.started(UNITS[0]).environment
    _, (_, *arguments) = run_as_the_service()
    done = sluiceway(*map(host.below, arguments), cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_credential_of_the_configuration_is_loaded() -> None:
    wanted = set(re.findall(r"\$\{credential:([^}]+)\}", (SYSTEMD / "sluiceway.yaml").read_text()))
    for unit in UNITS:
        loaded = {value.partition(":")[0] for _, name, value in lines_of(SYSTEMD / unit) if name == "LoadCredential"}
        assert loaded == wanted


def test_a_reload_looks_at_the_files_that_run(tmp_path: Path) -> None:
    for unit in UNITS:
        lines = lines_of(SYSTEMD / unit)
        (start,) = (value for _, name, value in lines if name == "ExecStart")
        files = [part for part in start.split() if part.endswith(".yaml")]
        *looks, signal = (value.split() for _, name, value in lines if name == "ExecReload")
        assert [look[1:] for look in looks] == [["check", *files], ["test", *files]]
        assert signal == ["kill", "-HUP", "$MAINPID"]


def test_what_the_metrics_of_the_process_are_made_of_can_be_seen() -> None:
    """When it was started is computed from ``/proc/stat``, which this would hide."""
    for unit in UNITS:
        assert ("Service", "ProcSubset", "pid") not in lines_of(SYSTEMD / unit)


def test_a_drain_without_signs_of_life_ends_before_systemd_does_that() -> None:
    """``drain_timeout`` is 30 s, and dead letters have some seconds more."""
    for unit in UNITS:
        found = {name: value for _, name, value in lines_of(SYSTEMD / unit)}
        assert float(found["TimeoutStopSec"].removesuffix("s")) > 30 + MOVE_SECONDS
