"""What AMD publishes about a platform: certificates and revocation lists, in no particular order (1.4).

They come from files as KDS serves them, or from the table that configfs-TSM calls ``auxblob``. Several
platforms' may lie together; ``chain`` finds the ones that a report needs.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from marbleops.attestation import der, limits
from marbleops.attestation.collateral import CollateralError
from marbleops.attestation.snp.certificate import (
    Certificate,
    RevocationList,
    parse_certificate,
    parse_revocation_list,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VCEK_GUID: Final = UUID("63da758d-e664-4564-adc5-f4b93be8accd")
VLEK_GUID: Final = UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1")
ASK_GUID: Final = UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782")  # of the ASVK, too
ARK_GUID: Final = UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae")
CRL_GUID: Final = UUID("92f81bc3-5811-4d3d-97ff-d19f88dc67ea")
_GUIDS = (VCEK_GUID, VLEK_GUID, ASK_GUID, ARK_GUID, CRL_GUID)
_ENTRY_BYTES = 24
_MAX_TABLE_ENTRIES = 32
_PEM = re.compile(rb"-----BEGIN (CERTIFICATE|X509 CRL)-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_PEM_BLOCK = re.compile(rb"^-----BEGIN ", re.MULTILINE)
_Named = tuple[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpEndorsements:
    """Certificates and revocation lists, each only once. Nothing about them is verified yet."""

    certificates: tuple[Certificate, ...]
    revocation_lists: tuple[RevocationList, ...] = ()

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> SnpEndorsements:
        """Read files in PEM or DER, by name; a file that holds something else is passed over.

        Raises ``CollateralError``, naming the file, where one begins as such and is none.
        """
        return _collect(named for file in sorted(files.items()) for named in _documents(*file))

    @classmethod
    def from_table(cls, table: bytes) -> SnpEndorsements:
        """Read the certificate table of an extended report request; raises ``CollateralError``."""
        if len(table) > limits.MAX_SNP_TABLE_BYTES:
            raise CollateralError(f"certificate table is longer than {limits.MAX_SNP_TABLE_BYTES} bytes")
        return _collect((f"entry {guid}", document) for guid, document in read_table(table))


def read_table(table: bytes) -> Iterator[tuple[UUID, bytes]]:
    """Give the entries of a certificate table with a known identifier; raises ``CollateralError``."""
    left = len(table)  # no byte belongs to two documents
    for index in range(_MAX_TABLE_ENTRIES):
        entry = table[index * _ENTRY_BYTES : (index + 1) * _ENTRY_BYTES]
        if len(entry) < _ENTRY_BYTES:
            raise CollateralError("certificate table has no end")
        if not any(entry):
            return
        offset, size = (int.from_bytes(entry[at : at + 4], "little") for at in (16, 20))
        left -= size
        if offset + size > len(table) or left < 0:
            raise CollateralError(f"entry {index} of the certificate table lies outside of it")
        if (guid := UUID(bytes=entry[:16])) in _GUIDS:
            yield guid, table[offset : offset + size]
    raise CollateralError(f"certificate table has more than {_MAX_TABLE_ENTRIES} entries")


def write_table(entries: Iterable[tuple[UUID, bytes]]) -> bytes:
    """Return the certificate table with these entries."""
    listed = list(entries)
    head, body = b"", b""
    begin = (len(listed) + 1) * _ENTRY_BYTES
    for guid, document in listed:
        place = (begin + len(body)).to_bytes(4, "little") + len(document).to_bytes(4, "little")
        head += guid.bytes + place
        body += document
    return head + bytes(_ENTRY_BYTES) + body


def _documents(name: str, content: bytes) -> Iterator[_Named]:
    if blocks := len(_PEM_BLOCK.findall(content)):
        bodies = [body for _, body in _PEM.findall(content)]
        if len(bodies) != blocks:
            raise CollateralError(f"{name}: not all PEM blocks are certificates or revocation lists")
        try:
            yield from ((name, base64.b64decode(b"".join(body.split()), validate=True)) for body in bodies)
        except ValueError as error:
            raise CollateralError(f"{name}: {error}") from error
    elif content[:1] == bytes([der.SEQUENCE]):
        yield name, content


def _collect(documents: Iterable[_Named]) -> SnpEndorsements:
    certificates: dict[bytes, Certificate] = {}
    lists: dict[bytes, RevocationList] = {}
    for name, document in documents:
        try:
            # As KDS serves them: one document, nothing behind it but zeros.
            exact = document[: der.total_length(document)]
            if any(document[len(exact) :]):
                raise der.DerError("bytes follow it")
            if _is_list(exact):
                lists[exact] = parse_revocation_list(exact)
            else:
                certificates[exact] = parse_certificate(exact)
        except der.DerError as error:
            text = f"{name}: not a certificate or revocation list of AMD's kind: {error}"
            raise CollateralError(text) from error
        if len(certificates) > limits.MAX_SNP_CERTIFICATES or len(lists) > limits.MAX_SNP_CRLS:
            raise CollateralError(
                f"more than {limits.MAX_SNP_CERTIFICATES} certificates"
                f" or {limits.MAX_SNP_CRLS} revocation lists"
            )
    return SnpEndorsements(certificates=tuple(certificates.values()), revocation_lists=tuple(lists.values()))


def _is_list(document: bytes) -> bool:
    # RFC 5280: what is signed begins with the version, in a certificate as a tagged member.
    outer = der.read_all(der.read_one(document, der.SEQUENCE))
    inner = der.read_all(der.expect(outer[0], der.SEQUENCE)) if outer else ()
    return bool(inner) and inner[0].tag == der.INTEGER
