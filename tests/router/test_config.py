"""Configuration files that are right become the configuration that they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from fuzz_config import ENVIRONMENT, SECRET, write_files
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka import KafkaSink
from connectors.memory import MemorySink, MemorySource
from router.config import Configuration, Secrets, load
from router.config.inputs import Inputs
from router.config.interpolation import fill
from rules.codecs import Json
from rules.document import load as load_document
from rules.faults import Refused
from rules.flow import Template

RULES = "from: a\nrules: [{to: x}]\n"
BASE = "sources: {a: {type: memory}}\nsinks: {x: {type: memory}}\nflows: [flow.yaml]\n"


def config(folder: Path, text: str, rules: str = RULES, environment: Mapping[str, str] | None = None) -> Configuration:
    (folder / "flow.yaml").write_text(rules)
    (folder / "sluiceway.yaml").write_text(text)
    return load([folder / "sluiceway.yaml"], environment or {})


def test_the_smallest_configuration_has_the_defaults(tmp_path: Path) -> None:
    found = config(tmp_path, BASE)
    assert found.files == (tmp_path / "sluiceway.yaml",)
    assert found.folder == tmp_path.resolve()
    assert found.state_dir == tmp_path.resolve() / "state"
    assert found.http is not None
    assert (found.http.host, found.http.port, found.http.token_text) == ("127.0.0.1", 9600, None)
    assert (found.drain_timeout, found.vars, found.models, found.warnings) == (30.0, {}, {}, ())
    source, sink = found.sources["a"], found.sinks["x"]
    assert (source.type, source.connector, source.decode) == ("memory", MemorySource, Json())
    assert str(source.place) == f"{tmp_path}/sluiceway.yaml:1:11"
    assert (sink.type, sink.connector, sink.encode, sink.templates, sink.allow) == (
        "memory",
        MemorySink,
        None,
        {},
        {},
    )
    assert (sink.batch.records, sink.batch.bytes, sink.batch.wait) == (10_000, 1 << 20, 0.0)
    assert (sink.retry.attempts, sink.retry.backoff, sink.timeout) == (10, 0.1, 60.0)
    assert (sink.queue.records, sink.queue.bytes) == (50_000, 16 << 20)
    assert (sink.when_full, sink.ordered) == ("block", True)
    assert [flow.name for flow in found.flows] == ["flow"]


def test_everything_that_a_file_can_say(tmp_path: Path) -> None:
    found = load([write_files(tmp_path)], ENVIRONMENT)
    assert found.warnings == ()
    assert found.http is not None
    assert found.http.token_text == SECRET
    assert found.drain_timeout == 10.0
    assert found.vars == {"regions": ["eu", "us"], "limit": 500.0}
    source = found.sources["orders"].settings
    assert isinstance(source, MemorySource.Config)
    assert (source.channel, source.replays) == ("orders", True)
    tenant = found.sinks["tenant"]
    topic = tenant.templates["topic"]
    assert isinstance(topic, Template)
    assert [part if isinstance(part, str) else part.cel.text for part in topic.parts] == ["events.", "event.tenant"]
    assert tenant.allow == {"topic": ("events.*",)}
    assert tenant.when_full == "dead_letter"
    assert (tenant.batch.bytes, tenant.batch.records, tenant.retry.attempts) == (2 << 20, 10_000, 3)
    assert isinstance(tenant.settings, MemorySink.Config)
    assert tenant.settings.topic == "events.${event.tenant}"
    assert found.sinks["vip"].timeout == 5.0
    archive = found.sinks["archive"]
    assert (archive.ordered, archive.queue.records, archive.queue.bytes) == (False, 1000, 64 << 10)
    assert set(archive.templates) == {"path"}
    assert found.sinks["vip"].templates == {}


def test_later_files_are_merged_over_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(RULES)
    (tmp_path / "base.yaml").write_text(BASE + "vars: {a: 1, b: [1, 2]}\nhttp: {listen: 127.0.0.1:1}\n")
    (tmp_path / "prod.yaml").write_text("vars: {b: [3]}\nhttp: false\nsinks: {x: {topic: t}}\n")
    found = load([tmp_path / "base.yaml", tmp_path / "prod.yaml"], {})
    assert found.vars == {"a": 1, "b": [3]}
    assert found.http is None
    assert isinstance(found.sinks["x"].settings, MemorySink.Config)
    assert found.sinks["x"].settings.topic == "t"


def test_an_entry_goes_over_its_connection_and_that_over_the_defaults(tmp_path: Path) -> None:
    text = """
connections: {main: {type: memory, topic: shared, key: k, timeout: 2s}}
defaults: {sink: {timeout: 1s, ordered: false, batch: {records: 1, wait: 1s}}}
sources: {a: {type: memory}}
sinks: {x: {use: main, key: own, batch: {records: 2}}}
flows: flow.yaml
"""
    sink = config(tmp_path, text).sinks["x"]
    assert isinstance(sink.settings, MemorySink.Config)
    assert (sink.settings.topic, sink.settings.key) == ("shared", "own")
    assert (sink.timeout, sink.ordered, sink.batch.records, sink.batch.wait) == (2.0, False, 2, 1.0)


def test_a_template_is_left_out_of_the_settings_only_where_it_cannot_stand(tmp_path: Path) -> None:
    text = """
sources: {a: {type: memory}}
sinks: {x: {type: kafka, brokers: "a:1", topic: "${event.t}", partition: "${event.p}", tombstone: "${event.gone}"}}
flows: flow.yaml
"""
    sink = config(tmp_path, text).sinks["x"]
    assert isinstance(sink.settings, KafkaSink.Config)
    assert (sink.settings.topic, sink.settings.partition, sink.settings.tombstone) == ("${event.t}", None, False)
    assert set(sink.templates) == {"topic", "partition", "tombstone"}


def test_flows_are_found_by_pattern_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "rules" / "deep").mkdir(parents=True)
    (tmp_path / "rules" / "b.yaml").write_text("from: b\nrules: [{to: x}]\n")
    (tmp_path / "rules" / "deep" / "c.yaml").write_text("from: c\nrules: [{to: x}]\n")
    text = (
        "sources: {a: {type: memory}, b: {type: memory}, c: {type: memory}}\nsinks: {x: {type: memory}}\n"
        "flows: [rules/**/*.yaml, rules/b.yaml, flow.yaml]\n"
    )
    assert [flow.name for flow in config(tmp_path, text).flows] == ["b", "c", "flow"]


def test_text_from_the_environment_becomes_what_the_setting_takes(tmp_path: Path) -> None:
    text = BASE + "drain_timeout: '${env:WAIT}'\nhttp: {listen: '127.0.0.1:${env:PORT:-9700}'}\n"
    text = text.replace(
        "x: {type: memory}", "x: {type: memory, ordered: '${env:ORDERED}', batch: {records: '${env:N}'}}"
    )
    found = config(tmp_path, text, environment={"WAIT": "5s", "ORDERED": "false", "N": "7"})
    assert found.drain_timeout == 5.0
    assert found.http is not None
    assert found.http.port == 9700
    assert (found.sinks["x"].ordered, found.sinks["x"].batch.records) == (False, 7)


def test_text_from_a_file_loses_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\ntwo\r\n")
    found = config(tmp_path, BASE + "http: {token: '${file:token}', listen: '0.0.0.0:9600'}\n")
    assert found.http is not None
    assert found.http.token_text == "one\ntwo"


def test_a_credential_is_a_file_of_the_folder_that_the_service_manager_names(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "http-token").write_text("from the manager\n")
    text = BASE + "http: {token: '${credential:http-token}', listen: '0.0.0.0:9600'}\n"
    found = config(tmp_path, text, environment={"CREDENTIALS_DIRECTORY": str(tmp_path / "given")})
    assert found.http is not None
    assert found.http.token_text == "from the manager"
    assert found.secrets.mask("it is from the manager") == "it is ***"


@pytest.mark.parametrize(
    ("name", "environment", "what"),
    [
        ("token", {}, "the environment has no `CREDENTIALS_DIRECTORY`; should be the folder with the credentials"),
        ("gone", {"CREDENTIALS_DIRECTORY": "."}, "`gone` cannot be read: No such file or directory"),
        ("../token", {"CREDENTIALS_DIRECTORY": "."}, "`../token` is no name of a credential; should be like"),
        ("..", {"CREDENTIALS_DIRECTORY": "."}, "`..` is no name of a credential"),
    ],
)
def test_a_credential_that_cannot_be_had_is_a_fault(
    tmp_path: Path, name: str, environment: dict[str, str], what: str
) -> None:
    (tmp_path / "token").write_text("secret")
    with pytest.raises(Refused) as refused:
        config(tmp_path, BASE + f"http: {{token: '${{credential:{name}}}'}}\n", environment=environment)
    assert what in str(refused.value)


def test_what_is_filled_in_is_never_read_as_an_expression(tmp_path: Path) -> None:
    """However it ends, and whatever stands beside it."""
    text = BASE.replace(
        "x: {type: memory}", "x: {type: memory, topic: '${env:A}{event.b} ${event.c} $${d}', key: '${env:B}'}"
    )
    found = config(tmp_path, text, environment={"A": "${event.a}$", "B": "${event.key}"}).sinks["x"]
    topic = found.templates["topic"]
    assert isinstance(topic, Template)
    assert [part if isinstance(part, str) else part.cel.text for part in topic.parts] == [
        "${event.a}${event.b} ",
        "event.c",
        " ${d}",
    ]
    assert set(found.templates) == {"topic"}
    assert isinstance(found.settings, MemorySink.Config)
    assert found.settings.key == "${event.key}"


@given(
    st.lists(st.sampled_from(["a", "$", "{", "}", "$${", "${env:X}", "${env:Y:-d}"]), max_size=10), st.text(max_size=8)
)
def test_filling_in_replaces_references_and_nothing_else(pieces: list[str], value: str) -> None:
    text = "".join(pieces)
    if "${" in text.replace("$${", "\0").replace("${env:", "\0"):
        return
    document, _ = load_document("'" + text + "'", "f.yaml")
    assert document is not None
    filled = fill(document, {"X": value}, Path(), Inputs())
    expected = text.replace("$${", "\0").replace("${env:X}", value).replace("${env:Y:-d}", "d").replace("\0", "${")
    if "\0" not in value:
        assert filled.document.data == expected
    assert filled.faults == ()


def test_secrets_are_masked_in_texts_and_hidden_in_reprs(tmp_path: Path) -> None:
    found = load([write_files(tmp_path)], ENVIRONMENT)
    assert found.secrets.mask(f"cannot reach user:{SECRET}@host") == "cannot reach user:***@host"
    assert SECRET not in repr(found)
    assert Secrets(["ab", ""]).mask("ab") == "ab"


def test_models_are_imported_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "shop_models_of_a_test.py").write_text(
        "from pydantic import BaseModel\nclass Order(BaseModel):\n    class Line(BaseModel):\n        n: int\n"
    )
    text = BASE + "models: {order: 'shop_models_of_a_test:Order', line: 'shop_models_of_a_test:Order.Line'}\n"
    found = config(tmp_path, text, "from: a\ncontract: {model: order}\nrules: [{to: x}]\n")
    assert {name: model.__name__ for name, model in found.models.items()} == {"order": "Order", "line": "Line"}
    assert found.flows[0].contract.model == "order"


def test_the_version_is_of_what_all_files_mean_but_not_of_secrets(tmp_path: Path) -> None:
    text = BASE.replace("x: {type: memory}", "x: {type: memory, topic: '${env:T}'}")
    version = config(tmp_path, text, environment={"T": "one"}).version
    assert len(version) == 12
    assert config(tmp_path, "# a comment\n" + text, environment={"T": "two"}).version == version
    assert config(tmp_path, text + "vars: {a: 1}\n", environment={"T": "one"}).version != version
    assert config(tmp_path, text, "from: a\nrules: [{to: drop}]\n", environment={"T": "one"}).version != version
    written = [config(tmp_path, BASE + f"http: {{token: {token}}}\n") for token in ("one", "two")]
    assert written[0].version == written[1].version


def test_a_number_or_boolean_may_be_filled_in_from_outside(tmp_path: Path) -> None:
    settings = "ordered: '${env:NO}', batch: {records: '${env:FIVE}'}, queue: {records: '${env:X:-7}'}"
    text = f"sources: {{a: {{type: memory}}}}\nsinks: {{x: {{type: memory, {settings}}}}}\nflows: flow.yaml\n"
    found = config(tmp_path, text, environment={"NO": "false", "FIVE": "5"}).sinks["x"]
    assert (found.ordered, found.batch.records, found.queue.records) == (False, 5, 7)


def test_null_takes_away_what_an_earlier_file_a_connection_or_the_defaults_say(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text("from: a\nrules: [{to: x}]\n")
    (tmp_path / "base.yaml").write_text(
        "sources: {a: {type: memory}}\nsinks: {x: {use: m}, y: {type: stdout}}\nflows: flow.yaml\n"
        "connections: {m: {type: memory, channel: c, topic: t}}\ndefaults: {sink: {timeout: 5s, ordered: false}}\n"
    )
    (tmp_path / "prod.yaml").write_text("sinks: {x: {topic: null, timeout: null}, y: ~}\n")
    found = load([tmp_path / "base.yaml", tmp_path / "prod.yaml"], {})
    assert list(found.sinks) == ["x"]
    sink = found.sinks["x"]
    assert (sink.settings.model_dump()["channel"], sink.settings.model_dump()["topic"]) == ("c", None)
    assert (sink.timeout, sink.ordered) == (60.0, False)


def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path) -> None:
    text = "sources: {a: {type: memory}, b: {type: memory}}\nsinks: {x: {type: memory}, y: {type: memory}}\n"
    text += "flows: flow.yaml\nvars: {limit: 1}\nconnections: {k: {type: memory}, spare: {type: memory}}\n"
    text = text.replace("b: {type: memory}", "b: {use: k}")
    rules = "from: a\nlet: {a: event.x > vars.limit}\n"
    rules += "rules:\n  - {name: all, to: x}\n  - {name: never, when: event.a, to: x}\n  - to: drop\n"
    found = config(tmp_path, text, rules)
    assert [str(warning).removeprefix(f"{tmp_path}/") for warning in found.warnings] == [
        "flow.yaml:5:5: no record gets to rule `never`; rule `all` of line 4 takes all of them",
        "flow.yaml:6:5: no record gets to rule `rule-3`; rule `all` of line 4 takes all of them",
        "sluiceway.yaml:1:30: no flow reads source `b`",
        "sluiceway.yaml:2:28: no flow sends anything to sink `y`",
        "sluiceway.yaml:5:34: no source and no sink uses connection `spare`",
    ]


def test_a_connection_that_may_be_meant_is_no_further_fault(tmp_path: Path) -> None:
    text = "connections: {k: {type: memory}}\nsinks: {x: {type: memory}}\nflows: flow.yaml\n"
    for source in ("{use: kk}", "{usee: k, type: memory}", "{usee: k}", "[k]", "{use: [k]}"):
        with pytest.raises(Refused) as refused:
            config(tmp_path, f"sources: {{a: {source}}}\n{text}", "from: a\nrules: [{to: x}]\n")
        assert list(refused.value.warnings) == [], source


def test_an_answer_that_does_not_mean_delivery_is_a_warning_unless_it_is_meant(tmp_path: Path) -> None:
    text = "sources: {a: {type: http}, b: {type: memory}}\nsinks: {x: {type: memory, buffer: {type: disk}}}\n"
    rules = "from: [a, b]\nrules: [{to: x}]\n"
    found = config(tmp_path, text + "flows: flow.yaml\n", rules)
    [warning] = found.warnings
    assert str(warning).removeprefix(f"{tmp_path}/") == (
        "sluiceway.yaml:1:11: source `a` does not wait until its records are delivered to `x`; "
        "its disk buffer has them; `accept: buffered` says so, where every sink has one"
    )
    meant = text.replace("http}", "http, accept: buffered}")
    assert config(tmp_path, meant + "flows: flow.yaml\n", rules).warnings == ()


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.8.8:9600", "[::1]:9600", "localhost:9600"])
def test_this_machine_alone_needs_no_token(tmp_path: Path, listen: str) -> None:
    found = config(tmp_path, BASE + f"http: {{listen: '{listen}'}}\n").http
    assert found is not None
    assert found.is_loopback
