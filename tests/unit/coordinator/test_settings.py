"""The start configuration: defaults, and every problem named at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coordinator.settings import Address, LoadSettings, SettingsError, read_settings
from marbleops.manifest.digest import Digest

CWD = Path("/somewhere")
NEEDED = {"EDG_COORDINATOR_PLATFORM": "simulation", "EDG_COORDINATOR_SIMULATION_DIR": "sim"}


def test_defaults_are_marbleruns() -> None:
    """Ports, names and the seal directory as MarbleRun has them."""
    settings = read_settings(NEEDED, cwd=CWD)
    assert (settings.mesh, settings.client) == (Address(host="", port=2001), Address(host="", port=4433))
    assert settings.dns_names == ("localhost",)
    assert settings.seal_directory == CWD / "marblerun-coordinator-data"
    assert settings.simulation_directory == CWD / "sim"
    assert not settings.accept_empty_quotes
    assert not settings.allow_reset
    assert not settings.allow_security_version_decrease
    assert settings.http_error_log_level == "error"
    assert (settings.monitoring, settings.metrics_uuid) == (None, False)
    assert settings.load == LoadSettings(connections=480, connections_per_source=360, waiting_activations=480)


def test_values_are_read() -> None:
    """Addresses, names, digest and flags; empty counts as unset."""
    digest = Digest.of(b"genesis")
    settings = read_settings(
        {
            **NEEDED,
            "EDG_COORDINATOR_CLIENT_ADDR": "[::1]:0",
            "EDG_COORDINATOR_DNS_NAMES": "a,10.0.0.1",
            "EDG_COORDINATOR_GENESIS_DIGEST": str(digest),
            "EDG_COORDINATOR_ALLOW_RESET": "1",
            "EDG_CWD": "/edg",
            "EDG_STORE_BACKEND": "",
            "EDG_DISTRIBUTED_COORDINATOR": "0",
            "EDG_COORDINATOR_PROMETHEUS_ADDR": ":9944",
            "EDG_HTTP_ERROR_LOG_LEVEL": "FATAL",
            "EDG_COORDINATOR_MAX_CONNECTIONS": "100",
        },
        cwd=CWD,
    )
    assert settings.client == Address(host="::1", port=0)
    assert settings.dns_names == ("a", "10.0.0.1")
    assert settings.genesis_digest == digest
    assert settings.allow_reset
    assert settings.monitoring == Address(host="", port=9944)
    assert settings.http_error_log_level == "error"
    assert settings.load.connections_per_source == 75
    assert settings.seal_directory == Path("/edg/marblerun-coordinator-data")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDG_COORDINATOR_PLATFORM", ""),
        ("EDG_COORDINATOR_COLLATERAL", "pcs"),
        ("EDG_COORDINATOR_PLATFORM", "Simulation"),
        ("EDG_COORDINATOR_SIMULATION_DIR", ""),
        ("EDG_COORDINATOR_CLIENT_ADDR", "localhost"),
        ("EDG_COORDINATOR_MESH_ADDR", ":65536"),
        ("EDG_COORDINATOR_MESH_ADDR", ":-1"),
        ("EDG_COORDINATOR_DNS_NAMES", "localhost, other"),
        ("EDG_COORDINATOR_DNS_NAMES", "m\u00fcller.example"),
        ("EDG_COORDINATOR_DNS_NAMES", "a,,b"),
        ("EDG_COORDINATOR_GENESIS_DIGEST", "sha256:00"),
        ("EDG_COORDINATOR_INSECURE_EMPTY_QUOTE", "true"),
        ("EDG_COORDINATOR_ALLOW_RESET", "yes"),
        ("EDG_STORE_BACKEND", "k8s-secret"),
        ("EDG_COORDINATOR_PROMETHEUS_ADDR", "9090"),
        ("EDG_DISTRIBUTED_COORDINATOR", "1"),
        ("EDG_HTTP_ERROR_LOG_LEVEL", "loud"),
        ("EDG_COORDINATOR_MAX_CONNECTIONS", "0"),
        ("EDG_COORDINATOR_MAX_CONNECTIONS_PER_SOURCE", "many"),
        ("EDG_COORDINATOR_MAX_WAITING_ACTIVATIONS", "-1"),
        ("EDG_COORDINATOR_METRICS_UUID", "yes"),
        ("EDG_COORDINATOR_ALLOW_SECURITY_VERSION_DECREASE", "2"),
    ],
)
def test_each_problem_is_named(name: str, value: str) -> None:
    """A wrong variable is refused by name."""
    with pytest.raises(SettingsError, match=name):
        read_settings({**NEEDED, name: value}, cwd=CWD)


def test_an_enclave_takes_nothing_of_the_simulation() -> None:
    """Under Gramine there is no simulated machine and no marble without a quote."""
    settings = read_settings(
        {"EDG_COORDINATOR_PLATFORM": "gramine", "EDG_COORDINATOR_COLLATERAL": "pcs"}, cwd=CWD
    )
    assert (settings.platform, settings.simulation_directory) == ("gramine", None)
    assert settings.collateral == CWD / "pcs"
    with pytest.raises(SettingsError) as raised:
        read_settings(
            {**NEEDED, "EDG_COORDINATOR_PLATFORM": "gramine", "EDG_COORDINATOR_INSECURE_EMPTY_QUOTE": "1"},
            cwd=CWD,
        )
    assert len(raised.value.problems) == 2


def test_all_problems_at_once() -> None:
    """Nobody has to start three times to see three mistakes."""
    with pytest.raises(SettingsError) as raised:
        read_settings({"EDG_COORDINATOR_CLIENT_ADDR": "x", "EDG_MAA_URL": "y"}, cwd=CWD)
    assert len(raised.value.problems) == 3


def test_every_variable_is_documented() -> None:
    """What can be set stands in the table, and the table names nothing else."""
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "configuration.md").read_text()
    obeyed = re.findall(r'reader?\.\w+\(\s*"(EDG_\w+)"', (root / "coordinator" / "settings.py").read_text())
    assert len(obeyed) > 15
    assert [name for name in obeyed if f"`{name}`" not in page] == []
    documented = re.findall(r"^\| `(EDG_(?!MARBLE_)\w+)`", page, re.MULTILINE)
    assert set(documented) - {*obeyed, "EDG_COORDINATOR_PLATFORM", "EDG_COORDINATOR_SEAL_DIR"} == set()
