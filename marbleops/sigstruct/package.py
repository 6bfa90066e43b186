"""Find the SIGSTRUCT of an enclave as it was built: a file or a folder (marblerun-api-cli-k8s 2).

EGo and Open Enclave keep it in the ELF section ``.oeinfo``, Gramine in a ``.sig`` file of its own, Occlum in
the section ``.note.sgxmeta`` of its library OS. Inside a section it is found by its first 16 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marbleops.sigstruct.elf import MAGIC, read_section
from marbleops.sigstruct.layout import HEADER, SIZE, PackageProperties, SigstructError, read_sigstruct

if TYPE_CHECKING:
    from pathlib import Path

OCCLUM_LIBRARY = "build/lib/libocclum-libos.signed.so"
MAX_FOLDER_ENTRIES = 10_000
MAX_CANDIDATES = 64
_SECTIONS = (".oeinfo", ".note.sgxmeta")


def folder_kind(path: Path) -> str | None:
    """Tell what a folder holds: ``Occlum image`` or ``Gramine instance``; None for a file."""
    if not path.is_dir():
        return None
    return "Occlum image" if (path / OCCLUM_LIBRARY).is_file() else "Gramine instance"


def read_package(path: Path) -> PackageProperties:
    """Read the identity of the enclave at *path*: an executable, a ``.sig`` file, or a folder with either.

    Raises:
        SigstructError: there is none, or several.
        OSError: the file cannot be read.
    """
    file = _in_folder(path) if path.is_dir() else path
    with file.open("rb") as opened:
        start = opened.read(SIZE + 1)
        if start[:4] != MAGIC:
            return read_sigstruct(start)
        found = read_section(opened, _SECTIONS)
    if found is None:
        raise SigstructError(f"the ELF file has no section {' or '.join(_SECTIONS)}: it is no signed enclave")
    return _in_section(*found)


def _in_folder(folder: Path) -> Path:
    occlum = folder / OCCLUM_LIBRARY
    if occlum.is_file():
        return occlum
    signatures: list[Path] = []
    for seen, entry in enumerate(folder.iterdir(), 1):
        if seen > MAX_FOLDER_ENTRIES:
            raise SigstructError(f"the folder has more than {MAX_FOLDER_ENTRIES} entries: name the file")
        if entry.suffix == ".sig" and entry.is_file():
            signatures.append(entry)
    if len(signatures) == 1:
        return signatures[0]
    if signatures:
        names = ", ".join(sorted(one.name for one in signatures[:8]))
        raise SigstructError(
            f"the folder holds {len(signatures)} .sig files ({names}): name the one you mean"
        )
    raise SigstructError(f"the folder holds neither a .sig file (Gramine) nor {OCCLUM_LIBRARY} (Occlum)")


def _in_section(name: str, raw: bytes) -> PackageProperties:
    """Return the first good SIGSTRUCT; sixteen bytes may look like one by chance, a signature does not."""
    problem = SigstructError(f"the section {name} holds no SIGSTRUCT: the enclave is not signed yet")
    start = -1
    for _ in range(MAX_CANDIDATES):
        start = raw.find(HEADER, start + 1)
        if start < 0:
            break
        try:
            return read_sigstruct(raw[start : start + SIZE])
        except SigstructError as error:
            problem = error
    raise problem
