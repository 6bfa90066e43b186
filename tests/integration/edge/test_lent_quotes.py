"""Whoever has one deployment's root key cannot lend its genuine quotes to another manifest (ADR 8)."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from coordinator.adapters.memory import MemoryStore
from coordinator.adapters.sealer import AesGcmSealer, SealingKeys
from coordinator.adapters.sqlite import SqliteStore
from coordinator.adapters.system import SystemEntropy
from coordinator.vault import VaultPorts, locked_vault
from marbleops.attestation.anchors import Anchors
from marbleops.manifest.digest import Digest
from marbleops.wire.attest import Trust, UntrustedCoordinator
from marbleops.wire.envelope import CoordinatorError
from marbleops.wire.marblerun.manifests import manifest_set, verify_marblerun_deployment
from marbleops.wire.marblerun.recovery import recover_with_signature
from marbleops.wire.marblerun.session import Session
from tests.fakes import shop
from tests.fakes.coordinator_process import CoordinatorProcess
from tests.fakes.recovery_holders import decrypt, public_pems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

EXPECTED = shop.plain_manifest()
"""What the newcomer expects; no enclave enforces it."""


def test_a_lent_quote_vouches_for_nothing_else(tmp_path: Path) -> None:
    """The quote is genuine and so is the root key; manifest, set and recovery are refused all the same."""
    genuine = CoordinatorProcess(tmp_path).start()
    try:
        key, certificate = _root_of(genuine)
        with _impostor(genuine, key, certificate, tmp_path) as (address, received):
            anchors = Anchors.simulation((genuine.simulation / "anchor.der").read_bytes())
            with Session(address) as session:
                session.attest(Trust(anchors=anchors), nonce=b"fresh", at=datetime.now(UTC))
                with pytest.raises(UntrustedCoordinator, match="its quote says that it enforces"):
                    verify_marblerun_deployment(session, Digest.of(EXPECTED))
                with pytest.raises(CoordinatorError, match="not in expected state"):
                    manifest_set(session, EXPECTED)
            with Session(address) as session:
                session.attest(Trust(anchors=anchors), nonce=b"again", at=datetime.now(UTC))
                with pytest.raises(CoordinatorError, match="not in expected state"):
                    recover_with_signature(session, bytes(32), b"signature")
            assert received == []
    finally:
        genuine.close()


def _root_of(genuine: CoordinatorProcess) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Set a manifest with a recovery key of one's own, and open a copy of the disk with what it gives."""
    manifest = json.loads(shop.plain_manifest()) | {"RecoveryKeys": {"ann": public_pems(1)["ann"]}}
    call = {"manifest": base64.b64encode(json.dumps(manifest).encode()).decode()}
    answer = genuine.ask("POST", "/api/v2/manifest", json.dumps(call).encode())
    data_key = decrypt("ann", base64.b64decode(answer.data["RecoverySecrets"]["ann"]))
    copy = genuine.directory / "copy"
    shutil.copytree(genuine.directory / "sealed", copy)
    store, entropy = SqliteStore(copy), SystemEntropy()
    nobody = AesGcmSealer(SealingKeys(unique=bytes(32), product=bytes(32)), entropy)
    ports = VaultPorts(
        store=store, platform=nobody, entropy=entropy, memory=MemoryStore, set_aside=lambda _: store
    )
    sealed = locked_vault(ports).unlocked(data_key).sealed
    (name,) = sealed.list("effects/")
    root = json.loads(sealed.get(name) or b"")["root"]
    store.close()
    key = load_der_private_key(base64.b64decode(root["key"]), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, base64.b64decode(root["certificate"])


@contextmanager
def _impostor(
    genuine: CoordinatorProcess, key: ec.EllipticCurvePrivateKey, certificate: bytes, folder: Path
) -> Iterator[tuple[str, list[bytes]]]:
    """Serve under the root key: the genuine quotes, and the manifest that the newcomer expects."""
    received: list[bytes] = []
    shown = {
        "manifest": base64.b64encode(EXPECTED).decode(),
        "manifestFingerprint": Digest.of(EXPECTED).hex,
        "manifestSignatureRootECDSA": base64.b64encode(
            key.sign(EXPECTED, ec.ECDSA(hashes.SHA256()))
        ).decode(),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/api/v2/manifest":
                self._answer(json.dumps({"status": "success", "data": shown}).encode())
            else:
                self._answer(genuine.ask("GET", self.path).body)

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b'{"status":"success","data":null}')

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    pair = folder / "root.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pair.write_bytes(ssl.DER_cert_to_PEM_cert(certificate).encode() + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"localhost:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()
