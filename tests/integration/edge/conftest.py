"""Fixtures of the edge's tests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.integration.edge.harness import Credential, running, self_signed

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def server_credential() -> Credential:
    return self_signed("coordinator")


@pytest.fixture(scope="session")
def client_credential() -> Credential:
    return self_signed("marble")


@pytest.fixture(scope="session")
def make_credential() -> Callable[[str], Credential]:
    """Return a maker of client credentials by kind; each kind is made once."""
    made: dict[str, Credential] = {}

    def make(kind: str) -> Credential:
        if kind not in made:
            days = -1 if kind == "expired" else 30
            made[kind] = self_signed(kind, kind="rsa" if kind == "rsa" else "p384", days=days)
        return made[kind]

    return make


@pytest.fixture
def serve(server_credential: Credential) -> Callable[..., object]:
    """Return a context manager that runs a server for a protocol factory and gives an Edge."""
    return partial(running, server_credential)
