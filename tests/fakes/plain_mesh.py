"""A deployment as MarbleRun knows it: users with certificates, recovery keys, marbles with simulated quotes.

Keys of people are derived from their names; recovery keys are made once for a test process.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from marbleops.attestation.platform.base import EnclaveIdentity
from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.marble.activate import Parameters, activate
from marbleops.marble.settings import MarbleSettings
from tests.fakes import shop
from tests.fakes.coordinator_process import unverified_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from pathlib import Path

    from tests.fakes.coordinator_process import Answer, CoordinatorProcess

PRODUCTS = {"backend": shop.PRODUCT, "frontend": 16}
UPDATERS = ("alice", "bob", "carol")
PEOPLE = (*UPDATERS, "dave")
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


@functools.cache
def user_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Derive a person's TLS key."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()) >> 1, ec.SECP256R1())


@functools.cache
def user_certificate(name: str) -> str:
    """Make a person's self-signed certificate, as PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    key = user_key(name)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@functools.cache
def recovery_key(name: str) -> rsa.RSAPrivateKey:
    """Make a person's recovery key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def recovery_pem(name: str) -> str:
    """Return the public half of a recovery key, as a manifest has it."""
    public = recovery_key(name).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def manifest(
    *,
    backend: int = 1,
    budget: int = 3,
    argument: str = "first",
    recovery: Iterable[str] = ("alice", "bob"),
    rotate: bool = False,
) -> bytes:
    """Write a manifest; *backend* is the package's SecurityVersion, *budget* its MaxActivations."""
    packages = {
        name: {"SignerID": shop.SIGNER.hex(), "ProductID": product, "SecurityVersion": 1}
        for name, product in PRODUCTS.items()
    }
    packages["backend"]["SecurityVersion"] = backend
    env = {"OWN": "{{ hex .Secrets.own }}", "SHARED": "{{ hex .Secrets.shared }}"}
    secret_env = env | {"TOKEN": "{{ string .Secrets.token }}"}
    document = {
        "Packages": packages,
        "Marbles": {
            "backend": {
                "Package": "backend",
                "MaxActivations": budget,
                "Parameters": {"Argv": ["backend", argument], "Env": secret_env},
            },
            "frontend": {"Package": "frontend", "Parameters": {"Argv": ["frontend"], "Env": env}},
        },
        "Secrets": {
            "own": {"Type": "symmetric-key", "Size": 256},
            "shared": {"Type": "symmetric-key", "Size": 256, "Shared": True},
            "token": {"Type": "plain", "UserDefined": True},
        },
        "Users": {name: {"Certificate": user_certificate(name), "Roles": _roles_of(name)} for name in PEOPLE},
        "Roles": {
            "updater": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]},
            "releaser": {
                "ResourceType": "Packages",
                "ResourceNames": ["backend"],
                "Actions": ["UpdateSecurityVersion"],
            },
            "keeper": {
                "ResourceType": "Secrets",
                "ResourceNames": ["token"],
                "Actions": ["ReadSecret", "WriteSecret"],
            },
            "auditor": {"ResourceType": "Secrets", "ResourceNames": ["shared"], "Actions": ["ReadSecret"]},
        },
        "RecoveryKeys": {name: recovery_pem(name) for name in recovery},
        "Config": {"UpdateThreshold": 2, "RotateRootSecret": rotate, "FeatureGates": ["MonotonicCounter"]},
    }
    return json.dumps(document).encode()


def _roles_of(name: str) -> list[str]:
    roles = ["updater"] if name in UPDATERS else []
    return roles + {"alice": ["releaser", "keeper", "auditor"]}.get(name, [])


def recovery_share(name: str, encrypted: bytes) -> tuple[bytes, bytes]:
    """Decrypt a recovery secret as its holder does; return it and the holder's signature over it."""
    secret = recovery_key(name).decrypt(encrypted, OAEP)
    return secret, recovery_key(name).sign(secret, padding.PKCS1v15(), hashes.SHA256())


@dataclass(slots=True)
class PlainMesh:
    """People and marbles around one Coordinator process."""

    coordinator: CoordinatorProcess
    contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def post(self, path: str, body: Any, *, user: str | None = None) -> Answer:
        """POST a JSON document in the name of *user*."""
        return self.coordinator.ask(
            "POST", f"/api/v2/{path}", json.dumps(body).encode(), context=self._context(user)
        )

    def get(self, path: str, *, user: str | None = None) -> Answer:
        """GET in the name of *user*."""
        return self.coordinator.ask("GET", f"/api/v2/{path}", context=self._context(user))

    def set_manifest(self, raw: bytes) -> dict[str, bytes]:
        """Set the first manifest; return the encrypted recovery secrets by name."""
        answer = self.post("manifest", {"manifest": encoded(raw)})
        assert answer.status == 200, answer.body
        return decoded(answer.data["RecoverySecrets"])

    def send_manifest(self, path: str, raw: bytes, user: str) -> Answer:
        """POST *raw* to ``update`` or ``update-manifest``."""
        return self.post(path, {"manifest": encoded(raw)}, user=user)

    def write_secret(self, name: str, value: bytes, user: str) -> Answer:
        """Upload a plain secret."""
        return self.post("secrets", {"secrets": {name: {"Key": encoded(value)}}}, user=user)

    def recover(self, secret: bytes, signature: bytes) -> Answer:
        """Offer one recovery secret."""
        return self.post(
            "recover", {"recoverySecret": encoded(secret), "recoverySecretSignature": encoded(signature)}
        )

    def activate(self, kind: str, *, version: int = 1, uuid: str) -> Parameters:
        """Activate a marble of *kind* and *version* on the Coordinator's own simulated machine."""
        identity = EnclaveIdentity(
            unique_id=bytes([version]) * 32,
            signer_id=shop.SIGNER,
            product_id=PRODUCTS[kind],
            security_version=version,
            debug=False,
        )
        file = self.folder / f"uuid-{uuid}"
        file.write_text(uuid)
        environ = {
            "EDG_MARBLE_TYPE": kind,
            "EDG_MARBLE_COORDINATOR_ADDR": f"127.0.0.1:{self.coordinator.mesh_port}",
            "EDG_MARBLE_UUID_FILE": str(file),
        }
        settings = MarbleSettings.from_environ(environ, directory=self.folder)
        return activate(settings, SimulationPlatform.open(self.coordinator.simulation).issuer(identity))

    def remember_marble(self, name: str, parameters: Parameters) -> None:
        """Let ``user=name`` present the certificate that a marble got."""
        chain = parameters.env["MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN"]
        self._remember(name, chain, parameters.env["MARBLE_PREDEFINED_PRIVATE_KEY"])

    @property
    def folder(self) -> Path:
        """The Coordinator's folder."""
        return self.coordinator.directory

    def _context(self, user: str | None) -> ssl.SSLContext | None:
        if user is None:
            return None
        if user not in self.contexts:
            key = user_key(user).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            self._remember(user, user_certificate(user).encode(), key)
        return self.contexts[user]

    def _remember(self, name: str, certificate: bytes, key: bytes) -> None:
        file = self.folder / "credentials.pem"
        file.write_bytes(certificate + key)
        context = unverified_context()
        context.load_cert_chain(file)
        file.unlink()
        self.contexts[name] = context


def lose_platform(coordinator: CoordinatorProcess) -> None:
    """Put another simulated machine in the place of the one that sealed the state."""
    for file in sorted(coordinator.simulation.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    coordinator.simulation.rmdir()  # ``launch`` makes a new one


def encoded(value: bytes) -> str:
    """Write bytes as Go's JSON does."""
    return base64.b64encode(value).decode()


def decoded(secrets: dict[str, str] | None) -> dict[str, bytes]:
    """Read a map of bytes."""
    return {name: base64.b64decode(value) for name, value in (secrets or {}).items()}
