"""One section of a 64-bit little-endian ELF file, without reading the rest: enclaves weigh hundreds of MB."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from marbleops.sigstruct.layout import SigstructError

MAX_SECTIONS = 4096
MAX_NAMES_BYTES = 1024 * 1024
MAX_SECTION_BYTES = 64 * 1024 * 1024
MAGIC = b"\x7fELF"
_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")


@dataclass(frozen=True, slots=True)
class _Section:
    name: int
    offset: int
    size: int


def read_section(file: BinaryIO, wanted: tuple[str, ...]) -> tuple[str, bytes] | None:
    """Return the first section whose name is in *wanted*, with its name; None where there is none.

    Raises:
        SigstructError: it is no such ELF file, is cut off, or exceeds a limit.
    """
    sections, names_index = _sections(file)
    if not sections:
        return None
    if names_index >= len(sections):
        raise SigstructError("the ELF file's table of names is missing")
    names = _read(file, sections[names_index], limit=MAX_NAMES_BYTES)
    for section in sections:
        end = names.find(b"\0", section.name)
        name = names[section.name : end].decode("latin-1") if end >= 0 else ""
        if name in wanted:
            return name, _read(file, section, limit=MAX_SECTION_BYTES)
    return None


def _sections(file: BinaryIO) -> tuple[list[_Section], int]:
    file.seek(0)
    raw = file.read(_FILE_HEADER.size)
    if len(raw) != _FILE_HEADER.size or raw[:4] != MAGIC:
        raise SigstructError("not an ELF file")
    header = _FILE_HEADER.unpack(raw)
    if raw[4] != 2 or raw[5] != 1:
        raise SigstructError("not a 64-bit little-endian ELF file")
    offset, entry_size, count, names_index = header[6], header[11], header[12], header[13]
    if offset == 0:
        return [], 0
    if entry_size != _SECTION_HEADER.size or not 0 < count <= MAX_SECTIONS:
        raise SigstructError("the ELF file's section table is not of the known form")
    file.seek(offset)
    table = file.read(entry_size * count)
    if len(table) != entry_size * count:
        raise SigstructError("the ELF file is cut off")
    rows = _SECTION_HEADER.iter_unpack(table)
    return [_Section(name=row[0], offset=row[4], size=row[5]) for row in rows], names_index


def _read(file: BinaryIO, section: _Section, *, limit: int) -> bytes:
    if section.size > limit:
        raise SigstructError(f"a section of the ELF file is larger than {limit} bytes")
    file.seek(section.offset)
    raw = file.read(section.size)
    if len(raw) != section.size:
        raise SigstructError("the ELF file is cut off")
    return raw
