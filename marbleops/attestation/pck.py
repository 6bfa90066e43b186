"""The SGX extension of a PCK certificate: which machine, at which component versions (attestation.md 5.2).

Members are identified by their object identifiers, each at most once, all mandatory ones present, every value
of the exact type and size. Members Intel may add later are ignored; a changed one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from marbleops.attestation import der, limits

EXTENSION_OID: Final = "1.2.840.113741.1.13.1"
_PREFIX: Final = bytes.fromhex("2a864886f84d010d01")  # contents of EXTENSION_OID
_PPID, _TCB, _PCE_ID, _FMSPC, _SGX_TYPE, _INSTANCE, _FLAGS = (_PREFIX + bytes([n]) for n in range(1, 8))
_DYNAMIC, _CACHED_KEYS, _SMT = (_FLAGS + bytes([n]) for n in range(1, 4))
_COMPONENTS = tuple(_TCB + bytes([n]) for n in range(1, 17))
_PCE_SVN = _TCB + bytes([17])
_CPU_SVN = _TCB + bytes([18])


@dataclass(frozen=True, slots=True, kw_only=True)
class PckExtension:
    """What the processor's certificate says about its platform; the platform CA alone says the last four."""

    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    cpu_svn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: int
    instance_id: bytes | None = None
    dynamic: bool | None = None
    cached_keys: bool | None = None
    smt: bool | None = None


def parse_pck_extension(value: bytes) -> PckExtension:
    """Parse the extension's value; raises ``der.DerError``."""
    if len(value) > limits.MAX_EXTENSION_BYTES:
        raise der.DerError(f"SGX extension is longer than {limits.MAX_EXTENSION_BYTES} bytes")
    members = _members(der.read_one(value, der.SEQUENCE))
    tcb = _members(der.expect(_member(members, _TCB, "TCB"), der.SEQUENCE))
    if set(tcb) != {*_COMPONENTS, _PCE_SVN, _CPU_SVN}:
        raise der.DerError("TCB must have 16 components, PCESVN and CPUSVN, and nothing else")
    components = tuple(der.unsigned(tcb[oid]) for oid in _COMPONENTS)
    pce_svn = der.unsigned(tcb[_PCE_SVN])
    if max(components) > 0xFF or pce_svn > 0xFFFF:
        raise der.DerError("a security version is out of range")
    switches = _members(der.expect(members[_FLAGS], der.SEQUENCE)) if _FLAGS in members else {}
    return PckExtension(
        ppid=der.octets(_member(members, _PPID, "PPID"), 16),
        components=components,
        pce_svn=pce_svn,
        cpu_svn=der.octets(tcb[_CPU_SVN], 16),
        pce_id=der.octets(_member(members, _PCE_ID, "PCEID"), 2),
        fmspc=der.octets(_member(members, _FMSPC, "FMSPC"), 6),
        sgx_type=der.unsigned(_member(members, _SGX_TYPE, "SGX type"), tag=der.ENUMERATED),
        instance_id=der.octets(members[_INSTANCE], 16) if _INSTANCE in members else None,
        dynamic=_switch(switches, _DYNAMIC),
        cached_keys=_switch(switches, _CACHED_KEYS),
        smt=_switch(switches, _SMT),
    )


def _members(content: bytes) -> dict[bytes, der.Element]:
    members: dict[bytes, der.Element] = {}
    for entry in der.read_all(content):
        pair = der.read_all(der.expect(entry, der.SEQUENCE))
        if len(pair) != 2:
            raise der.DerError("a member is not a pair of identifier and value")
        oid = der.expect(pair[0], der.OBJECT_IDENTIFIER)
        if oid in members:
            raise der.DerError("a member occurs twice")
        members[oid] = pair[1]
    return members


def _switch(members: dict[bytes, der.Element], oid: bytes) -> bool | None:
    return der.boolean(members[oid]) if oid in members else None


def _member(members: dict[bytes, der.Element], oid: bytes, name: str) -> der.Element:
    if oid not in members:
        raise der.DerError(f"{name} is missing")
    return members[oid]
