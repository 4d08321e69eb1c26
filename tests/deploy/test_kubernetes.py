"""kustomize makes manifests that the schemas take, and what runs in their pods is what runs here."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from router.daemon import MOVE_SECONDS
from tests.commands import sluiceway
from tests.deploy.manifests import DEPLOY, built, documents, faults, needs_tools

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ["production", "stateless"]

pytestmark = needs_tools


def of_kind(manifests: list[Any], *kinds: str) -> Any:
    """The only one of these kinds."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] in kinds)
    return found


def pod_of(manifests: list[Any]) -> Any:
    return of_kind(manifests, "StatefulSet", "Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_schemas_take_the_manifests(overlay: str) -> None:
    assert faults(built(KUBERNETES / "overlays" / overlay)) == []


def test_the_schemas_refuse_what_they_do_not_know() -> None:
    """So that silence about the manifests means something."""
    manifests = built(KUBERNETES / "overlays" / "production")
    wrong = copy.deepcopy(manifests)
    of_kind(wrong, "StatefulSet")["spec"]["replica"] = 2
    of_kind(wrong, "ScaledObject")["spec"]["minReplicas"] = 2
    of_kind(wrong, "ScaledObject")["spec"]["pollingInterval"] = "soon"
    of_kind(wrong, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["pth"] = "/metrics"
    of_kind(wrong, "PodDisruptionBudget")["spec"]["maxUnavailable"] = [1]
    of_kind(wrong, "PrometheusRule")["spec"]["groups"][0]["rules"][0]["exp"] = "up == 0"
    assert len({fault.split()[0] for fault in faults(wrong)}) == 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_have_no_rights_that_they_do_not_need(overlay: str) -> None:
    pod = pod_of(built(KUBERNETES / "overlays" / overlay))
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]["type"]) == (
        True,
        "RuntimeDefault",
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {volume["name"] for volume in pod["volumes"]}
    mounted |= {claim["metadata"]["name"] for claim in claims(built(KUBERNETES / "overlays" / overlay))}
    assert {mount["name"] for mount in container["volumeMounts"]} == mounted
    assert not any("subPath" in mount for mount in container["volumeMounts"])


def claims(manifests: list[Any]) -> list[Any]:
    found: list[Any] = of_kind(manifests, "StatefulSet", "Deployment")["spec"].get("volumeClaimTemplates", [])
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_time_to_drain_and_is_probed_where_it_listens(overlay: str) -> None:
    pod = pod_of(built(KUBERNETES / "overlays" / overlay))
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > 30 + MOVE_SECONDS
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 9600}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_of_the_pods_is_right_and_so_are_its_tests(overlay: str, tmp_path: Path) -> None:
    """As the ConfigMap has it, with the arguments and the environment of the container."""
    manifests = built(KUBERNETES / "overlays" / overlay)
    (container,) = pod_of(manifests)["containers"]
    config = of_kind(manifests, "ConfigMap")
    assert config["metadata"]["name"] == "sluiceway", "another name for each content is a rollout, no reload"
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / Path(argument).name) for argument in container["args"] if argument.endswith(".yaml")]
    for credential in ("http-token", "pepper"):
        (tmp_path / credential).write_text("a secret of its own")
    assert [variable["name"] for variable in container["env"]] == ["CREDENTIALS_DIRECTORY"]
    for command in ("check", "test"):
        done = sluiceway(command, *files, cwd=tmp_path, environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_has_volumes_has_disk_buffers() -> None:
    production, stateless = (built(KUBERNETES / "overlays" / overlay) for overlay in OVERLAYS)
    assert (len(claims(production)), claims(stateless)) == (1, [])
    assert "buffer: null" in of_kind(stateless, "ConfigMap")["data"]["stateless.yaml"]


def scaled_overlay(folder: Path, of: str) -> Path:
    """An overlay of a user's own: another one, scaled."""
    at = os.path.relpath(KUBERNETES, folder.resolve())
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "sluiceway",
        "resources": [f"{at}/overlays/{of}"],
        "components": [f"{at}/components/keda"],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(overlay))
    return folder


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_scales_the_pods_names_them_and_their_group(overlay: str, tmp_path: Path) -> None:
    """Whatever they are: a StatefulSet, or a Deployment without volumes."""
    is_scaled = overlay == "production"
    manifests = built(KUBERNETES / "overlays" / overlay if is_scaled else scaled_overlay(tmp_path, overlay))
    assert faults(manifests) == []
    scaled, pods = of_kind(manifests, "ScaledObject"), of_kind(manifests, "StatefulSet", "Deployment")
    for name in ("name", "namespace"):
        assert scaled["metadata"][name] == pods["metadata"][name]
    target = scaled["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (pods["kind"], pods["metadata"]["name"])
    assert "replicas" not in pods["spec"], "it would undo at each apply what was scaled"
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    config = of_kind(manifests, "ConfigMap")["data"]["sluiceway.yaml"]
    assert f"${{env:GROUP:-{trigger['consumerGroup']}}}" in config
    assert f"${{env:ORDERS:-{trigger['topic']}}}" in config
    broker, colon, port = trigger["bootstrapServers"].partition(f".{pods['metadata']['namespace']}.svc:")
    assert f"${{env:BROKERS:-{broker}:{port}}}" in config
    assert colon, "KEDA resolves it in the namespace of its operator"


def test_the_operator_gets_the_rules_that_prometheus_gets() -> None:
    """Under the name of the job that they ask for."""
    manifests = built(KUBERNETES / "overlays" / "production")
    (rules,) = documents((DEPLOY / "prometheus" / "sluiceway.rules.yaml").read_text())
    assert of_kind(manifests, "PrometheusRule")["spec"] == rules
    label = of_kind(manifests, "PodMonitor")["spec"]["jobLabel"]
    pods = of_kind(manifests, "StatefulSet")["spec"]["template"]["metadata"]
    assert f'job="{pods["labels"][label]}"' in str(rules)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_the_pods(overlay: str) -> None:
    manifests = built(KUBERNETES / "overlays" / overlay)
    pods = of_kind(manifests, "StatefulSet", "Deployment")["spec"]
    labels = pods["template"]["metadata"]["labels"].items()
    assert pods["selector"]["matchLabels"].items() <= labels
    assert of_kind(manifests, "Service")["spec"]["selector"].items() <= labels
    budget = of_kind(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert budget
    assert budget.items() <= labels
