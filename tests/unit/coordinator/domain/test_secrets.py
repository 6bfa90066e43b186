"""Secrets: the golden derivations of marblerun-core 13.1, what is stored, and what is refused when set."""

from __future__ import annotations

import pytest

from coordinator.domain.secrets import (
    Material,
    check_definitions,
    create_stored,
    derive_private,
    for_marble,
    same_definition,
)
from coordinator.errors import ManifestRefusedError, NotSupportedYetError
from marbleops.manifest.model import Secret
from tests.fakes.small_world import FakeEntropy

ROOT_SECRET = bytes(range(32))
UUID = "02030400-0000-4000-8000-0000000000ab"
LONG = (
    "009a36f4c438f971691e95db17e350d3a86fabea30ced9c396be68d9b0bccb53fa531b643dd1c44de10223ecc8dff6c7"
    "6f89447c8279b8039db45c7bfee5386089"
)


@pytest.mark.parametrize(
    ("name", "marble", "size", "key"),
    [
        (
            "symmetricKeyPrivate",
            "frontend",
            256,
            "d6d9991ac5dd1745be3ad4ab53165aa6c10dbc6d68db69ae4a5604affa55fd55",
        ),
        ("symmetricKeyPrivate", "", 256, "a578352f132e39d0003846439bbac63bfa2bb64abbabdfd24c9d9b8f5413dbc9"),
        ("k", "m", 128, "009a36f4c438f971691e95db17e350d3"),
        ("k", "m", 8, "00"),
        ("k", "m", 520, LONG),
    ],
)
def test_golden_derivations(name: str, marble: str, size: int, key: str) -> None:
    """The same keys as MarbleRun derives."""
    derived = derive_private(root_secret=ROOT_SECRET, uuid=UUID, name=name, marble_name=marble, size=size)
    assert derived.hex() == key


@pytest.mark.parametrize("size", [0, 7, 65288])
def test_impossible_sizes(size: int) -> None:
    """No bytes, part of a byte, or more than HKDF gives: an error."""
    with pytest.raises(ValueError, match="invalid secret size"):
        derive_private(root_secret=ROOT_SECRET, uuid=UUID, name="k", marble_name="m", size=size)


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (Secret(type="symmetric-key", size=0), "invalid secret size: s"),
        (Secret(type="symmetric-key", size=12), "invalid secret size: s"),
        (Secret(type="symmetric-key", size=65288), "requested key length too large"),
        (Secret(type="plain"), "unsupported secret of type plain"),
    ],
)
def test_refused_when_set(definition: Secret, words: str) -> None:
    """What could never be generated is refused when the manifest is set."""
    with pytest.raises(ManifestRefusedError, match=words):
        check_definitions({"s": definition})


@pytest.mark.parametrize("user_defined", [True, False])
@pytest.mark.parametrize("kind", ["cert-rsa", "cert-ecdsa", "cert-ed25519"])
def test_certificate_secrets_come_later(kind: str, user_defined: bool) -> None:
    """Certificate secrets are refused with the name of what brings them."""
    with pytest.raises(NotSupportedYetError, match="A drop-in MarbleRun Coordinator"):
        check_definitions({"s": Secret(type=kind, size=256, user_defined=user_defined)})


def test_accepted_definitions() -> None:
    """Symmetric keys of any whole size, and user-defined secrets of any size, are accepted."""
    check_definitions(
        {
            "a": Secret(type="symmetric-key", size=65280),
            "b": Secret(type="plain", user_defined=True),
            "c": Secret(type="symmetric-key", size=0, user_defined=True),
        }
    )


def test_what_is_stored() -> None:
    """Shared keys are stored, private ones are not, user-defined ones start with their preset."""
    random = FakeEntropy().bytes
    shared = create_stored(Secret(type="symmetric-key", size=128, shared=True), random)
    assert len(shared.private) == 16
    assert shared.private == shared.public
    assert create_stored(Secret(type="symmetric-key", size=128), random) == Material(type="symmetric-key")
    preset = Secret(type="plain", user_defined=True, public=b"a", private=b"b")
    assert create_stored(preset, random) == Material(type="plain", private=b"b", public=b"a")
    assert create_stored(Secret(type="plain", user_defined=True), random) == Material(type="plain")


def test_what_a_marble_sees() -> None:
    """Private keys differ by marble and UUID, shared and user-defined ones do not."""
    definitions = {
        "shared": Secret(type="symmetric-key", size=128, shared=True),
        "own": Secret(type="symmetric-key", size=128),
        "token": Secret(type="plain", user_defined=True),
    }
    stored = {name: create_stored(one, FakeEntropy().bytes) for name, one in definitions.items()}

    def seen(uuid: str, marble: str) -> dict[str, Material]:
        return for_marble(definitions, stored, root_secret=ROOT_SECRET, uuid=uuid, marble_name=marble)

    first, second = seen(UUID, "a"), seen(UUID, "b")
    assert first["shared"] == second["shared"] == stored["shared"]
    assert first["token"] == stored["token"]
    assert first["own"] != second["own"]
    assert first == seen(UUID, "a")
    assert repr(first["own"]) == "Material(type='symmetric-key')"


def test_an_added_secret_has_other_keys_each_time() -> None:
    """A private secret taken out and put back gives the same marble another key; until then one key."""
    definition = Secret(type="symmetric-key", size=128)
    random = FakeEntropy().bytes
    stored = [create_stored(definition, random, added=added) for added in (False, True, True)]

    keys = [
        for_marble({"own": definition}, {"own": one}, root_secret=ROOT_SECRET, uuid=UUID, marble_name="m")[
            "own"
        ]
        for one in (*stored, stored[1])
    ]

    assert len({key.private for key in keys[:3]}) == 3
    assert keys[1].private == keys[3].private
    assert keys[0].private == derive_private(
        root_secret=ROOT_SECRET, uuid=UUID, name="own", marble_name="m", size=128
    )


def test_equality_of_definitions() -> None:
    """MarbleRun's five fields count, the certificate template does not."""
    one = Secret(type="symmetric-key", size=128, cert={"IsCA": True})
    assert same_definition(one, Secret(type="symmetric-key", size=128))
    assert not same_definition(one, Secret(type="symmetric-key", size=128, shared=True))
