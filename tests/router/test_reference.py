"""What is said of a connector is what its code says: settings in words, the docstring, the example, the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, JsonValue, SecretStr

from router import Address, Duration, PerRecord, Settings, Size
from router.config.model import SinkCommon, SourceCommon
from router.metrics import Metrics, families_of
from router.plugins import Installed, Kind, installed
from router.reference import Reference, Setting, cell, common_settings, listing, reference, section
from router.reference.settings import settings_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Column(Settings):
    """A column."""

    name: str
    """Its name."""
    type: Literal["int", "text"] = "text"


class Basic(Settings):
    scheme: Literal["basic"]
    """Which it is."""
    user: str
    """Who."""
    password: SecretStr
    """What only the user knows."""


class Bearer(Settings):
    scheme: Literal["bearer"]
    """Which it is."""
    token: SecretStr
    """What is shown."""
    wait: Duration = 2.0


class Limits(Settings):
    bytes: Size = 1 << 20
    wait: Duration = 0.5


class Tree(Settings):
    below: list[Tree] = []  # noqa: RUF012


class Config(Settings):
    """Settings of every kind."""

    path: Annotated[str, Field(min_length=1), PerRecord()]
    """Where.

    And | how."""
    many: str | list[str] = Field(default_factory=list)
    at_most: Annotated[int, Field(gt=0)] | None = None
    between: Annotated[int, Field(ge=1, le=9)] = 3
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    on: bool = True
    pattern: Annotated[str, Field(pattern="^/")] = "/"
    colour: Colour = Colour.RED
    numbers: list[int] = [1, 2]  # noqa: RUF012 - pydantic copies it
    where: Address = "127.0.0.1:1"
    secret: SecretStr = SecretStr("hidden")
    anything: JsonValue = None
    from_: str = Field(default="x", alias="from")
    labels: dict[str, list[Size]] = {}  # noqa: RUF012
    limits: Limits = Limits(wait=60.0)
    maybe: Limits | None = None
    auth: Annotated[Basic | Bearer, Field(discriminator="scheme")] | None = None
    columns: Annotated[list[Column], Field(min_length=1)] | None = None
    topics: Mapping[str, Limits] = {}
    column: Column | None = None
    tree: Tree = Tree()


def test_settings_are_named_in_full_with_their_types_in_words_and_defaults_as_they_are_written() -> None:
    """Nested ones stand after what they are in: with its own defaults, under each entry of a list or a mapping, and of
    alternatives all together; what holds itself ends."""
    said = {setting.name: (setting.type, setting.default) for setting in settings_of(Config)}
    assert said == {
        "path": ("text", None),
        "many": ("text or list of texts", []),
        "at_most": ("whole number above 0", None),
        "between": ("whole number from 1 to 9", 3),
        "share": ("number at least 0 and below 1", 0.5),
        "on": ("`true` or `false`", True),
        "pattern": ("text that matches `^/`", "/"),
        "colour": ("`red` or `blue`", "red"),
        "numbers": ("list of whole numbers", [1, 2]),
        "where": ("address", "127.0.0.1:1"),
        "secret": ("secret", "**********"),
        "anything": ("any value", None),
        "from": ("text", "x"),
        "labels": ("mapping of names to lists of sizes", {}),
        "limits": ("mapping", None),
        "limits.bytes": ("size", "1MiB"),
        "limits.wait": ("duration", "1m"),
        "maybe": ("mapping", None),
        "maybe.bytes": ("size", "1MiB"),
        "maybe.wait": ("duration", "500ms"),
        "auth": ("mapping", None),
        "auth.scheme": ("`basic` or `bearer`", None),
        "auth.user": ("text", None),
        "auth.password": ("secret", None),
        "auth.token": ("secret", None),
        "auth.wait": ("duration", "2s"),
        "columns": ("list of mappings", None),
        "columns[].name": ("text", None),
        "columns[].type": ("`int` or `text`", "text"),
        "topics": ("mapping of names to mappings", {}),
        "topics.*.bytes": ("size", "1MiB"),
        "topics.*.wait": ("duration", "500ms"),
        "column": ("mapping", None),
        "column.name": ("text", None),
        "column.type": ("`int` or `text`", "text"),
        "tree": ("mapping", None),
        "tree.below": ("list of mappings", []),
    }


def test_what_must_be_there_and_what_a_record_may_choose_is_said() -> None:
    """Of alternatives only what all of them need is required."""
    settings = settings_of(Config, Config.per_record())
    required = [setting.name for setting in settings if setting.required]
    assert required == ["path", "auth.scheme", "columns[].name", "column.name"]
    assert [setting.name for setting in settings if setting.per_record] == ["path"]
    described = {setting.name: setting.description for setting in settings if setting.description}
    assert described["auth.scheme"] == "Which it is."
    assert described["column"] == "A column."
    assert described["path"] == "Where.\n\nAnd | how."


class Probe:
    r"""Says what it is.

    **Guarantee** of a kind: none,
    in two lines.

    **Order** is kept.
    """

    Config: ClassVar[type[Settings]] = Config
    example: ClassVar[str] = """
        sinks:
          a: {type: probe}
    """


class Bare:
    class Config(Settings):
        pass


class FakeEntry:
    """An entry point of a class that is here."""

    def __init__(self, cls: type[Any]) -> None:
        self._class = cls

    def load(self) -> type[Any]:
        return self._class


def known(kind: Kind, cls: type[Any]) -> Reference:
    return reference(Installed(kind, "probe", FakeEntry(cls)))  # type: ignore[arg-type]  # all that is asked of it


def test_the_docstring_is_taken_apart() -> None:
    probe = known("sink", Probe)
    assert probe.summary == "Says what it is."
    assert probe.description.startswith("**Guarantee** of")
    assert probe.description.endswith("**Order** is kept.")
    assert probe.guarantee == "**Guarantee** of a kind: none,\nin two lines."
    assert probe.example == "sinks:\n  a: {type: probe}"
    assert probe.schema == Config.model_json_schema()


def test_a_connector_may_say_nothing_of_itself() -> None:
    """Docstrings and an example are no duty of others' connectors."""
    bare = known("source", Bare)
    assert (bare.summary, bare.description, bare.guarantee, bare.example, bare.settings) == ("", "", "", "", ())
    assert "It has none of its own." in listing(bare)
    assert "sluiceway_source_records_total" in section(bare)


def test_the_metrics_of_a_connector_are_those_that_name_it() -> None:
    """They come from the registry that is scraped: what is counted of a source has a label that names the source."""
    every = {family.name: family for family in Metrics().families}
    for kind, other in (("source", "sink"), ("sink", "source")):
        found = families_of(kind)  # type: ignore[arg-type]  # one of two words
        assert {family.name for family in found} >= {
            name for name in every if name.startswith(f"sluiceway_{kind}_") or name == "sluiceway_connected"
        }
        assert not any(family.name.startswith(f"sluiceway_{other}_") for family in found)
        assert all(every[family.name] == family for family in found)
    assert "sluiceway_rule_errors_total" not in {family.name for family in families_of("sink")}


def test_as_markdown_a_table_holds_and_a_list_reads_well() -> None:
    probe = known("sink", Probe)
    page = section(probe)
    assert "```yaml config\nsinks:\n  a: {type: probe}\n```" in page
    assert "| `path` | text, *per record* | required | Where.<br>And \\| how. |" in page
    assert "| `auth.scheme` | `basic` or `bearer` | required in `auth` | Which it is. |" in page
    assert "| `limits.wait` | duration | `1m` |  |" in page
    assert "may be set on a target" in page
    listed = listing(probe)
    assert "- `path` (text; required; per record)  \n  Where. And | how." in listed
    assert "- `between` (whole number from 1 to 9; default `3`)" in listed
    assert "- `sluiceway_sink_records_total{sink}` (counter): Records delivered." in listed
    assert "`when_full`" in listed
    assert "`retry.attempts`" not in listed


@pytest.mark.parametrize(
    ("text", "shown"), [("a | b", "a \\| b"), ("a \\| b", "a \\| b"), ("a\nb\n\nc", "a b<br>c"), ("", "")]
)
def test_a_cell_of_a_table_is_one_line(text: str, shown: str) -> None:
    assert cell(text) == shown


@pytest.mark.parametrize(("kind", "model"), [("source", SourceCommon), ("sink", SinkCommon)])
def test_what_every_one_takes_is_told_in_full(kind: Kind, model: type[BaseModel]) -> None:
    settings = common_settings(kind)
    assert {setting.name for setting in settings} >= {"type", "use", *model.model_fields}
    assert ("allow" in {setting.name for setting in settings}) == (kind == "sink")
    assert all(setting.description for setting in settings)


def test_every_installed_connector_can_be_told_of() -> None:
    """Whatever its settings are made of: nothing is left without a type."""
    for connector in installed():
        for setting in reference(connector).settings:
            assert isinstance(setting, Setting)
            assert setting.type not in ("", "nothing")
