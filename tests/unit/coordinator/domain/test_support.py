"""What cannot be enforced yet is refused when the manifest is set, by name and with what brings it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from coordinator.domain.support import check_supported
from coordinator.errors import ManifestRefusedError, NotSupportedYetError
from marbleops.manifest.parse import Strictness, parse
from tests.fakes import shop

if TYPE_CHECKING:
    from collections.abc import Callable


def _tag(made: dict[str, Any]) -> None:
    made["TLS"] = {"web": {"Outgoing": [{"Port": "1", "Addr": "a"}]}}
    made["Marbles"]["backend"]["TLS"] = ["web"]


def _recovery(made: dict[str, Any]) -> None:
    made["RecoveryKeys"] = {"k": "PEM"}


def _unsealed(made: dict[str, Any]) -> None:
    made["Config"]["SealMode"] = "Disabled"


def _feature(made: dict[str, Any]) -> None:
    made["Config"]["FeatureGates"] = ["SignQuoteEndpoint"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_tag, r"Marbles\.backend\.TLS"),
        (_recovery, "RecoveryKeys"),
        (_unsealed, "SealMode"),
        (_feature, "SignQuoteEndpoint"),
    ],
)
def test_later_features_are_named(change: Callable[[dict[str, Any]], None], words: str) -> None:
    """Each refusal names the place in the manifest and the version that brings the feature."""
    with pytest.raises(NotSupportedYetError, match=words) as raised:
        check_supported(_parse(change))
    assert raised.value.comes_with == "A drop-in MarbleRun Coordinator"


def test_templates_are_tried_out() -> None:
    """A template that reads a secret that is not there is refused with its place."""

    def change(made: dict[str, Any]) -> None:
        made["Marbles"]["backend"]["Parameters"]["Env"]["OWN"] = "{{ hex .Secrets.nothing }}"

    with pytest.raises(
        ManifestRefusedError, match=r"running manifest template dry run: .*secret does not exist"
    ):
        check_supported(_parse(change))


def test_more_secrets_than_can_be_kept() -> None:
    """A manifest whose generated secrets could not be read back at a restart is refused when it is set."""

    def change(made: dict[str, Any]) -> None:
        size = {"Type": "symmetric-key", "Size": 65_280, "Shared": True}
        made["Secrets"] |= {f"s{number}": size for number in range(300)}

    with pytest.raises(ManifestRefusedError, match=r"the secrets have \d+ bytes together"):
        check_supported(_parse(change))


def test_a_package_name_that_floors_cannot_hold() -> None:
    """In MarbleRun's own mode names have no form, but one too long for the sealed ledger is refused."""
    made = json.loads(shop.plain_manifest())
    made["Packages"]["p" * 257] = made["Packages"]["backend"]
    with pytest.raises(ManifestRefusedError, match="more than 256 characters"):
        check_supported(parse(json.dumps(made).encode(), strictness=Strictness.MARBLERUN))


def test_the_sample_is_supported() -> None:
    """What the tests enforce everywhere passes."""
    check_supported(_parse(lambda _: None))


def _parse(change: Callable[[dict[str, Any]], None]) -> Any:
    made = shop.document()
    change(made)
    return parse(json.dumps(made).encode(), strictness=Strictness.STRICT)
