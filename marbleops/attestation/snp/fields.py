"""The fields of a report for people and for JSON: hex, numbers, and the names of the bits that are set."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from marbleops.attestation.snp.report import GuestPolicy, PlatformInfo, SnpTcb

if TYPE_CHECKING:
    from enum import IntFlag

    from marbleops.attestation.snp.report import SnpReport

Value = str | int | bool | dict[str, int] | list[str] | None


def report_fields(report: SnpReport) -> dict[str, Value]:
    """Return the fields of ``report`` under their names, in the order of the report.

    The guest policy and the platform information come twice: as a number, and as names of bits.
    """
    shown: dict[str, Value] = {}
    for field in fields(report):
        shown[field.name] = _value(getattr(report, field.name))
        if field.name == "policy":
            shown["policy_bits"] = policy_words(report)
        elif field.name == "platform_info":
            shown["platform_info_bits"] = names_of(report.platform_info, PlatformInfo)
    return shown


def policy_words(report: SnpReport) -> list[str]:
    """Return what the guest policy allows and asks for: the version of the ABI, then names of bits."""
    major, minor = report.abi()
    return [f"ABI {major}.{minor}", *names_of(report.policy, GuestPolicy)]


def names_of(bits: int, flags: type[IntFlag]) -> list[str]:
    """Return the names of the bits that are set, those without a name left out."""
    return [flag.name for flag in flags if bits & flag and flag.name]


def _value(value: object) -> Value:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, SnpTcb):
        return {name: level for name, level in asdict(value).items() if level is not None}
    if isinstance(value, tuple):  # versions of firmware, and the processor's family, model, stepping
        return ".".join(map(str, value))
    if isinstance(value, str | int | None):
        return value
    raise TypeError(f"a report has no {type(value).__name__}")
