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


def test_the_sample_is_supported() -> None:
    """What the tests enforce everywhere passes."""
    check_supported(_parse(lambda _: None))


def _parse(change: Callable[[dict[str, Any]], None]) -> Any:
    made = shop.document()
    change(made)
    return parse(json.dumps(made).encode(), strictness=Strictness.STRICT)
