from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.oidc_browser import GATEWAY, make_gateway
from tests.support.oidc_code_flow import CodeFlow
from tests.support.oidc_provider import OidcProvider
from tests.support.world import World


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider.start() as provider:
        yield provider


@pytest.fixture
def flow(provider: OidcProvider) -> CodeFlow:
    flow = CodeFlow(provider)
    flow.register(GATEWAY)
    return flow


@pytest.fixture
def gateway(world: World, provider: OidcProvider, flow: CodeFlow) -> World:
    return make_gateway(world, provider)
