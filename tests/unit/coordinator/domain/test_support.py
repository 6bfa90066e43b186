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


def _tag(**entry: str) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        made["TLS"] = {"web": {"Outgoing": [{"Port": "1", "Addr": "a", **entry}]}}
        made["Marbles"]["backend"]["TLS"] = ["web"]

    return change


def _incoming(made: dict[str, Any]) -> None:
    entry = {"Port": "1", "Cert": "shared", "DisableClientAuth": True}
    made["TLS"] = {"web": {"Incoming": [entry]}}
    made["Marbles"]["backend"]["TLS"] = ["web"]


def _unsealed(made: dict[str, Any]) -> None:
    made["Config"]["SealMode"] = "Disabled"


def _features(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        made["Config"]["FeatureGates"] = list(names)

    return change


def _secret(**definition: Any) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        made["Secrets"]["more"] = definition

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_tag(Addr="{{ string .Secrets.token }}"), r"TLS\.Outgoing\.web: a template in Addr or Port"),
        (_tag(Port="{{"), r"TLS\.Outgoing\.web: a template"),
        (_incoming, r"TLS\.Incoming\.web: the secret shared has no certificate"),
        (_unsealed, "SealMode: the mode Disabled .* signed commits"),
        (
            _secret(Type="cert-ecdsa", Size=255),
            "generating placeholder secrets from manifest: invalid secret size for cert",
        ),
    ],
)
def test_refused_when_set(change: Callable[[dict[str, Any]], None], words: str) -> None:
    """Each refusal names the place in the manifest."""
    with pytest.raises(ManifestRefusedError, match=words):
        check_supported(_parse(change))


def test_sealing_by_an_hsm_comes_later() -> None:
    """The one feature gate that nothing stands behind."""
    with pytest.raises(NotSupportedYetError, match="azurehsmSEALING"):
        check_supported(_parse(_features("SignQuoteEndpoint", "azurehsmSEALING")))


@pytest.mark.parametrize(
    "change",
    [
        _tag(),
        _features("signquoteendpoint", "MonotonicCounter"),
        _secret(Type="cert-rsa", Size=2048),
        lambda _: None,
    ],
)
def test_supported(change: Callable[[dict[str, Any]], None]) -> None:
    """TLS tags, features and certificates pass, and what the tests enforce everywhere."""
    check_supported(_parse(change))


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


def _parse(change: Callable[[dict[str, Any]], None]) -> Any:
    made = shop.document()
    change(made)
    return parse(json.dumps(made).encode(), strictness=Strictness.STRICT)
