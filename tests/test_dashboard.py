"""Dashboard, alerts and documentation speak of metrics that exist, and leave none out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from image_gateway.observability.metrics import EdgeReads, write_sweep
from image_gateway.observability.metrics_exposition import Exposition
from image_gateway.services.sweep_report import SweepReport

ROOT = Path(__file__).parents[1]
ENDINGS = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
_NAME = re.compile(r"\bimage_gateway_[a-z_]+")
_SELECTOR = re.compile(r"\b(image_gateway_[a-z_]+)\{([^}]*)\}")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """Everything that the gateway's processes can show."""
    file = tmp_path_factory.mktemp("sweep") / "sweep.prom"
    write_sweep(file, SweepReport().as_numbers(), finished_at=1, seconds=1)
    jobs = [("convert", "done", 1, 2.0)]
    shown = Exposition(lambda: (1, 2), more=[EdgeReads()], count_jobs=lambda: jobs)._registry.collect()
    return [*shown, *text_string_to_metric_families(file.read_text())]


@pytest.fixture(scope="module")
def series(families: list[Metric]) -> set[str]:
    return {family.name + ending for family in families for ending in ENDINGS[family.type]}


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
    return document


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panel_expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def expressions() -> list[str]:
    return [*panel_expressions(), *(rule["expr"] for rule in alerts())]


def names_in(texts: list[str]) -> set[str]:
    return {name for text in texts for name in _NAME.findall(text)}


def test_every_name_exists(series: set[str]) -> None:
    used = names_in(expressions())
    assert len(used) > 15
    assert used - series == set()
    assert names_in([json.dumps(dashboard()["templating"])]) <= series


def test_a_name_that_does_not_exist_would_be_noticed(series: set[str]) -> None:
    assert names_in(["rate(image_gateway_requests[5m])"]) - series == {"image_gateway_requests"}


def test_every_label_exists(families: list[Metric]) -> None:
    known = {family.name: _labels_of(family) for family in families}
    for expression in expressions():
        for name, selector in _SELECTOR.findall(expression):
            family = next(known[base] for base in _bases(name) if base in known)
            used = set(re.findall(r"(\w+)(?:=|!)", selector))
            assert used <= family | {"instance"}, expression


def _bases(name: str) -> list[str]:
    return [
        name,
        *(name.removesuffix(ending) for endings in ENDINGS.values() for ending in endings if ending),
    ]


def _labels_of(family: Metric) -> set[str]:
    from image_gateway.observability import metrics as instruments

    for instrument in vars(instruments).values():
        if getattr(instrument, "_name", None) == family.name:
            return set(instrument._labelnames)
    return {label for sample in family.samples for label in sample.labels}


def test_the_dashboard_shows_every_metric(families: list[Metric]) -> None:
    shown = names_in(panel_expressions())
    missing = {
        family.name
        for family in families
        if not {family.name + ending for ending in ENDINGS[family.type]} & shown
    }
    assert missing == set()


def test_the_dashboard_can_be_imported() -> None:
    document = dashboard()
    assert document["title"] == "image-gateway"
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids)) >= 10
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in document["panels"]]
    assert len(places) == len(set(places))
    for panel in document["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0
    variables = {variable["name"] for variable in document["templating"]["list"]}
    assert set(re.findall(r"\$([a-z]+)", " ".join(panel_expressions()))) <= variables
    # Several dashboards of Grafana's own are imported without a database's id.
    assert "id" not in document


def test_there_are_seven_alerts() -> None:
    assert len(alerts()) == 7
    for rule in alerts():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["alert"].startswith("ImageGateway")
        assert re.fullmatch(r"\d+[sm]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        for opening, closing in ("()", "[]", "{}"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing)


def test_the_documentation_names_them_all(families: list[Metric], series: set[str]) -> None:
    text = (ROOT / "docs/reference/metrics.md").read_text()
    documented = dict(re.findall(r"^\| `(image_gateway_[a-z_]+)` \| (\w+) \|", text, re.MULTILINE))
    shown = {family.name + ("_total" if family.type == "counter" else ""): family.type for family in families}
    assert documented == shown
    guide = (ROOT / "docs/how-to/monitoring.md").read_text()
    for rule in alerts():
        assert f"`{rule['alert']}`" in guide
