"""A directory that behaves like Gramine's /dev/attestation, over a simulated machine.

Quotes are made by the simulated machine's quoting key, so they end in its root and never in Intel's. A
microcode update changes the processor's security version in reports and quotes, and both sealing keys.

``FakeProcessor.open`` is an opener for tests in one process; ``Fifos`` puts the same thing into the file
system, for a process that runs the real code.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from coordinator.adapters.attestation_files import AttestationDirectory
from coordinator.adapters.gramine import Hardware
from coordinator.adapters.simulation import own_identity
from marbleops.attestation.platform import softquote
from marbleops.attestation.platform.softpki import sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from marbleops.attestation.platform.base import EnclaveIdentity
    from marbleops.attestation.platform.simulation import SimulationPlatform

REPORT_DATA = "user_report_data"
_HEADER, _SIGNED, _OE_HEADER = 48, 432, 16


@dataclass(slots=True)
class FakeProcessor:
    """One enclave on one machine. ``errors`` is how opening a file fails, ``answers`` replaces content."""

    machine: SimulationPlatform
    identity: EnclaveIdentity = field(default_factory=own_identity)
    attestation_type: str = "dcap"
    errors: dict[str, int] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    between: Callable[[], None] = lambda: None
    """Called before a quote is made: the moment at which another thread could change what is attested."""
    report_data: bytes = bytes(64)
    _written: int | None = None

    def directory(self, path: Path) -> AttestationDirectory:
        """Return the adapter's directory over this processor; nothing of it is at *path*."""
        return AttestationDirectory(path, opener=lambda name, flags: self.open(str(path), name, flags))

    def hardware(self, path: Path) -> Hardware:
        """Return this processor, with the machine's own root in Intel's place."""
        return Hardware(directory=self.directory(path), anchors=self.machine.anchors())

    def open(self, root: str, name: str, flags: int) -> int:
        """Open a file as ``os.open``; content is read and taken over at open and close, as Gramine does."""
        short = name.removeprefix(f"{root}/")
        if short in self.errors:
            raise OSError(self.errors[short], os.strerror(self.errors[short]), name)
        self.take_over()
        if flags & os.O_ACCMODE == os.O_WRONLY:
            if short != REPORT_DATA:
                raise PermissionError(errno.EACCES, "read-only", name)
            held = os.memfd_create("user_report_data")
            self._written = held
            return os.dup(held)
        content = self.content(short)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)
        return reader

    def take_over(self) -> None:
        """Take what was written to user_report_data, padded with zeros."""
        if self._written is not None:
            held, self._written = self._written, None
            self.attest(os.pread(held, 64, 0))
            os.close(held)

    def attest(self, data: bytes) -> None:
        """Set the report data."""
        self.report_data = data[:64].ljust(64, b"\0")

    def content(self, name: str) -> bytes | None:
        """Return what a file holds now; None where there is no such file."""
        if name in self.answers:
            return self.answers[name]
        if name == "attestation_type":
            return self.attestation_type.encode()
        if name == "report":
            return self._quote()[_HEADER:_SIGNED] + bytes(48)
        if name == "quote" and self.attestation_type == "dcap":
            self.between()
            return self._quote()
        if name == "keys/_sgx_mrenclave":
            return self.machine.sealing_key(self.identity, policy="unique")[:16]
        if name == "keys/_sgx_mrsigner":
            return self.machine.sealing_key(self.identity, policy="product")[:16]
        return None

    def cpu_svn(self) -> bytes:
        """Return the processor's security version; each microcode update raises it."""
        return bytes([5 + self.machine.microcode()]) + bytes(15)

    def _quote(self) -> bytes:
        issuer = self.machine.issuer(self.identity)
        assert isinstance(issuer, softquote.SimulatedIssuer)
        made = issuer.quote(self.report_data)[_OE_HEADER:]
        signed = made[:_HEADER] + self.cpu_svn() + made[_HEADER + 16 : _SIGNED]
        signature = sign(issuer._key, signed)
        return signed + made[_SIGNED : _SIGNED + 4] + signature + made[_SIGNED + 4 + 64 :]


class Fifos:
    """The processor's directory in the file system: pipes for what is made when read, files for keys."""

    def __init__(self, processor: FakeProcessor, path: Path) -> None:
        self.path = path
        self._processor = processor
        self._one = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._serve, args=(name,)) for name in ("report", "quote")]

    def __enter__(self) -> Self:
        (self.path / "keys").mkdir(parents=True)
        (self.path / "attestation_type").write_text(self._processor.attestation_type)
        self.write_keys()
        for name in (REPORT_DATA, "report", "quote"):
            os.mkfifo(self.path / name)
        self._asked = os.open(self.path / REPORT_DATA, os.O_RDWR | os.O_NONBLOCK)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread, name in zip(self._threads, ("report", "quote"), strict=True):
            while thread.is_alive():
                os.close(os.open(self.path / name, os.O_RDONLY | os.O_NONBLOCK))
                thread.join(0.02)
        os.close(self._asked)

    def write_keys(self) -> None:
        """Put the keys of the processor's security version of now there."""
        for name in ("keys/_sgx_mrenclave", "keys/_sgx_mrsigner"):
            (self.path / name).write_bytes(self._processor.content(name) or b"")

    def _serve(self, name: str) -> None:
        path = self.path / name
        while True:
            descriptor = os.open(path, os.O_WRONLY)  # returns when somebody reads
            try:
                if self._stopped.is_set():
                    return
                with self._one:
                    self._take_over()
                    content = self._processor.content(name) or b""
                # The next reader gets a pipe of its own: this one must see an end.
                fresh = path.with_name(f"{name}.next")
                os.mkfifo(fresh)
                fresh.rename(path)
                with contextlib.suppress(BrokenPipeError):
                    os.write(descriptor, content)
            finally:
                os.close(descriptor)

    def _take_over(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while written := os.read(self._asked, 4096):
                self._processor.attest(written[-64:])
