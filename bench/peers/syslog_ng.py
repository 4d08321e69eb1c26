"""syslog-ng: a router in C, here a chain of ``if`` over fields that its JSON parser finds. Of Debian's package
syslog-ng-core, which is measured where it is installed. It does not end with its input, and is stopped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SINKS = ("orders", "paying", "sensors", "archive")
ABSENT = "not installed; Debian has it as syslog-ng-core"

CONFIGURATION = """\
@version: {version}
options {{ keep-timestamp(yes); stats-freq(0); log-msg-size(1048576); }};
source lines {{ file("{source}" flags(no-parse) follow-freq(0.1) log-fetch-limit(1000) log-iw-size(10000)); }};
parser decode {{ json-parser(prefix(".event.")); }};
template line {{ template("$MSG\\n"); }};
{destinations}
log {{
  source(lines);
  parser(decode);
  if ("${{.event.type}}" eq "order" and "${{.event.amount}}" > "500.0") {{ destination(orders); }}
  elif (match("^(pro|team)$" value(".event.user.plan"))) {{ destination(paying); }}
  elif (match("sensor-" value(".event.device") type(string) flags(prefix))) {{ destination(sensors); }}
  elif (match("^(order|view|click|reading)$" value(".event.type"))) {{ destination(archive); }};
  flags(flow-control);
}};
"""


def program() -> str | None:
    """The daemon, if it is installed."""
    return shutil.which("syslog-ng", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def version(of: str) -> str:
    """Of the configuration that the program speaks, such as 3.35."""
    said = subprocess.run([of, "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition("Config version:")[2].split()[0]


def command(of: str, source: Path, home: Path) -> list[str]:
    """The command that routes the file into ``home/out``, with all that it keeps in ``home``."""
    destinations = "\n".join(
        f'destination {name} {{ file("{home}/out/{name}.ndjson" template(line)); }};' for name in SINKS
    )
    configuration = home / "syslog-ng.conf"
    configuration.write_text(CONFIGURATION.format(version=version(of), source=source, destinations=destinations))
    own = ["--persist-file", f"{home}/persist", "--control", f"{home}/control", "--pidfile", f"{home}/pid"]
    return [of, "--foreground", "--no-caps", "--cfgfile", str(configuration), *own]
