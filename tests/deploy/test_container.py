"""The image's recipe and the Compose file: linted, and what they run is run here."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import deploy_tools
from tests.commands import sluiceway
from tests.deploy.instances import running, stop
from tests.deploy.manifests import DEPLOY, documents, faults, needs_tools
from tests.deploy.units import Host

CONTAINER = DEPLOY / "container"
RECIPE = CONTAINER / "Dockerfile"


def compose() -> Any:
    (found,) = documents((CONTAINER / "compose.yaml").read_text())
    return found


@needs_tools
def test_the_linter_has_nothing_to_say_about_the_recipe() -> None:
    done = subprocess.run([deploy_tools.tool("hadolint"), str(RECIPE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@needs_tools
def test_the_schema_takes_the_compose_file_and_refuses_another() -> None:
    assert faults([compose()], "compose") == []
    wrong = compose()
    wrong["services"]["kafka"]["portz"] = []
    assert faults([wrong], "compose")


def test_what_the_recipe_copies_is_there_and_let_through() -> None:
    ignored = (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    for line in re.findall(r"^COPY (?!--from)(.+)$", RECIPE.read_text(), re.MULTILINE):
        for name in line.split()[:-1]:
            assert (DEPLOY.parent / name).exists()
            assert f"!{name}" in ignored


def test_the_image_runs_as_nobody_special_and_from_tagged_bases() -> None:
    recipe = RECIPE.read_text()
    assert re.search(r"^USER 10001:10001$", recipe, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+)", recipe, re.MULTILINE)
    images = [service["image"] for service in compose()["services"].values() if "build" not in service]
    assert all(re.search(r":v?\d", image) for image in [*bases, *images])


def test_the_healthcheck_succeeds_while_the_daemon_lives_and_fails_without_it(tmp_path: Path) -> None:
    """With the command of the recipe, but for the port."""
    found = re.search(r"^\s+CMD (\[.+\])$", RECIPE.read_text(), re.MULTILINE)
    assert found
    _, *arguments = ast.literal_eval(found[1])
    host = Host(tmp_path)
    host.install()
    (host.etc / "sluiceway.yaml").write_text(
        "state_dir: state\nsources: {orders: {type: generate, rate: 1, template: {amount: 5.0, customer: c1}}}\n"
        "sinks: {vip: {type: file, path: vip}, rest: {type: file, path: rest}}\n"
        "secrets: {pepper: '${credential:pepper}'}\nflows: [rules/*.yaml]\n"
    )
    with running(host, ["1"], {}) as (instance,):
        command = [sys.executable, *(part.replace("http://127.0.0.1:9600", instance.url) for part in arguments)]
        assert subprocess.run(command, check=False).returncode == 0
        stop([instance])
        assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 1


def test_the_configuration_of_compose_is_right_and_so_are_its_tests(tmp_path: Path) -> None:
    (tmp_path / "http-token").write_text("a token of its own")
    for command in ("check", "test"):
        file = CONTAINER / "config" / "sluiceway.yaml"
        done = sluiceway(command, file, cwd=tmp_path, environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_services_of_compose_are_those_that_the_configuration_names() -> None:
    services, config = compose()["services"], (CONTAINER / "config" / "sluiceway.yaml").read_text()
    assert set(re.findall(r":-([a-z]+):\d+\}", config)) == {"kafka", "mosquitto"} <= services.keys()
    topics = set(re.findall(r"use: kafka, topics?: \[?([a-z-]+)", config))
    made = " ".join(services["topics"]["command"])
    assert topics == {"orders", "vip-orders", "alarms"} == set(re.findall(r"for topic in (.+?);", made)[0].split())
    (watching,) = documents((CONTAINER / "prometheus.yml").read_text())
    told = json.dumps(watching)
    assert set(re.findall(r'"([a-z]+):\d+"', told)) == {"sluiceway", "alertmanager"} <= services.keys()


@pytest.mark.parametrize(
    "service", ["sluiceway", "kafka", "topics", "mosquitto", "prometheus", "alertmanager", "grafana"]
)
def test_a_service_has_no_rights_and_listens_on_this_machine_alone(service: str) -> None:
    found = compose()["services"][service]
    assert (found["cap_drop"], found["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert all(port.startswith("127.0.0.1:") for port in found.get("ports", []))


def test_kafka_keeps_its_topics_in_its_volume() -> None:
    kafka = compose()["services"]["kafka"]
    (volume,) = kafka["volumes"]
    assert (volume["type"], volume["target"]) == ("volume", kafka["environment"]["KAFKA_LOG_DIRS"])


def test_what_is_mounted_is_there() -> None:
    services = compose()["services"].values()
    bound = [
        volume["source"] for service in services for volume in service.get("volumes", []) if volume["type"] == "bind"
    ]
    assert bound
    assert [source for source in bound if not (CONTAINER / source).exists()] == []
