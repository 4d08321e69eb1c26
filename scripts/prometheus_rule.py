"""The rules of Prometheus as the Prometheus operator takes them, made from deploy/prometheus/sluiceway.rules.yaml.

``python -m scripts.prometheus_rule`` writes the manifest; with ``--check`` it fails if it is not what that file gives.
"""

from __future__ import annotations

import sys
import textwrap

from scripts.environment import ROOT

RULES = ROOT / "deploy" / "prometheus" / "sluiceway.rules.yaml"
FILE = ROOT / "deploy" / "kubernetes" / "components" / "alerts" / "prometheusrule.yaml"
HEAD = """\
# Made by `make docs` from deploy/prometheus/sluiceway.rules.yaml, which says more about it: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sluiceway
spec:
"""


def text() -> str:
    """The manifest, with the comments of the rules."""
    rules = RULES.read_text(encoding="utf-8")
    return HEAD + textwrap.indent(rules[rules.index("groups:\n") :], "  ")


def main(arguments: list[str]) -> None:
    """Write the file, or with ``--check`` see that there is nothing to write."""
    if arguments not in ([], ["--check"]):
        sys.exit("usage: python -m scripts.prometheus_rule [--check]")
    if FILE.exists() and FILE.read_text(encoding="utf-8") == text():
        return
    shown = FILE.relative_to(ROOT)
    if arguments:
        sys.exit(f"{shown}: not what {RULES.relative_to(ROOT)} says; run `make docs`")
    FILE.write_text(text(), encoding="utf-8")
    print(shown)


if __name__ == "__main__":
    main(sys.argv[1:])
