"""Measurements: what changes them, what does not, and the processor's rule for signers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import marbleops.attestation
from marbleops.attestation.platform.measure import (
    MeasureError,
    measure,
    measure_files,
    python_files,
    signer_of_label,
    signer_of_pem,
)

CONFIG: dict[str, Any] = {
    "signer": "team",
    "productID": 1,
    "securityVersion": 2,
    "debug": False,
    "files": ["app.py", "lib.py"],
    "argv": ["app.py"],
    "env": ["B", "A"],
}


def write(directory: Path, **changes: Any) -> Path:
    config = directory / "enclave.json"
    config.write_text(json.dumps(CONFIG | changes))
    (directory / "app.py").write_text("print('app')")
    (directory / "lib.py").write_text("pass")
    return config


def test_measure(tmp_path: Path) -> None:
    """An enclave.json gives an identity, the same each time and in any order of files."""
    identity = measure(write(tmp_path))

    assert identity.signer_id == signer_of_label("team")
    assert (identity.product_id, identity.security_version, identity.debug) == (1, 2, False)
    assert measure(write(tmp_path, files=["lib.py", "app.py"], env=["A", "B"])) == identity


@pytest.mark.parametrize(
    "changes", [{"argv": []}, {"argv": ["app.py", "-x"]}, {"files": ["app.py"]}, {"env": ["A"]}]
)
def test_what_runs_is_measured(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Files, arguments and declared variables change the measurement."""
    assert measure(write(tmp_path, **changes)).unique_id != measure(write(tmp_path)).unique_id


def test_content_is_measured(tmp_path: Path) -> None:
    """One changed byte of one file changes the measurement and nothing else."""
    before = measure(write(tmp_path))
    (tmp_path / "lib.py").write_text("pass ")

    after = measure(tmp_path / "enclave.json")

    assert after.unique_id != before.unique_id
    assert after.signer_id == before.signer_id


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"signer": ""},
        {"signer": 1},
        {"signer": "missing.pem"},
        {"signer": "../app.pem"},
        {"productID": "1"},
        {"productID": True},
        {"productID": 65536},
        {"securityVersion": None},
        {"debug": "no"},
        {"files": []},
        {"files": ["missing.py"]},
        {"files": "app.py"},
        {"argv": [1]},
    ],
)
def test_refused_descriptions(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A description that leaves something open is refused."""
    with pytest.raises(MeasureError):
        measure(write(tmp_path, **changes))


def test_signer_of_a_real_key() -> None:
    """MRSIGNER is SHA-256 of the little-endian modulus, from either half of the key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    numbers = rsa.RSAPublicNumbers(3, (1 << 3071) + 1)
    public = numbers.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    small = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    assert signer_of_pem(public) == hashlib.sha256(b"\1" + bytes(382) + b"\x80").digest()
    for bad in (b"", b"junk", small):
        with pytest.raises(MeasureError):
            signer_of_pem(bad)


def test_a_package_can_be_measured() -> None:
    """The modules of an installed package are found under the package's own name."""
    package = Path(marbleops.attestation.__file__).parent
    files = python_files(package)

    assert "attestation/platform/measure.py" in files
    assert len(measure_files(files)) == 32


def test_bad_config_files(tmp_path: Path) -> None:
    """A file that is missing or not JSON is named in the error."""
    path = tmp_path / "enclave.json"
    with pytest.raises(MeasureError, match=str(path)):
        measure(path)
    path.write_text("{")
    with pytest.raises(MeasureError, match=str(path)):
        measure(path)
