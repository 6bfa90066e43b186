"""The configuration is read strictly, and every complaint has a line and a column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.settings import PlatformKind, Settings, SettingsError, duration, read_settings

if TYPE_CHECKING:
    from pathlib import Path


def document(**target: Any) -> dict[str, Any]:
    """Return a good configuration with *target*'s members replaced."""
    entry: dict[str, Any] = {
        "name": "prod",
        "repository": {"url": "/srv/shop.git"},
        "coordinator": {
            "address": "127.0.0.1:4433",
            "platform": {"kind": "simulation", "anchor": "anchor.der"},
        },
    }
    return {"stateDir": "state", "targets": [entry | target]}


def read(folder: Path, content: dict[str, Any] | str) -> Settings:
    """Write and read a configuration."""
    path = folder / "reconciler.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return read_settings(path)


def test_defaults_and_relative_names(tmp_path: Path) -> None:
    """Relative names start at the configuration's folder; branch and interval have defaults."""
    settings = read(tmp_path, document())
    target = settings.target(None)
    assert target.repository.branch == "main"
    assert target.interval == 30.0
    assert target.coordinator.anchor == tmp_path / "anchor.der"
    assert target.coordinator.platform is PlatformKind.SIMULATION
    assert target.folder == tmp_path / "state" / "prod"
    assert target.repository.local is not None
    assert settings.health is None


def test_intel_needs_no_anchor(tmp_path: Path) -> None:
    """For hardware the trust anchor is built in."""
    given = document(coordinator={"address": "a:1", "platform": {"kind": "intel"}})
    assert read(tmp_path, given).targets[0].coordinator.anchor is None


def test_a_typo_points_at_itself_and_at_the_right_name(tmp_path: Path) -> None:
    """An unknown member is named where it stands, with the nearest that exists."""
    given = json.dumps(document() | {"heatlh": "127.0.0.1:0"}, indent=1)
    line = next(number for number, text in enumerate(given.splitlines(), 1) if "heatlh" in text)
    with pytest.raises(
        SettingsError, match=rf":{line}:\d+: heatlh: unknown name \(did you mean 'health'\?\)"
    ):
        read(tmp_path, given)


def test_schema_error_has_its_place(tmp_path: Path) -> None:
    """A wrong member is named with line and column."""
    given = json.dumps(document(interval="soon"), indent=1)
    line = next(number for number, text in enumerate(given.splitlines(), 1) if "soon" in text)
    with pytest.raises(SettingsError, match=rf"reconciler\.json:{line}:\d+: targets\[0\]\.interval: "):
        read(tmp_path, given)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "reconciler.json:1:2"),
        ("[]", "expected a JSON object"),
        ('{"stateDir": "a", "stateDir": "b"}', "written twice"),
        ('{"stateDir": "s", "targets": []}', "targets"),
        ("\x00", "reconciler.json:1:1"),
    ],
)
def test_not_a_configuration(tmp_path: Path, content: str, words: str) -> None:
    """What is not strict JSON of the schema's shape is refused."""
    with pytest.raises(SettingsError, match=words):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("git@github.com:shop/deploy.git", "production reconciler"),
        ("ssh://git@example.org/shop.git", "production reconciler"),
        ("https://user:word@example.org/shop.git", "authentication"),
        ("http://example.org/shop.git", "not supported"),
        ("git://example.org/shop.git", "not supported"),
        ("ext::sh -c id", "expected|match|pattern"),
    ],
)
def test_urls_that_come_later(tmp_path: Path, url: str, words: str) -> None:
    """ssh, credentials and unsafe protocols are refused with a reason."""
    with pytest.raises(SettingsError, match=words):
        read(tmp_path, document(repository={"url": url}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"path": "a/../b"},
        {"path": "/etc/passwd"},
        {"path": ".git/config"},
        {"repository": {"url": "/a", "branch": "a..b"}},
        {"repository": {"url": "/a", "branch": "-x"}},
        {"repository": {"url": "/a", "branch": "a.lock"}},
        {"interval": "1ms"},
        {"interval": "99h"},
        {"unknown": 1},
        {"coordinator": {"address": "a:1", "platform": {"kind": "simulation"}}},
        {"coordinator": {"address": "a:1", "platform": {"kind": "magic"}}},
        {"coordinator": {"address": "nowhere", "platform": {"kind": "intel"}}},
    ],
)
def test_wrong_values(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Nothing that could leave its folder or mean two things is taken."""
    with pytest.raises(SettingsError):
        read(tmp_path, document(**wrong))


def test_health_only_on_loopback(tmp_path: Path) -> None:
    """The health server never listens to the network."""
    assert read(tmp_path, document() | {"health": "127.0.0.1:0"}).health == ("127.0.0.1", 0)
    for address in ("0.0.0.0:80", "example.org:80", "127.0.0.1:70000"):
        with pytest.raises(SettingsError):
            read(tmp_path, document() | {"health": address})


def test_targets_by_name(tmp_path: Path) -> None:
    """A name may be left out only where there is one target; names differ ignoring case."""
    given = document()
    given["targets"].append(document(name="stage")["targets"][0])
    settings = read(tmp_path, given)
    assert settings.target("stage").name == "stage"
    for name in (None, "other"):
        with pytest.raises(SettingsError, match="prod, stage"):
            settings.target(name)
    given["targets"][1]["name"] = "PROD"
    with pytest.raises(SettingsError, match="another target"):
        read(tmp_path, given)


def test_fingerprint_follows_every_setting(tmp_path: Path) -> None:
    """Any changed setting is a new generation."""
    first = read(tmp_path, document()).targets[0].fingerprint
    assert read(tmp_path, document()).targets[0].fingerprint == first
    assert read(tmp_path, document(interval="31s")).targets[0].fingerprint != first


def test_missing_file(tmp_path: Path) -> None:
    """A configuration that is not there is said so."""
    with pytest.raises(SettingsError, match="no such file"):
        read_settings(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("1m30s", 90.0), ("250ms", 0.25), ("1.5h", 5400.0)]
)
def test_durations(text: str, seconds: float) -> None:
    """Go's notation."""
    assert duration(text) == pytest.approx(seconds)
