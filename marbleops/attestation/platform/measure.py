"""Identities for simulated enclaves: what a build tool and a signer would have measured (attestation.md 5.4).

The measurement is a hash over canonical JSON of what runs: each file's path and SHA-256, the arguments, the
names of declared environment variables. The signer follows the processor's rule, so that a real signing key
gives its real MRSIGNER; a label stands for a signer without a key.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from marbleops.attestation.collateral import CollateralError, load_json_object
from marbleops.attestation.platform.base import EnclaveIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_MAX_CONFIG_BYTES: Final = 256 * 1024
_MAX_PEM_BYTES: Final = 64 * 1024
_MAX_FILE_BYTES: Final = 256 * 1024 * 1024
_MAX_FILES: Final = 10_000
_MEMBERS: Final = {"signer", "productID", "securityVersion", "debug", "files", "argv", "env"}


class MeasureError(Exception):
    """The description cannot be measured; the message names the file and the member."""


def measure(config: Path) -> EnclaveIdentity:
    """Measure the enclave that ``config`` (an ``enclave.json``) describes; paths in it are relative to it.

    Raises ``MeasureError``.
    """
    try:
        document = load_json_object(_read(config, _MAX_CONFIG_BYTES), limit=_MAX_CONFIG_BYTES)
    except CollateralError as error:
        raise MeasureError(f"{config}: {error}") from error
    if unknown := sorted(set(document) - _MEMBERS):
        raise MeasureError(f"{config}: unknown member {unknown[0]!r}")
    files = _strings(config, document, "files")
    debug = document.get("debug", False)
    if not files or not isinstance(debug, bool):
        raise MeasureError(f"{config}: files must not be empty, and debug must be true or false")
    try:
        return EnclaveIdentity(
            unique_id=measure_files(
                {name: config.parent / name for name in files},
                argv=_strings(config, document, "argv"),
                env=_strings(config, document, "env"),
            ),
            signer_id=_signer(config, document),
            product_id=_number(config, document, "productID"),
            security_version=_number(config, document, "securityVersion"),
            debug=debug,
        )
    except ValueError as error:
        raise MeasureError(f"{config}: {error}") from error


def measure_files(files: Mapping[str, Path], *, argv: Sequence[str] = (), env: Iterable[str] = ()) -> bytes:
    """Return the measurement of ``files``, by the name the enclave knows; raises ``MeasureError``."""
    if len(files) > _MAX_FILES:
        raise MeasureError(f"more than {_MAX_FILES} files")
    described = {
        "files": [
            [name, hashlib.sha256(_read(files[name], _MAX_FILE_BYTES)).hexdigest()] for name in sorted(files)
        ],
        "argv": list(argv),
        "env": sorted(env),
    }
    canonical = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"marbleops/simulation/measurement/v1\0" + canonical.encode()).digest()


def python_files(package: Path) -> dict[str, Path]:
    """Return the modules of an installed package by their names in it; for ``measure_files``."""
    found = sorted(package.rglob("*.py"))
    return {path.relative_to(package.parent).as_posix(): path for path in found}


def signer_of_label(label: str) -> bytes:
    """Return the signer that a label stands for; no key can have it."""
    return hashlib.sha256(b"marbleops/simulation/signer/v1\0" + label.encode()).digest()


def signer_of_pem(pem: bytes) -> bytes:
    """Return MRSIGNER of an SGX signing key, private or public: SHA-256 of its modulus, little-endian.

    Raises ``MeasureError`` unless it is an RSA key of 3072 bits.
    """
    try:
        if b"PRIVATE KEY" in pem:
            private = serialization.load_pem_private_key(pem, password=None)
            key: object = private.public_key()
        else:
            key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MeasureError("the signing key is not an unencrypted key in PEM") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != 3072:
        raise MeasureError("an SGX signing key is RSA with 3072 bits")
    return hashlib.sha256(key.public_numbers().n.to_bytes(384, "little")).digest()


def _signer(config: Path, document: dict[str, Any]) -> bytes:
    signer = document.get("signer")
    if not isinstance(signer, str) or not signer:
        raise MeasureError(f"{config}: signer must be a label, or the path of a .pem file")
    if signer.endswith(".pem"):
        return signer_of_pem(_read(config.parent / signer, _MAX_PEM_BYTES))
    return signer_of_label(signer)


def _number(config: Path, document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int:
        raise MeasureError(f"{config}: {name} must be a number")
    return value


def _strings(config: Path, document: dict[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MeasureError(f"{config}: {name} must be a list of strings")
    return tuple(value)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise MeasureError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > limit:
        raise MeasureError(f"{path} is longer than {limit} bytes")
    return raw
