"""Why a record goes where it goes, by the rules that run now, as JSON: of what is given, kept, or a letter."""

from __future__ import annotations

from typing import Any

from router.admin import Subject
from router.api.endpoint import Said
from router.aside import aside
from router.batch import Batch
from router.explanation.as_json import AsJson
from router.explanation.sinks import Sinks
from router.explanation.values import Values
from rules.ruleset import Ruleset


class Explanation(Said):
    """The whole decision: contract, rules with each sub-expression's value, and where it goes. What a contract marks as
    sensitive, and what is made of it, is `***`."""

    flow: str
    version: str
    source: str
    record: Any
    rules: list[dict[str, Any]]
    goes_to: list[dict[str, Any]]


async def explain(subject: Subject, ruleset: Ruleset, batch: Batch, source: str) -> Explanation:
    """The explanation of the one record of a batch, worked out beside the loop."""
    return Explanation.model_validate(await aside(_explained, subject, ruleset, batch, source))


def _explained(subject: Subject, ruleset: Ruleset, batch: Batch, source: str) -> Any:
    configuration = subject.configuration
    made = AsJson(Values(configuration.secrets.mask), Sinks(configuration.sinks))
    return made.explanation(ruleset.explain(batch, 0, source))
