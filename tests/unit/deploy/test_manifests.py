"""The manifests for Kubernetes and Docker Compose name what there is, and fit together: settings, commands, metrics.

Their form is not checked against schemas here: that takes a program or a package of 11 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from server.app.settings import PREFIX, Settings
from server.cli.main import app
from server.observe.node_metrics import NodeMetrics

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
MARGIN = 15  # seconds beside drain_time that a process has to end

Document = dict[str, Any]


def manifests() -> list[Document]:
    return [
        each for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())
    ]


def of_kind(kind: str) -> dict[str, Document]:
    return {each["metadata"]["name"]: each for each in manifests() if each["kind"] == kind}


def compose() -> Document:
    found: Document = yaml.safe_load((DEPLOY / "docker-compose.cluster.yml").read_text())
    return found


def containers(deployment: Document) -> Iterator[Document]:
    pod = deployment["spec"]["template"]["spec"]
    yield from (*pod.get("initContainers", ()), *pod["containers"])


def environment(container: Document) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container.get("env", ())}


def settings_of(variables: dict[str, str]) -> Settings:
    """Read as a server does. Raises ``ValidationError`` for what cannot be."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in variables.items() if name.startswith(PREFIX)}
    assert given.keys() <= Settings.model_fields.keys()
    return Settings.model_validate(given)


def names(command: list[str]) -> bool:
    return command[0] in get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", of_kind("Deployment"))
def test_containers_have_settings_and_commands_that_there_are(name: str) -> None:
    deployment = of_kind("Deployment")[name]
    for container in containers(deployment):
        assert names(container["args"])
        values = environment(container)
        settings_of(values)
        seen: set[str] = set()
        for variable, value in values.items():
            assert set(re.findall(r"\$\((\w+)\)", value)) <= seen, f"{variable} names one that comes after it"
            seen.add(variable)
        secure = container["securityContext"]
        assert (secure["allowPrivilegeEscalation"], secure["readOnlyRootFilesystem"]) == (False, True)
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    mounted = {each["name"] for container in pod["containers"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}


@pytest.mark.parametrize("name", of_kind("Deployment"))
def test_selectors_find_the_pods_and_each_deployment_has_a_budget(name: str) -> None:
    deployment = of_kind("Deployment")[name]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector == deployment["spec"]["template"]["metadata"]["labels"]
    assert of_kind("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"] == selector
    [spread] = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == selector


def test_nodes_have_time_to_drain_and_are_asked_what_they_answer() -> None:
    pod = of_kind("Deployment")["realtime-node"]["spec"]["template"]["spec"]
    [node] = pod["containers"]
    [_, wait] = node["lifecycle"]["preStop"]["exec"]["command"]
    drain = settings_of(environment(node)).drain_time
    assert pod["terminationGracePeriodSeconds"] >= drain + MARGIN + int(wait)
    assert {part: node[f"{part}Probe"]["httpGet"]["path"] for part in ("liveness", "readiness", "startup")} == {
        "liveness": "/health/live",
        "readiness": "/health/ready",
        "startup": "/health/live",
    }
    [service] = of_kind("Service").values()
    labels = of_kind("Deployment")["realtime-node"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"][0]["targetPort"] == node["ports"][0]["name"]
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_the_scaler_goes_by_a_metric_that_there_is() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler").values()
    assert scaler["spec"]["scaleTargetRef"]["name"] in of_kind("Deployment")
    [metric] = [each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    assert metric in NodeMetrics().registry.families


def test_the_services_of_compose_match_one_another() -> None:
    services = compose()["services"]
    targets = set(re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    for name, service in services.items():
        assert ("build" in service) != ("image" in service), name
        assert "build" not in service or service["build"]["target"] in targets
        assert set(service.get("depends_on", ())) <= services.keys()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./") and source != "./realtime.pem":
                assert (DEPLOY / source).exists()
    ours = [service for service in services.values() if service.get("build", {}).get("target") == "server"]
    assert len(ours) == 5
    for service in ours:
        assert names(service["command"])
        plain = {name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value) for name, value in service["environment"].items()}
        settings = settings_of(plain)
        assert int(service["stop_grace_period"].removesuffix("s")) >= settings.drain_time + MARGIN
        assert settings.trusted_proxies == (services["haproxy"]["networks"]["cluster"]["ipv4_address"],)
    proxy = (DEPLOY / "proxies" / "haproxy.cfg").read_text()
    nodes = [services[name]["networks"]["cluster"]["ipv4_address"] for name in ("node-1", "node-2")]
    assert set(re.findall(r"server node\d (\S+):8000", proxy)) == set(nodes)
