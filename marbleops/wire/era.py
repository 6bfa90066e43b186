"""MarbleRun's *era* file: which Coordinator a client expects, as JSON (marblerun-api-cli-k8s 2)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from marbleops.attestation.appraisal import ReferenceValues

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ERA_CHARACTERS = 64 * 1024
_IDENTITY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_MEMBERS = frozenset(
    {
        "UniqueID",
        "SignerID",
        "ProductID",
        "SecurityVersion",
        "Debug",
        "AcceptedTCBStatuses",
        "AcceptedAdvisories",
    }
)


class EraError(ValueError):
    """The file does not say which enclave is meant; the text says what is wrong."""


def read_era(text: str) -> ReferenceValues:
    """Read an era file. Names are exact and unknown ones are refused: a typo must not widen what is accepted.

    Raises:
        EraError: not an object of these members, or it pins neither UniqueID nor signer, product and version.
    """
    if len(text) > MAX_ERA_CHARACTERS:
        raise EraError(f"longer than {MAX_ERA_CHARACTERS} characters")
    try:
        given = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise EraError("nested too deeply") from error
    except EraError:
        raise
    except ValueError as error:
        raise EraError(f"not JSON: {error}") from error
    if not isinstance(given, dict):
        raise EraError("expected an object")
    if unknown := sorted(set(given) - _MEMBERS):
        raise EraError(f"unknown member {unknown[0]!r}; known are {', '.join(sorted(_MEMBERS))}")
    values = ReferenceValues(
        debug=_flag(given),
        unique_id=_identity(given, "UniqueID"),
        signer_id=_identity(given, "SignerID"),
        product_id=_number(given, "ProductID"),
        security_version=_number(given, "SecurityVersion"),
        accepted_tcb_statuses=_words(given, "AcceptedTCBStatuses"),
        accepted_advisories=_words(given, "AcceptedAdvisories"),
    )
    by_signer = (values.signer_id, values.product_id, values.security_version)
    if values.unique_id is None and None in by_signer:
        raise EraError("give UniqueID, or SignerID with ProductID and SecurityVersion")
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EraError("a member stands twice")
    return found


def _flag(given: Mapping[str, Any]) -> bool:
    flag = given.get("Debug", False)
    if not isinstance(flag, bool):
        raise EraError("Debug: expected true or false")
    return flag


def _identity(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or _IDENTITY.fullmatch(value) is None:
        raise EraError(f"{name}: expected 64 hexadecimal digits")
    return value.lower()


def _number(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0xFFFF:
        raise EraError(f"{name}: expected an integer from 0 to 65535")
    return value


def _words(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise EraError(f"{name}: expected a list of strings")
    return tuple(value)
