"""All that is made from code: ``python -m scripts.all_docs`` makes it anew; ``--check`` fails if something is not what
the code gives. Together they import the code once; each is a script of its own, too."""

from __future__ import annotations

import sys

from scripts import api_docs, connector_docs, dashboard, format_docs, function_docs, prometheus_rule

MAKERS = (
    connector_docs.main,
    format_docs.PART.main,
    function_docs.PART.main,
    dashboard.MADE.main,
    prometheus_rule.MADE.main,
    api_docs.PART.main,
)


def main(arguments: list[str]) -> None:
    """One after the other; the first that fails ends it."""
    for make in MAKERS:
        make(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
