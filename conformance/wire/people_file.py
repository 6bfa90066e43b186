"""The people of the cases as data, so that a runner in another language needs no key derivation."""

from __future__ import annotations

from conformance.wire.recovery_keys import RECOVERY_KEYS
from conformance.wire.users import NAMES, People


def people_document() -> dict[str, object]:
    """Return certificates and keys of all users and recovery keys as PEM. INSECURE TEST KEYS."""
    people = People()
    return {
        "insecure": "test keys: everybody has them",
        "users": {
            name: {"certificate": people.certificate_pem(name), "key": people.key_pem(name)} for name in NAMES
        },
        "recoveryKeys": {
            name: {"public": people.recovery_public_pem(name), "private": private}
            for name, private in RECOVERY_KEYS.items()
        },
    }
