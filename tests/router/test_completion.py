"""What the shell completes: commands, options, and the names in the daemon's files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from processes import SLUICEWAY, sluiceway

CONFIG = """
sources: {orders: {type: stdin}, other: {type: memory, channel: x}}
sinks:
  archive: {type: stdout}
flows: [rules/*.yaml]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/named.yaml").write_text('# flow: none\nflow: "orders-eu"  # its name\nfrom: [orders]\n')
    (tmp_path / "rules/returns.yaml").write_text("from: [other]\nrules: [{to: archive}]\n")
    (tmp_path / "sluiceway.yaml").write_text(CONFIG)
    (tmp_path / "prod.yaml").write_text("sources: {production: {type: stdin}}\n")
    return tmp_path


def completed(folder: Path, line: str) -> list[str]:
    """What bash is told for a line with the cursor at its end; nothing on stderr, whatever is wrong."""
    words = line.split(" ")
    environment = {
        "_SLUICEWAY_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    told = sluiceway(cwd=folder, environment=environment)
    assert told.stderr == ""
    return told.stdout.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("sluiceway tap ", ["orders-eu", "returns"]),
        ("sluiceway tap o", ["orders-eu"]),
        ("sluiceway pause o", ["orders", "other"]),
        ("sluiceway resume or", ["orders"]),
        ("sluiceway explain re", ["returns"]),
        ("sluiceway explain --source ot", ["other"]),
        ("sluiceway test --flow ret", ["returns"]),
        ("sluiceway dead list --sink ", ["archive"]),
        ("sluiceway dead purge --flow ", ["orders-eu", "returns"]),
        ("sluiceway dead list prod.yaml --source ", ["production"]),
        ("sluiceway dead list sluiceway.yaml prod.yaml --source ", ["orders", "other", "production"]),
        ("sluiceway audit v", ["verify"]),
        ("sluiceway re", ["resume", "reload"]),
        ("sluiceway tap orders-eu --wh", ["--where"]),
    ],
)
def test_names_are_completed(project: Path, line: str, names: list[str]) -> None:
    assert completed(project, line) == names


@pytest.mark.parametrize("config", [None, "sources: [", "flows: 7\nsources: 8\n", "\x00", "flows: ['none/*']"])
def test_files_that_are_wrong_complete_nothing_and_say_nothing(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "sluiceway.yaml").write_text(config)
    for line in ("sluiceway tap ", "sluiceway pause ", "sluiceway dead list --sink "):
        assert completed(tmp_path, line) == []


def test_bash_completes_by_the_script_that_the_command_gives(project: Path) -> None:
    # Asked for a shell by its option, it looks at who has started it, which need not be a shell here.
    script = sluiceway(cwd=project, environment={"_SLUICEWAY_COMPLETE": "source_bash"})
    program = f"""
{script.stdout}
COMP_WORDS=(sluiceway pause o) COMP_CWORD=2
_sluiceway_completion sluiceway o pause
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {**os.environ, "PATH": f"{Path(SLUICEWAY).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", program], cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.split() == ["orders", "other"], ran.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_in_their_way(project: Path, shell: str) -> None:
    """By the protocol of their scripts, whether the shell is installed here or not."""
    environment = {"_SLUICEWAY_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "sluiceway pause o"}
    told = sluiceway(cwd=project, environment={**environment, "_TYPER_COMPLETE_FISH_ACTION": "get-args"})
    assert "orders" in told.stdout
    assert "other" in told.stdout
    assert told.stderr == ""


def test_completion_is_installed_for_the_shell_in_use(project: Path) -> None:
    """The script goes where bash finds it."""
    home = project / "home"
    home.mkdir()
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"HOME": str(home), "SHELL": bash, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    installed = sluiceway("--install-completion", "bash", cwd=project, environment=environment)
    assert installed.returncode == 0, installed.stderr
    assert "sluiceway" in (home / ".bashrc").read_text()
