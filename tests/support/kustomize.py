"""Builds kustomizations as `kubectl kustomize` does, as far as those in deploy/kubernetes need it.

Names of generated ConfigMaps and Secrets get no hash.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
_KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "images",
    "configMapGenerator",
    "secretGenerator",
}
_CLUSTER_WIDE = {"Namespace"}


def build(folder: Path) -> list[Document]:
    """Return the objects of the kustomization in `folder`.

    Raises:
        ValueError: The kustomization uses a field that is not known here.
    """
    kustomization: Document = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = kustomization.keys() - _KNOWN
    if unknown:
        raise ValueError(f"{folder}: tests/support/kustomize.py does not know {sorted(unknown)}")
    documents: list[Document] = []
    for name in [*kustomization.get("resources", []), *kustomization.get("components", [])]:
        path = folder / name
        documents += build(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for kind, field in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
        for generator in kustomization.get(field, []):
            _generate(documents, kind, generator, folder)
    images = {
        image["name"]: f"{image['newName']}:{image['newTag']}" for image in kustomization.get("images", [])
    }
    for document in documents:
        if "namespace" in kustomization and document["kind"] not in _CLUSTER_WIDE:
            document["metadata"]["namespace"] = kustomization["namespace"]
        for container in containers_of(document):
            container["image"] = images.get(container["image"], container["image"])
    return documents


def variables_of(document: Document) -> dict[str, str]:
    """Return the variables of a ConfigMap or a Secret."""
    data: dict[str, str] = document["data"]
    if document["kind"] == "ConfigMap":
        return data
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def pod_template_of(document: Document) -> Document | None:
    """Return the pod template of a workload, or None for other objects."""
    spec: Document = document.get("spec", {})
    template: Document | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template


def containers_of(document: Document) -> Iterator[Document]:
    """Yield all containers of a workload."""
    template = pod_template_of(document)
    if template is not None:
        yield from template["spec"].get("initContainers", [])
        yield from template["spec"]["containers"]


def read_env_file(file: Path) -> dict[str, str]:
    """Return the variables of a file as kustomize reads it: the value is all that follows `=`, with quotes.

    Raises:
        ValueError: A line is no variable. Kustomize takes the value of a name alone from the environment.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        name, equals, value = line.lstrip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise ValueError(f"{file}:{number}: {name!r} has no value")
        values[name] = value
    return values


def _generate(documents: list[Document], kind: str, generator: Document, folder: Path) -> None:
    values: dict[str, str] = {}
    for name in generator["envs"]:
        values |= read_env_file(folder / name)
    if kind == "Secret":
        values = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    if generator.get("behavior") == "merge":
        [found] = [
            document
            for document in documents
            if (document["kind"], document["metadata"]["name"]) == (kind, generator["name"])
        ]
        found["data"] |= values
        return
    more = {"type": "Opaque"} if kind == "Secret" else {}
    metadata = {"name": generator["name"]}
    documents.append({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": values, **more})
