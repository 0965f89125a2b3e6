"""The dashboard and the alert rules name metrics that there are, by names that Prometheus gives to their series."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from server.alerts.measures import BROKEN, FAULTS, FEW, FEW_OF_OPEN
from tests.support.all_metrics import families_of_all
from tests.support.browsers import need

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "realtime.json"
NAME = re.compile(r"\b(?:realtime|process|python)_\w+")
LABELS = re.compile(r"\b(\w+)\s*(?:=~|!~|!=|=)\s*\"")
OF_PROMETHEUS = {"instance", "job", "generation", "le"}


def series() -> set[str]:
    """The names of all series that a node has."""
    found = {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_gc_collections_total"}
    for name, family in families_of_all().items():
        found |= {f"{name}_{part}" for part in ("bucket", "count", "sum")} if family.kind == "histogram" else {name}
    return found


def expressions() -> Iterator[str]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_dashboard_and_rules_name_series_that_there_are() -> None:
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert named - series() == set()


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for panel in json.loads(DASHBOARD.read_text())["panels"] for name in NAME.findall(json.dumps(panel))}
    missing = [name for name in families_of_all() if not any(each.startswith(name) for each in shown)]
    assert missing == []


def test_each_panel_has_an_id_and_a_place_of_its_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & covered, panel["title"]
        covered |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_dashboard_and_rules_select_by_labels_that_there_are() -> None:
    labels = {label for family in families_of_all().values() for label in family.labels} | OF_PROMETHEUS
    named = {name for expression in expressions() for name in LABELS.findall(expression)}
    assert named - labels == set()


def test_each_rule_has_what_is_wrong_and_where_to_look() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_the_rule_about_connections_compares_with_the_capacity_that_each_node_shows() -> None:
    rules = {
        rule["alert"]: rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    assert set(NAME.findall(rules["RealtimeConnectionsNearCapacity"])) == {
        "realtime_connections",
        "realtime_connections_capacity",
    }


def test_the_rules_about_errors_and_disconnects_count_what_the_alerts_of_nodes_count() -> None:
    rules = {
        rule["alert"]: rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    errors, disconnects = rules["RealtimeErrors"], rules["RealtimeAbnormalDisconnects"]
    assert re.findall(r"realtime_errors_total{(.*?)}", errors) == [f'code="{"|".join(FAULTS)}",transport!="http"'] * 2
    assert f">= {FEW}\n" in errors
    broken = f'transport="websocket",code=~"{"|".join(BROKEN)}"'
    assert re.findall(r"realtime_connections_closed_total{(.*?)}", disconnects) == [
        broken,
        'transport="websocket"',
        broken,
    ]
    assert (
        f'>= {FEW} + {FEW_OF_OPEN} * sum by (instance) (realtime_connections{{transport="websocket"}})' in disconnects
    )


def test_that_no_node_runs_is_watched_from_outside_as_the_page_about_alerts_has_it() -> None:
    page = (DEPLOY.parent / "docs" / "operations" / "alerts.md").read_text()
    [shown] = [yaml.safe_load(block)[0] for block in re.findall(r"```yaml[^\n]*\n(.*?)```", page, re.DOTALL)]
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert shown in rules
    assert 'absent(up{job="realtime"})' in shown["expr"]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    need(found is not None, "promtool of Prometheus is not installed")
    return str(found)


def test_prometheus_takes_the_rules(promtool: str) -> None:
    checked = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_all_workers_of_a_server_show_of_one_slot_is_not_added_up() -> None:
    """Each worker has the figures of the slot and the stream that they share."""
    shared = re.compile(r"(\w+ by \([\w, ]+\) \(|sum\()?(?:increase\()?realtime_(?:slot|feed|rereads|tail)_\w+")
    found = [(match.group(1), expression) for expression in expressions() for match in shared.finditer(expression)]
    assert len(found) > 15
    assert [each for each in found if each[0] is None or not re.match(r"(?:max|min) by \(instance", each[0])] == []


@pytest.mark.parametrize(
    ("alert", "series"),
    [
        ("RealtimeConnectionsNearCapacity", {'connections{transport="sse"}': "9+0x20", "connections_capacity": "10+0x20"}),
        ("RealtimeErrors", {'errors_total{code="RT_001",transport="sse"}': "0+9x20", "messages_received_total": "0+99x20"}),
        ("RealtimeSlotLag", {"slot_lag_bytes": "2e9+0x20"}),
        ("RealtimeWalRetained", {"slot_retained_bytes": "2e10+0x20"}),
        ("RealtimeWalRetained", {"slot_safe_bytes": "1e8+0x20"}),
        ("RealtimeSlotLost", {'slot_state{state="lost"}': "1+0x20"}),
        ("RealtimeSlotLost", {"rereads_of_everything_total": "0+1x20"}),
        ("RealtimeNodeUnhealthy", {"feed_streaming": "0+0x20"}),
        (
            "RealtimeAbnormalDisconnects",
            {
                'connections_closed_total{transport="websocket",code="1006"}': "0+99x20",
                'connections{transport="websocket"}': "9+0x20",
            },
        ),
    ],
)  # fmt: skip
def test_two_workers_of_one_server_raise_one_alert(
    alert: str, series: dict[str, str], tmp_path: Path, promtool: str
) -> None:
    labelled = {
        name.replace("{", f'{{instance="a",job="realtime",worker="{worker}",')
        if "{" in name
        else f'{name}{{instance="a",job="realtime",worker="{worker}"}}': values
        for name, values in series.items()
        for worker in (1, 2)
    }
    input_series = [{"series": f"realtime_{name}", "values": values} for name, values in labelled.items()]
    input_series.append({"series": 'up{instance="a",job="realtime"}', "values": "1+0x20"})
    [expression] = [
        rule["expr"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if rule["alert"] == alert
    ]
    asked = {"expr": f"count({expression})", "eval_time": "15m", "exp_samples": [{"labels": "{}", "value": 1}]}
    test = {"tests": [{"interval": "1m", "input_series": input_series, "promql_expr_test": [asked]}]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
