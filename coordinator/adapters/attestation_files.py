"""Gramine's ``/dev/attestation``: small files that are the processor (attestation.md 1.5).

What is to be attested is written to one file before another is read, so both steps together are one caller's
turn; Gramine says that it does not serialize them. Every failure names the file, what the system said, and
what to look at.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Final

from coordinator.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Opener = Callable[[str, int], int]

REPORT_DATA_BYTES: Final = 64
REPORT_BYTES: Final = 432
MAX_QUOTE_BYTES: Final = 8192
"""Gramine's own limit."""
KEY_BYTES: Final = 16
_MAX_TYPE_BYTES: Final = 64

_TYPE, _REPORT_DATA, _REPORT, _QUOTE = "attestation_type", "user_report_data", "report", "quote"
_KEYS = "keys/"
_NOT_INSIDE = "this process does not run in an enclave; start it with gramine-sgx (deploy/gramine/README.md)"
_NO_QUOTING = (
    "the quoting service did not answer; look whether aesmd runs on the host, whether its socket "
    "/var/run/aesmd/aesm.socket is in the container, and what its log says about the quote provider and PCCS"
)
_NO_DCAP = 'the manifest was signed without sgx.remote_attestation = "dcap"; sign it anew with it'
_NO_KEYS = "Gramine gives no sealing key; it has them under SGX only, from version 1.3 on"
_ADVICE: Final = {
    (_TYPE, errno.ENOENT): _NOT_INSIDE,
    (_REPORT, errno.ENOENT): _NOT_INSIDE,
    (_REPORT_DATA, errno.ENOENT): _NOT_INSIDE,
    (_QUOTE, errno.ENOENT): _NO_DCAP,
    (_QUOTE, errno.EACCES): _NO_QUOTING,
    (_KEYS, errno.ENOENT): _NO_KEYS,
}
_OTHERWISE = "see docs/gramine.md, 'When it does not start'"


class AttestationDirectory:
    """The directory. For any number of threads. *opener* is for tests; it works as ``os.open``."""

    def __init__(self, path: Path, *, opener: Opener = os.open) -> None:
        self.path = path
        self._opener = opener
        self._turn = threading.Lock()

    def attestation_type(self) -> str:
        """Return what kind of quotes there are: ``dcap``, or ``none``.

        Raises:
            PlatformError: this is no enclave of Gramine's.
        """
        return self._read(_TYPE, _MAX_TYPE_BYTES).decode("ascii", "replace").strip()

    def is_enclave(self) -> bool:
        """Say whether this process runs where quotes of hardware are to be had, without any complaint."""
        try:
            return self.attestation_type() == "dcap"
        except PlatformError:
            return False

    def report(self) -> bytes:
        """Return a report of the processor on this enclave, for this enclave.

        Raises:
            PlatformError: there is none.
        """
        with self._turn:
            self._write(_REPORT_DATA, bytes(REPORT_DATA_BYTES))
            return self._exactly(_REPORT, REPORT_BYTES)

    def quote(self, report_data: bytes) -> bytes:
        """Return a raw quote over *report_data*, padded with zeros. Each is a question to the host.

        Raises:
            PlatformError: there is none.
        """
        if len(report_data) > REPORT_DATA_BYTES:
            raise ValueError(f"report data is at most {REPORT_DATA_BYTES} bytes, not {len(report_data)}")
        with self._turn:
            self._write(_REPORT_DATA, report_data.ljust(REPORT_DATA_BYTES, b"\0"))
            return self._read(_QUOTE, MAX_QUOTE_BYTES)

    def key(self, name: str) -> bytes:
        """Return one of the processor's sealing keys.

        Raises:
            PlatformError: there is none, or it is none.
        """
        key = self._exactly(f"{_KEYS}{name}", KEY_BYTES)
        if not any(key):
            raise PlatformError(f"{self.path / _KEYS / name} is all zeros, which no processor's key is")
        return key

    def _exactly(self, name: str, size: int) -> bytes:
        content = self._read(name, size)
        if len(content) != size:
            raise PlatformError(f"{self.path / name} has {len(content)} bytes, not {size}: {_OTHERWISE}")
        return content

    def _read(self, name: str, limit: int) -> bytes:
        content = b""
        try:
            descriptor = self._opener(os.fspath(self.path / name), os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                while len(content) <= limit and (part := file.read(limit + 1 - len(content))):
                    content += part
        except OSError as error:
            raise self._failure("read", name, error) from error
        if len(content) > limit:
            raise PlatformError(f"{self.path / name} is longer than {limit} bytes: {_OTHERWISE}")
        return content

    def _write(self, name: str, content: bytes) -> None:
        try:
            descriptor = self._opener(os.fspath(self.path / name), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            # Gramine takes the bytes over when the file is closed: that can fail too.
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                written = file.write(content)
        except OSError as error:
            raise self._failure("write", name, error) from error
        if written != len(content):
            raise PlatformError(f"{self.path / name} took {written} of {len(content)} bytes: {_OTHERWISE}")

    def _failure(self, verb: str, name: str, error: OSError) -> PlatformError:
        number = error.errno or 0
        kind = _KEYS if name.startswith(_KEYS) else name
        said = f"{errno.errorcode.get(number, str(number))}, {error.strerror}"
        return PlatformError(
            f"cannot {verb} {self.path / name} ({said}): {_ADVICE.get((kind, number), _OTHERWISE)}"
        )
