"""The files for other programs that pages show: each is checked by the program, or against what it names of this project."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.main import get_command

from server.app.settings import PREFIX, Settings
from server.cli.main import app
from tests.support.all_metrics import families_of_all
from tests.support.doc_blocks import Block, blocks
from tests.support.servers.installed import installed

ROOT = Path(__file__).parents[3]
PROBE = {"httpGet", "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}
"""Fields of a probe (Kubernetes API, Probe v1 core) that a server over HTTP has use for."""
DIRECTIVES = {"default-src", "connect-src", "script-src", "style-src", "img-src", "frame-ancestors"}
INSTRUCTIONS = {"FROM", "RUN", "USER", "ENV", "EXPOSE", "ENTRYPOINT", "CMD"}


def only(language: str, title: str) -> Block:
    [block] = blocks(language, title)
    return block


def check(program: str, *arguments: str) -> None:
    done = subprocess.run([installed(program), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(only("yaml", "prometheus.yml").text)
    check("promtool", "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml"))


def test_prometheus_accepts_the_rule_which_is_that_of_deploy(tmp_path: Path) -> None:
    rules = yaml.safe_load(only("yaml", "a rule of Prometheus").text)
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
    check("promtool", "check", "rules", str(file))
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    deployed = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    for rule in rules:
        assert rule["expr"] == deployed[rule["alert"]]["expr"]


def test_probes_are_those_of_the_manifest() -> None:
    probes = yaml.safe_load(only("yaml", "probes of a container").text)
    manifests = yaml.safe_load_all((ROOT / "deploy/kubernetes/nodes.yaml").read_text())
    [deployment] = [each for each in manifests if each["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    for name, probe in probes.items():
        assert probe.keys() <= PROBE
        assert probe["httpGet"]["path"] == container[name]["httpGet"]["path"]


def test_the_adapter_of_prometheus_is_given_a_metric_that_there_is() -> None:
    [rule] = yaml.safe_load(only("yaml", "rules of prometheus-adapter").text)["rules"]["custom"]
    assert rule["seriesQuery"].split("{")[0] in families_of_all()
    assert rule["resources"]["overrides"].keys() == {"namespace", "pod"}
    assert "<<.Series>>{<<.LabelMatchers>>}" in rule["metricsQuery"]


def test_pipelines_of_the_collector_name_components_that_are_configured() -> None:
    config: dict[str, Any] = yaml.safe_load(only("yaml", "otel-collector.yaml").text)
    pipelines = config.pop("service")["pipelines"]
    assert {kind: set(config[kind]) for kind in config} == {
        kind: {name for pipeline in pipelines.values() for name in pipeline[kind]} for kind in config
    }


def test_all_yaml_is_checked() -> None:
    titles = {"prometheus.yml", "a rule of Prometheus", "probes of a container", "rules of prometheus-adapter"}
    assert {block.title for block in blocks("yaml")} == titles | {"otel-collector.yaml"}


@pytest.mark.parametrize("block", blocks("caddy"), ids=str)
def test_caddy_accepts_it(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "Caddyfile"
    file.write_text(block.text)
    check("caddy", "validate", "--adapter", "caddyfile", "--config", str(file))


@pytest.mark.parametrize("block", blocks("dockerfile"), ids=str)
def test_images_are_built_with_settings_and_a_command_that_there_are(block: Block) -> None:
    lines = [line.partition(" ") for line in block.text.splitlines()]
    assert {instruction for instruction, _, _ in lines} <= INSTRUCTIONS
    values = {instruction: value for instruction, _, value in lines}
    assert values["ENTRYPOINT"] == '["realtime"]'
    assert all(name in get_command(app).commands for name in re.findall(r'"(\w+)"', values["CMD"]))  # type: ignore[attr-defined]
    variables = dict(each.split("=", 1) for each in shlex.split(values["ENV"]))
    settings = {
        name.removeprefix(PREFIX).lower(): value for name, value in variables.items() if name.startswith(PREFIX)
    }
    assert settings
    assert settings.keys() <= Settings.model_fields.keys()
    Settings.model_validate(settings)
    assert f"EXPOSE {Settings.model_fields['port'].default}" in block.text


@pytest.mark.parametrize("block", blocks("http"), ids=str)
def test_policies_have_directives_that_there_are(block: Block) -> None:
    name, _, policy = block.text.strip().partition(": ")
    assert name == "Content-Security-Policy"
    assert {directive.split()[0] for directive in policy.split("; ")} <= DIRECTIVES


@pytest.mark.parametrize("block", blocks("text", "pg_hba.conf", page="docs/operations/replication-slots.md"), ids=str)
def test_postgresql_reads_the_line_of_its_host_based_authentication(block: Block, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        [(file,)] = connection.execute("show hba_file").fetchall()
        before = Path(file).read_text()
        Path(file).write_text(before + "\n" + block.text)
        try:
            rules = connection.execute(
                "select database, user_name, auth_method, error from pg_hba_file_rules"
            ).fetchall()
        finally:
            Path(file).write_text(before)
    assert rules[-1] == (["app"], ["realtime_server"], "scram-sha-256", None)
