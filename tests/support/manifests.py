"""The objects of deploy/kubernetes/overlays/example, and what tests ask of them."""

from __future__ import annotations

import re
from pathlib import Path

from image_gateway.settings import SettingsSchema
from tests.support.kustomize import Document, build, pod_template_of

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kubernetes" / "base"
EXAMPLE = ROOT / "deploy" / "kubernetes" / "overlays" / "example"
FIELDS = {str(field.data_key): field for field in SettingsSchema().fields.values()}
FILLED_IN = {
    "DATABASE_URL": "postgresql+psycopg://gateway:password@database.example.com/images",
    "LEASE_KEYS": f"k1:{'0' * 64}",
    "RATE_LIMIT_STORAGE_URL": "redis://redis.example.com:6379",
}
OBJECTS = build(EXAMPLE)
WORKLOADS = [document for document in OBJECTS if pod_template_of(document)]


def name_of(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def find(kind: str, name: str = "image-gateway") -> Document:
    [found] = [document for document in OBJECTS if name_of(document) == f"{kind}/{name}"]
    return found


def pod_of(document: Document) -> Document:
    template = pod_template_of(document)
    assert template is not None
    spec: Document = template["spec"]
    return spec


def labels_of(document: Document) -> dict[str, str]:
    template = pod_template_of(document)
    assert template is not None
    labels: dict[str, str] = template["metadata"]["labels"]
    return labels


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector with `matchLabels` and `In` selects what has these labels."""
    expressions = selector.get("matchExpressions", [])
    assert {expression["operator"] for expression in expressions} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def number_of_bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * 1024 ** {"Mi": 2, "Gi": 3}[unit]
