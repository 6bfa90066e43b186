"""What this machine has for attestation, seen from its devices, and one quote of it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

GRAMINE: Final = "dev/attestation"
TSM: Final = "sys/kernel/config/tsm/report"
AESM_SOCKET: Final = "var/run/aesmd/aesm.socket"
_DEVICES: Final = (
    ("dev/sgx_enclave", "an SGX machine (in-kernel driver)"),
    ("dev/isgx", "an SGX machine with the old driver, which does not do ECDSA quotes"),
    ("dev/tdx_guest", "a TDX trust domain"),
    ("dev/sev-guest", "an SEV-SNP guest"),
)
_MAX_TSM_BYTES: Final = 32 * 1024
_TSM_ENTRY: Final = "marbleops-doctor"


class NoQuoteError(Exception):
    """The machine gave no quote; the text says why, ``to_do`` what helps."""

    def __init__(self, why: str, *, to_do: str) -> None:
        super().__init__(why)
        self.to_do = to_do


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The kinds of platform that were found, below *root*."""

    root: Path
    kinds: tuple[str, ...]
    gramine: bool
    tsm: bool
    aesm: bool

    @property
    def sgx_host(self) -> bool:
        """Tell whether enclaves can run here, while this process is none."""
        return not self.gramine and any("SGX" in kind for kind in self.kinds)


def look(root: Path) -> Machine:
    """Look which devices there are; nothing is opened."""
    found = [words for name, words in _DEVICES if (root / name).exists()]
    gramine = (root / GRAMINE / "attestation_type").exists()
    return Machine(
        root=root,
        kinds=tuple((["an enclave under Gramine"] if gramine else []) + found),
        gramine=gramine,
        tsm=(root / TSM).is_dir(),
        aesm=(root / AESM_SOCKET).exists(),
    )


def quote_of(machine: Machine, report_data: bytes) -> bytes:
    """Ask the machine for evidence over *report_data*.

    Raises:
        NoQuoteError: it gives none to this process.
    """
    if machine.gramine:
        return _gramine(machine.root / GRAMINE, report_data)
    if machine.tsm and not machine.sgx_host:
        return _tsm(machine.root / TSM / _TSM_ENTRY, report_data)
    if machine.sgx_host:
        raise NoQuoteError(
            "quotes are made inside an enclave, and this process is none",
            to_do="start an enclave here and run the doctor in it, or give its quote to attest explain",
        )
    raise NoQuoteError(
        "there is no device for quotes",
        to_do="use a machine with SGX, TDX or SEV-SNP; for trying out: marbleops simulation init DIR",
    )


def _gramine(folder: Path, report_data: bytes) -> bytes:
    from coordinator.adapters.attestation_files import AttestationDirectory
    from coordinator.errors import PlatformError

    directory = AttestationDirectory(folder)
    try:
        kind = directory.attestation_type()
        if kind != "dcap":
            raise NoQuoteError(
                f"Gramine was told to attest by {kind!r}, not by 'dcap'",
                to_do='sign the manifest anew with sgx.remote_attestation = "dcap"',
            )
        return directory.quote(report_data)
    except PlatformError as error:
        raise NoQuoteError(str(error), to_do="see docs/gramine.md") from error


def _tsm(entry: Path, report_data: bytes) -> bytes:
    """Ask the kernel: a new folder is a request, whose files appear with it (configfs-tsm)."""
    try:
        entry.mkdir(exist_ok=True)
        try:
            (entry / "inblob").write_bytes(report_data.ljust(64, b"\0"))
            with (entry / "outblob").open("rb") as file:
                return file.read(_MAX_TSM_BYTES)
        finally:
            with suppress(OSError):
                os.rmdir(entry)  # noqa: PTH106  configfs: only the folder itself can be removed
    except OSError as error:
        raise NoQuoteError(
            f"the kernel gives no report: {error.strerror} ({error.filename})",
            to_do="run as root, and look whether the guest driver (tdx_guest, sev-guest) and the host's "
            "quote service are there",
        ) from error
