"""Marbles against a real process: real quotes, real gRPC, admission, refusal, budget, bump and durability."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.marble.activate import ActivationRefused, Parameters, activate
from marbleops.marble.settings import MarbleSettings
from tests.fakes import shop

if TYPE_CHECKING:
    from tests.fakes.coordinator_process import CoordinatorProcess

pytestmark = pytest.mark.integration

UUID = "02030400-0000-4000-8000-0000000000ab"


def test_marble_gets_what_the_manifest_says(coordinator: CoordinatorProcess) -> None:
    """An attested backend gets certificate, key, files, environment and arguments, all under the root."""
    _genesis(coordinator)
    parameters = _activate(coordinator, "backend")
    assert parameters.argv == ("backend", "--serve")
    assert parameters.env["GREETING"] == b"hello"
    assert len(base64.b64decode(parameters.env["OWN"])) == 32
    assert len(bytes.fromhex(parameters.files["/tmp/key.hex"].decode())) == 16
    leaf, intermediate = x509.load_pem_x509_certificates(
        parameters.env["MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN"]
    )
    (marble_root,) = x509.load_pem_x509_certificates(parameters.env["MARBLE_PREDEFINED_ROOT_CA"])
    (root,) = x509.load_pem_x509_certificates(parameters.env["MARBLE_PREDEFINED_COORDINATOR_ROOT_CA"])
    leaf.verify_directly_issued_by(marble_root)
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    again = _activate(coordinator, "backend")
    assert again.env["OWN"] == parameters.env["OWN"]
    assert again.files == parameters.files


def test_refusals_say_why(coordinator: CoordinatorProcess) -> None:
    """Before a manifest, an unknown type, a wrong product and an empty quote each have their own words."""
    coordinator.start()
    with pytest.raises(ActivationRefused, match="cannot accept marbles in current state"):
        _activate(coordinator, "backend")
    first = shop.manifest()
    coordinator.update(first, shop.genesis_evidence(first))
    with pytest.raises(ActivationRefused, match="unknown marble type requested"):
        _activate(coordinator, "database")
    with pytest.raises(ActivationRefused, match="ProductID: package asks for 15, the enclave has 99"):
        _activate(coordinator, "backend", product=99)
    with pytest.raises(ActivationRefused, match="Debug: package asks for false"):
        _activate(coordinator, "backend", debug=True)
    with pytest.raises(ActivationRefused, match="invalid quote"):
        _activate(coordinator, "backend", quote=False)
    assert "INSECURE_EMPTY_QUOTE" not in coordinator.log
    assert '"reason": "marble verification failed: unknown marble type requested"' in coordinator.log


def test_empty_quotes_only_where_allowed(coordinator: CoordinatorProcess) -> None:
    """EDG_COORDINATOR_INSECURE_EMPTY_QUOTE=1 admits a marble without a quote, loudly."""
    coordinator.environ["EDG_COORDINATOR_INSECURE_EMPTY_QUOTE"] = "1"
    _genesis(coordinator)
    assert _activate(coordinator, "frontend", quote=False).argv == ("frontend",)
    assert "EDG_COORDINATOR_INSECURE_EMPTY_QUOTE=1 admits" in coordinator.log


def test_max_activations_is_exact_and_durable(coordinator: CoordinatorProcess) -> None:
    """Of many at once exactly two are admitted, and a kill -9 gives none back."""
    _genesis(coordinator)
    (coordinator.directory / "uuid").write_text(UUID)
    admitted: list[Parameters] = []
    refused: list[str] = []

    def attempt() -> None:
        try:
            admitted.append(_activate(coordinator, "backend"))
        except ActivationRefused as refusal:
            refused.append(refusal.reason)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), len(refused)) == (2, 4)
    assert all("reached max activations count (2)" in words for words in refused)
    coordinator.kill()
    coordinator.start()
    with pytest.raises(ActivationRefused, match="reached max activations"):
        _activate(coordinator, "backend")


def test_bump_follows_attestation(coordinator: CoordinatorProcess) -> None:
    """A bump needs an attested new build and one releaser; then the old build is refused, the CA new."""
    first = _genesis(coordinator)
    deployment = coordinator.deployment()
    second = shop.manifest(2, previous=first, deployment=deployment, change=shop.bump(2))
    early = coordinator.update(second, shop.approvals(second, "alice"))
    assert early.status == 422
    _activate(coordinator, "backend", version=1)
    old = _activate(coordinator, "backend", version=2)
    assert coordinator.get("gitops/policy").data["attested"] == [
        {"package": "backend", "signerID": shop.SIGNER.hex(), "productID": shop.PRODUCT, "securityVersion": 2}
    ]
    coordinator.kill()
    coordinator.start()
    bumped = coordinator.update(second, shop.approvals(second, "alice"))
    assert (bumped.status, bumped.data["class"]) == (200, "package-bump")
    with pytest.raises(ActivationRefused, match="SecurityVersion: package asks for at least 2"):
        _activate(coordinator, "backend", version=1)
    new = _activate(coordinator, "frontend")
    for name, same in (("ROOT_CA", False), ("COORDINATOR_ROOT_CA", True)):
        variable = f"MARBLE_PREDEFINED_{name}"
        assert (new.env[variable] == old.env[variable]) is same
    log = coordinator.get("update").data["updateLog"]
    assert (
        '"update":"SecurityVersion increased","user":"alice","package":"backend","new version":2' in log[-1]
    )


def _genesis(coordinator: CoordinatorProcess) -> bytes:
    coordinator.start()
    first = shop.manifest()
    assert coordinator.update(first, shop.genesis_evidence(first)).status == 200
    return first


def _activate(
    coordinator: CoordinatorProcess,
    marble: str,
    *,
    version: int = 1,
    product: int | None = None,
    debug: bool = False,
    quote: bool = True,
) -> Parameters:
    """Activate a marble on the Coordinator's own simulated machine."""
    platform = SimulationPlatform.open(coordinator.simulation)
    identity = EnclaveIdentity(
        unique_id=bytes([version]) * 32,
        signer_id=shop.SIGNER,
        product_id=product or {"backend": 15, "frontend": 16}.get(marble, 1),
        security_version=version,
        debug=debug,
    )
    uuid_file = coordinator.directory / "uuid"
    if not uuid_file.exists():
        uuid_file.write_text(UUID)
    environ = {
        "EDG_MARBLE_TYPE": marble,
        "EDG_MARBLE_COORDINATOR_ADDR": f"127.0.0.1:{coordinator.mesh_port}",
        "EDG_MARBLE_UUID_FILE": str(uuid_file),
    }
    settings = MarbleSettings.from_environ(environ, directory=coordinator.directory)
    return activate(settings, platform.issuer(identity) if quote else None)
