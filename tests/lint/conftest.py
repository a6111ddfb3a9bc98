from __future__ import annotations

import pytest

from image_gateway.settings import Settings, load_settings
from tests.support.kustomize import Document, variables_of
from tests.support.manifests import FILLED_IN, find, pod_of


@pytest.fixture(scope="module")
def settings() -> Settings:
    variables = variables_of(find("ConfigMap")) | variables_of(find("Secret"))
    return load_settings(variables | FILLED_IN)


@pytest.fixture
def gateway() -> Document:
    [container] = [c for c in pod_of(find("Deployment"))["containers"] if c["name"] == "gateway"]
    return container
