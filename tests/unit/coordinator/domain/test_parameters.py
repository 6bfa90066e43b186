"""What an admitted marble gets: every kind of secret in every place, in the order of marblerun-core 4.4."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from coordinator.domain import pki, secrets
from coordinator.domain.activation import admit, parameters
from coordinator.domain.making import Making
from coordinator.domain.phase import Phase
from coordinator.domain.secrets import Material
from coordinator.domain.state import Enforcement, Head, Ledger, SecretState, State
from coordinator.errors import (
    ActivationFailedError,
    InvalidMarbleRequestError,
    MarblePhaseError,
    MarbleRefusedError,
)
from marbleops.approval.floors import NO_FLOORS
from marbleops.manifest.digest import Digest
from marbleops.manifest.parse import Strictness, parse
from tests.fakes import shop
from tests.fakes.small_world import FakeEntropy, FakePlatform, activation, make_csr, marble_quote

if TYPE_CHECKING:
    from coordinator.domain.activation import RenderedParameters

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
MAKING = Making(at=AT, random=FakeEntropy("parameters").bytes)
AUTHORITIES = pki.renew(
    pki.create_root(names=("localhost",), at=AT, random=MAKING.random),
    names=("localhost",),
    at=AT,
    random=MAKING.random,
)
MANIFEST: dict[str, Any] = {
    "Packages": {"backend": {"SignerID": shop.SIGNER.hex(), "ProductID": 15, "SecurityVersion": 1}},
    "Infrastructures": {"ignored": {"QESVN": 2, "RootCA": "AQ=="}},
    "Marbles": {
        "backend": {
            "Package": "backend",
            "TLS": ["web"],
            "Parameters": {
                "Argv": ["./app", "{{ not a template"],
                "Files": {
                    "/shared.der": "{{ raw .Secrets.shared_cert.Cert }}",
                    "/own.pem": "{{ pem .Secrets.own_cert.Cert }}{{ pem .Secrets.own_cert.Private }}",
                    "/key": "{{ raw .Secrets.own_key }}",
                    "/was": "{{ raw .Previous.Secrets.own_key }}",
                    "/root": "{{ pem .MarbleRun.RootCA.Cert }}",
                },
                "Env": {
                    "UPLOADED": "{{ string .Secrets.token }}",
                    "MARBLE_TTLS_CONFIG": "overwritten",
                    "OTHER": {"Data": "{{ as it is", "NoTemplates": True},
                },
            },
        },
        "bare": {"Package": "backend", "TLS": ["web"], "DisableSecretBinding": True},
        "few": {"Package": "backend", "MaxActivations": 1},
    },
    "Secrets": {
        "shared_cert": {"Type": "cert-ecdsa", "Size": 256, "Shared": True},
        "own_cert": {"Type": "cert-ecdsa", "Size": 256},
        "own_rsa": {"Type": "cert-rsa", "Size": 8192},
        "own_key": {"Type": "symmetric-key", "Size": 128},
        "token": {"Type": "plain", "UserDefined": True},
    },
    "TLS": {"web": {"Incoming": [{"Port": "2000"}]}},
}


def test_a_marble_gets_everything() -> None:
    """Shared and own certificates, keys, previous keys, uploads and TTLS.

    The RSA key of 8192 bits that no template reads is not made: this test takes milliseconds.
    """
    state = _state({"token": Material(type="plain", private=b"t", public=b"t")})
    first, second = _activate(state, "backend"), _activate(state, "backend")
    shared = x509.load_der_x509_certificate(first.files["/shared.der"])
    shared.verify_directly_issued_by(AUTHORITIES.marble_root.certificate)
    assert second.files["/shared.der"] == first.files["/shared.der"]
    own = x509.load_pem_x509_certificate(first.files["/own.pem"])
    own.verify_directly_issued_by(AUTHORITIES.marble_root.certificate)
    assert own.public_key() == load_pem_private_key(first.files["/own.pem"], None).public_key()
    assert second.files["/own.pem"] != first.files["/own.pem"]
    assert first.files["/key"] == second.files["/key"] != first.files["/was"]
    assert first.files["/root"] == AUTHORITIES.marble_root.certificate_pem
    assert first.env["UPLOADED"] == b"t"
    assert first.env["OTHER"] == b"{{ as it is"
    assert first.argv == ("./app", "{{ not a template")
    connection = json.loads(first.env["MARBLE_TTLS_CONFIG"])["tls"]["Incoming"]["*:2000"]
    chain = first.env["MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN"].decode()
    assert chain == connection["clicrt"] + AUTHORITIES.intermediate.certificate_pem.decode()
    assert connection["clikey"].encode() == first.env["MARBLE_PREDEFINED_PRIVATE_KEY"]


def test_ttls_without_parameters() -> None:
    """A marble without environment gets its connections all the same."""
    given = _activate(_state(), "bare")
    assert sorted(given.env) == [
        "MARBLE_PREDEFINED_COORDINATOR_ROOT_CA",
        "MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN",
        "MARBLE_PREDEFINED_PRIVATE_KEY",
        "MARBLE_PREDEFINED_ROOT_CA",
        "MARBLE_TTLS_CONFIG",
    ]


def test_a_secret_nobody_has_uploaded() -> None:
    """The activation fails in MarbleRun's words, and names the secret."""
    words = (
        'customizing marble parameters: parsing secrets for env variable "UPLOADED": .*empty value: .* token'
    )
    with pytest.raises(ActivationFailedError, match=words):
        _activate(_state(), "backend")


def test_raised_versions_count() -> None:
    """A package update holds at once: the effective package is compared, the reason told (A13)."""
    state = _state()
    assert state.enforcement is not None
    raised = replace(state.enforcement, security_versions=MappingProxyType({"backend": 5}))
    with pytest.raises(MarbleRefusedError, match=r"marble verification failed: invalid quote: .*5"):
        _activate(replace(state, enforcement=raised), "backend")


def test_the_order_of_refusals() -> None:
    """State, type, quote, budget, UUID, CSR: the first that is wrong is told."""
    wrong = activation("few", uuid="x", csr=b"junk")
    verdict = FakePlatform().verify(marble_quote(), AT)
    bad = FakePlatform().verify(b"", AT)
    used = replace(_state(), ledger=Ledger(activations=MappingProxyType({"few": 1})))
    fresh = State(phase=Phase.ACCEPTING_MANIFEST, authorities=AUTHORITIES)
    with pytest.raises(MarblePhaseError):
        admit(fresh, wrong, bad)
    with pytest.raises(MarbleRefusedError, match="unknown marble type requested"):
        admit(used, activation("none", uuid="x"), bad)
    with pytest.raises(MarbleRefusedError, match="invalid quote"):
        admit(used, wrong, bad)
    with pytest.raises(
        MarbleRefusedError, match=r'reached max activations count \(1\) for marble type "few"'
    ):
        admit(used, wrong, verdict)
    with pytest.raises(InvalidMarbleRequestError, match="invalid UUID"):
        admit(_state(), wrong, verdict)
    admission = admit(_state(), activation("few"), verdict)
    with pytest.raises(ActivationFailedError, match="generating marble authentication secrets: parsing CSR"):
        parameters(_state(), admission, csr=b"junk", making=MAKING)


def _activate(state: State, marble: str) -> RenderedParameters:
    verdict = FakePlatform().verify(marble_quote(), AT)
    admission = admit(state, activation(marble), verdict)
    return parameters(state, admission, csr=make_csr(), making=MAKING)


def _state(uploads: dict[str, Material] | None = None) -> State:
    manifest = parse(json.dumps(MANIFEST).encode(), strictness=Strictness.MARBLERUN)
    stored = secrets.first_secrets(manifest.secrets, issuer=AUTHORITIES.marble_root, making=MAKING)
    enforcement = Enforcement(
        manifest=manifest,
        signature=b"",
        deployment=None,
        floors=NO_FLOORS,
        secrets=SecretState(root=bytes(32), previous_root=b"1" * 32, current=stored, previous=stored),
        records=(),
        head=Head(position=0, hash=Digest.of(b"")),
        log=(),
    )
    return State(
        phase=Phase.ACCEPTING_MARBLES,
        authorities=AUTHORITIES,
        enforcement=enforcement,
        ledger=Ledger(uploads=MappingProxyType(uploads or {})),
    )
