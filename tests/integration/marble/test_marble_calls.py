"""What programs do with the calls of MarbleRun's SDK: a marble counts, a client lets a quote be judged."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from marbleops.attestation.anchors import Anchors
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.marble.coordinator import coordinator_session
from marbleops.marble.tls import NotActivatedError
from marbleops.wire.attest import Trust, UntrustedCoordinator
from marbleops.wire.envelope import CoordinatorError
from marbleops.wire.marblerun.features import set_monotonic_counter, sign_quote, verify_signed_quote
from marbleops.wire.marblerun.manifests import get_status, manifest_log, manifest_set
from marbleops.wire.marblerun.session import Session
from tests.fakes.coordinator_process import CoordinatorProcess
from tests.fakes.plain_mesh import PlainMesh, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

pytestmark = pytest.mark.integration

NONCE = bytes(16)


def test_calls_of_programs(tmp_path: Path) -> None:
    """Attest, set a manifest, activate a marble, count as the marble, and have a quote signed."""
    coordinator = CoordinatorProcess(tmp_path).start()
    try:
        _walk(coordinator)
    finally:
        coordinator.close()


def _walk(coordinator: CoordinatorProcess) -> None:
    address = f"127.0.0.1:{coordinator.client_port}"
    anchors = Anchors.simulation((coordinator.simulation / "anchor.der").read_bytes())
    given = json.loads(manifest())
    given["Config"]["FeatureGates"].append("SignQuoteEndpoint")
    with Session(address) as session:
        shown = session.attest(Trust(anchors=anchors), nonce=NONCE, at=datetime.now(UTC))
        assert get_status(session).code == 2
        assert sorted(manifest_set(session, json.dumps(given).encode())) == ["alice", "bob"]
        assert len(manifest_log(session)) == 1
        signed = sign_quote(session, shown.quote)
        verify_signed_quote(signed, shown.certificates.root)
        with pytest.raises(CoordinatorError, match="quote verification failed"):
            sign_quote(session, b"rubbish")
        with pytest.raises(CoordinatorError, match="client certificate did not match any Marble"):
            set_monotonic_counter(session, "starts", 1)

    mesh = PlainMesh(coordinator)
    mesh.write_secret("token", b"x", "alice")
    parameters = mesh.activate("backend", uuid="02030400-0000-4000-8000-0000000000ab")
    environ = {name: value.decode() for name, value in parameters.env.items()}
    with coordinator_session(address, environ) as session:
        counted = [set_monotonic_counter(session, "starts", value) for value in (3, 2**64 - 1, 5)]
    assert counted == [0, 3, 2**64 - 1]

    _refusals(address, environ, shown.certificates.intermediate)


def _refusals(address: str, environ: dict[str, str], other: x509.Certificate) -> None:
    with pytest.raises(NotActivatedError, match="PRIVATE_KEY is not set"):
        coordinator_session(address, environ | {"MARBLE_PREDEFINED_PRIVATE_KEY": ""})
    wrong = environ | {"MARBLE_PREDEFINED_COORDINATOR_ROOT_CA": other.public_bytes(Encoding.PEM).decode()}
    with coordinator_session(address, wrong) as session, pytest.raises(UntrustedCoordinator, match="another"):
        set_monotonic_counter(session, "starts", 9)


def test_nothing_is_said_to_a_coordinator_that_fails_to_prove_itself(tmp_path: Path) -> None:
    """After a failed check the session is as closed as before it."""
    coordinator = CoordinatorProcess(tmp_path).start()
    try:
        other = SimulationPlatform.create(tmp_path / "other", at=datetime.now(UTC))
        with Session(f"127.0.0.1:{coordinator.client_port}") as session:
            with pytest.raises(UntrustedCoordinator):
                session.attest(Trust(anchors=other.anchors()), nonce=NONCE, at=datetime.now(UTC))
            with pytest.raises(RuntimeError, match="trusts"):
                get_status(session)
            shown = session.trust_on_first_use(nonce=b"")
            assert shown.verdict is None
            assert get_status(session).code == 2
    finally:
        coordinator.close()
