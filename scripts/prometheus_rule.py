"""The rules of Prometheus as the Prometheus operator takes them, made from deploy/prometheus/sluiceway.rules.yaml.

``python -m scripts.prometheus_rule`` writes the manifest; with ``--check`` it fails if it is not what that file gives.
"""

from __future__ import annotations

import sys
import textwrap

from scripts.environment import ROOT
from scripts.made_file import MadeFile

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


MADE = MadeFile(FILE, text, "prometheus_rule", str(RULES.relative_to(ROOT)))


if __name__ == "__main__":
    MADE.main(sys.argv[1:])
