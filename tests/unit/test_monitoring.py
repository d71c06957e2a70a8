"""The documents for monitoring name the metrics that there are. A test on hosts runs the rules with promtool."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from flask_apachectl.serve import collector, metrics
from tests.support.commands import ROOT

MONITORING = ROOT / "docs/monitoring"
NAMES = {family.name for family in metrics.FAMILIES}
OTHERS = {"node_textfile_mtime_seconds"}  # of node_exporter
(GROUP,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
RULES = GROUP["rules"]
TESTS = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())


def metrics_in(expression: str) -> set[str]:
    """Return the metrics that an expression uses: what stands before labels, or is none of PromQL's words."""
    text = re.sub(r'"[^"]*"|\[[^\]]*\]|\{[^}]*\}', "", expression)
    return set(re.findall(r"\b(?:flask_apache|node)_\w+", text))


def expressions() -> list[str]:
    """Return all expressions of the alerts and the dashboard."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    others = [variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable]
    notes = [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    return [*panels, *others, *notes, *(rule["expr"] for rule in RULES)]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_uses_metrics_that_there_are(expression: str) -> None:
    found = metrics_in(expression)
    assert found
    assert found <= NAMES | OTHERS


def test_the_readme_describes_every_metric() -> None:
    rows = re.findall(r"(?m)^\| (`flask_apache_.*?) \|", (MONITORING / "README.md").read_text())
    described = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(described) == sorted(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert "$labels.instance" in rule["annotations"]["summary"]


def test_every_alert_is_tested_to_fire_and_not_to_fire() -> None:
    cases = [case for test in TESTS for case in test["alert_rule_test"]]
    for fires in (True, False):
        assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) == fires} == {
            rule["alert"] for rule in RULES
        }


def test_the_alert_for_metrics_that_are_not_written_knows_the_file() -> None:
    (rule,) = [rule for rule in RULES if "node_textfile" in rule["expr"]]
    (pattern,) = re.findall(r'file=~"([^"]*)"', rule["expr"])
    assert re.fullmatch(pattern.replace("\\\\", "\\"), f"/var/lib/prometheus/node-exporter/{collector.FILE}")


def test_the_dashboards_panels_have_their_own_places() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
