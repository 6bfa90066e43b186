"""Secrets: the golden derivations of marblerun-core 13.1, what is stored, and what is refused when set."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from coordinator.domain import pki
from coordinator.domain.making import Making
from coordinator.domain.secrets import (
    MAX_UPLOAD_BYTES,
    Material,
    UserSecret,
    after_full_update,
    after_package_update,
    check_definitions,
    derive_private,
    first_secrets,
    for_marble,
    read_upload,
    same_definition,
)
from coordinator.domain.state import SecretState
from coordinator.errors import ActivationFailedError, ManifestRefusedError, SecretRefusedError
from marbleops.manifest.model import Secret
from tests.fakes.small_world import FakeEntropy

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT_SECRET = bytes(range(32))
UUID = "02030400-0000-4000-8000-0000000000ab"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
COUNT = itertools.count()
ISSUER = pki.renew(
    pki.create_root(names=("localhost",), at=AT, random=FakeEntropy().bytes),
    names=("localhost",),
    at=AT,
    random=FakeEntropy().bytes,
).marble_root
DEFINITIONS = {
    "shared": Secret(type="symmetric-key", size=128, shared=True),
    "kept": Secret(type="symmetric-key", size=128, shared=True),
    "spare": Secret(type="symmetric-key", size=128, shared=True),
    "own": Secret(type="symmetric-key", size=128),
    "cert": Secret(type="cert-ecdsa", size=256, shared=True),
    "own cert": Secret(type="cert-ecdsa", size=256),
    "token": Secret(type="plain", user_defined=True, public=b"a", private=b"b"),
}
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
        (
            Secret(type="symmetric-key", size=0),
            "generating placeholder secrets from manifest: invalid secret size: s",
        ),
        (
            Secret(type="symmetric-key", shared=True),
            "generating secrets from manifest: invalid secret size: s",
        ),
        (Secret(type="symmetric-key", size=12), "invalid secret size: s"),
        (Secret(type="symmetric-key", size=65288), "requested key length too large"),
        (Secret(type="plain"), "unsupported secret of type plain"),
    ],
)
def test_refused_when_set(definition: Secret, words: str) -> None:
    """What could never be generated is refused when the manifest is set."""
    with pytest.raises(ManifestRefusedError, match=words):
        check_definitions({"s": definition})


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
    stored = first_secrets(DEFINITIONS, issuer=ISSUER, making=_making())
    assert list(stored) == sorted(DEFINITIONS)
    assert len(stored["shared"].private) == 16
    assert stored["shared"].private == stored["shared"].public
    assert stored["own"] == Material(type="symmetric-key")
    assert stored["own cert"] == Material(type="cert-ecdsa")
    assert stored["token"] == Material(type="plain", private=b"b", public=b"a")
    assert all((stored["cert"].private, stored["cert"].public, stored["cert"].cert))


def test_what_a_marble_sees() -> None:
    """Private keys differ by marble and UUID, private certificates by activation; others do not."""
    stored = first_secrets(DEFINITIONS, issuer=ISSUER, making=_making())
    first, second, again = (_seen(stored, marble) for marble in ("a", "b", "a"))
    assert len(first) == len(list(first)) == len(DEFINITIONS)
    assert [first[name] for name in ("shared", "token", "cert")] == [
        second[name] for name in ("shared", "token", "cert")
    ]
    assert first["own"] == again["own"] != second["own"]
    assert first["own cert"] is first["own cert"]
    assert first["own cert"].cert != again["own cert"].cert
    assert repr(first["own"]) == "Material(type='symmetric-key')"
    with pytest.raises(KeyError):
        first["nothing"]


def test_a_secret_that_cannot_be_made() -> None:
    """A definition that an older version let pass fails the activation, with its name and no value."""
    definitions = {"s": Secret(type="symmetric-key", size=7), "c": Secret(type="cert-ecdsa", size=7)}
    seen = for_marble(
        definitions,
        {name: Material(type=one.type) for name, one in definitions.items()},
        root_secret=ROOT_SECRET,
        uuid=UUID,
        marble_name="m",
        issuer=ISSUER,
        making=_making(),
    )
    for name in definitions:
        with pytest.raises(ActivationFailedError, match=f"generating marble secrets: .*{name}"):
            seen[name]


def test_package_update_renews_shared_certificates_alone() -> None:
    """New key, new certificate, and nothing else changes (6.3)."""
    before = first_secrets(DEFINITIONS, issuer=ISSUER, making=_making())
    after = after_package_update(DEFINITIONS, before, issuer=ISSUER, making=_making("again"))
    assert {name for name in before if before[name] != after[name]} == {"cert"}
    assert after["cert"].private != before["cert"].private


@pytest.mark.parametrize("rotate", [False, True])
def test_full_update(*, rotate: bool) -> None:
    """What is made anew, what moves to previous and what stays (6.4), with and without rotation."""
    before = _state(DEFINITIONS)
    days = {"cert": Secret(type="cert-ecdsa", size=256, shared=True, valid_for=365, cert={"IsCA": True})}
    changed = {"shared": Secret(type="symmetric-key", size=64, shared=True)}
    new = {**DEFINITIONS, **days, **changed, "more": Secret(type="symmetric-key", size=64)}
    del new["spare"]
    after = after_full_update(DEFINITIONS, new, before, rotate=rotate, issuer=ISSUER, making=_making("b"))
    assert set(after.current) == set(after.previous) == set(new)
    for name in ("more", "shared"):
        assert after.current[name] == after.previous[name] != before.current.get(name)
    assert after.current["token"] == before.current["token"]
    assert after.previous["token"] == before.previous["token"]
    assert after.previous["cert"] == before.current["cert"] != after.current["cert"]
    for name in ("kept", "own"):
        assert (after.current[name] != before.current[name]) is rotate
        assert after.previous[name] == (before.current if rotate else before.previous)[name]
    assert (after.root != before.root) is rotate
    assert after.previous_root == (before.root if rotate else before.previous_root)
    unchanged = after_full_update(new, new, after, rotate=False, issuer=ISSUER, making=_making("c"))
    assert unchanged.previous_root == after.previous_root
    assert unchanged.previous["kept"] == after.previous["kept"]


def test_an_added_secret_has_other_keys_each_time() -> None:
    """A private secret taken out and put back gives the same marble another key; until then one key."""
    own = {"own": Secret(type="symmetric-key", size=128)}
    first = _state(own)
    without = after_full_update(own, {}, first, rotate=False, issuer=ISSUER, making=_making("b"))
    back = after_full_update({}, own, without, rotate=False, issuer=ISSUER, making=_making("c"))
    keys = [_seen(state.current, "m", own)["own"].private for state in (first, back, back)]
    assert keys[0] != keys[1] == keys[2]
    assert keys[0] == derive_private(
        root_secret=ROOT_SECRET, uuid=UUID, name="own", marble_name="m", size=128
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Secret(type="plain", cert={"IsCA": True}), Secret(type="plain"), True),
        (Secret(type="plain"), Secret(type="plain", shared=True), False),
        (Secret(type="cert-rsa"), Secret(type="cert-rsa", valid_for=365), True),
        (Secret(type="cert-rsa"), Secret(type="cert-rsa", valid_for=7), False),
        (
            Secret(type="cert-rsa", user_defined=True),
            Secret(type="cert-rsa", user_defined=True, valid_for=365),
            False,
        ),
    ],
)
def test_equality_of_definitions(one: Secret, other: Secret, *, same: bool) -> None:
    """MarbleRun's five fields count, not the template (A5); a certificate without days has 365 (A4)."""
    assert same_definition(one, other) is same


KEY = Secret(type="symmetric-key", size=16, user_defined=True)
PLAIN = Secret(type="plain", user_defined=True)
CERT = Secret(type="cert-rsa", user_defined=True)
"""The type of the key is not compared with the certificate's."""


@pytest.mark.parametrize(
    ("definition", "given", "material"),
    [
        (KEY, UserSecret(key=b"ab"), Material(type="symmetric-key", private=b"ab", public=b"ab")),
        (PLAIN, UserSecret(key=b"x"), Material(type="plain", private=b"x", public=b"x")),
        (PLAIN, UserSecret(), Material(type="plain")),
        (
            CERT,
            UserSecret(cert=ISSUER.certificate_der, private=b"any"),
            Material(type="cert-rsa", private=b"any", public=ISSUER.spki, cert=ISSUER.certificate_der),
        ),
    ],
)
def test_uploads(definition: Secret, given: UserSecret, material: Material) -> None:
    """A key is private and public part at once; a certificate brings its public key (5.7)."""
    assert read_upload("s", definition, given) == material


@pytest.mark.parametrize(
    ("definition", "given", "words"),
    [
        (Secret(type="plain"), UserSecret(key=b"x"), "secret s is not writeable"),
        (KEY, UserSecret(key=b"abc"), "declared size and actual size don't match: s"),
        (KEY, UserSecret(), "declared size and actual size don't match: s"),
        (Secret(type="symmetric-key", user_defined=True), UserSecret(), "invalid secret size: s"),
        (KEY, UserSecret(key=b"ab", cert=b"c"), "takes a key and no certificate"),
        (PLAIN, UserSecret(private=b"ab"), "takes a key and no certificate"),
        (CERT, UserSecret(key=b"ab"), "takes a certificate and no key"),
        (CERT, UserSecret(private=b"ab"), "x509: unsupported public key type: <nil>"),
        (CERT, UserSecret(cert=b"junk"), "certificate cannot be read"),
        (PLAIN, UserSecret(key=bytes(MAX_UPLOAD_BYTES + 1)), "more than 262144 bytes"),
    ],
)
def test_uploads_that_are_refused(definition: Secret, given: UserSecret, words: str) -> None:
    """Each refusal in MarbleRun's words where it has some; no value is ever shown."""
    with pytest.raises(SecretRefusedError, match=words):
        read_upload("s", definition, given)
    assert repr(given) == "UserSecret()"


def _making(seed: str = "a") -> Making:
    return Making(at=AT, random=FakeEntropy(seed).bytes)


def _state(definitions: dict[str, Secret]) -> SecretState:
    current = first_secrets(definitions, issuer=ISSUER, making=_making())
    return SecretState(root=ROOT_SECRET, previous_root=b"older", current=current, previous=current)


def _seen(
    stored: Mapping[str, Material], marble: str, definitions: Mapping[str, Secret] = DEFINITIONS
) -> Mapping[str, Material]:
    return for_marble(
        definitions,
        stored,
        root_secret=ROOT_SECRET,
        uuid=UUID,
        marble_name=marble,
        issuer=ISSUER,
        making=_making(marble + str(next(COUNT))),
    )
