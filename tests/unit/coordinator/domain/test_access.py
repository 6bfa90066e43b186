"""Users and rights: byte-equal certificates, roles merged, all names or none (marblerun-core 5.9)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from coordinator.domain.access import (
    READ_SECRET,
    UPDATE_MANIFEST,
    UPDATE_SECURITY_VERSION,
    check_users,
    find_user,
    holders,
    users_of,
)
from coordinator.errors import ManifestRefusedError, NotPermittedError, UserUnauthenticatedError
from marbleops.manifest.parse import Strictness, load
from tests.fakes import mesh
from tests.fakes.logins import login, of_no_known_version

if TYPE_CHECKING:
    from marbleops.manifest.model import Manifest


def _manifest(change: Any = None) -> Manifest:
    return load(mesh.manifest(change), strictness=Strictness.MARBLERUN)


def test_users_are_found_by_their_very_bytes() -> None:
    """The first certificate presented, whose key TLS has proven, counts, expired or not; no other does."""
    users = users_of(_manifest())
    stranger, rita = login("mallory").certificate_der, login("rita").certificate_der
    assert find_user(users, (rita, stranger)).name == "rita"
    for presented in ((), (stranger,), (rita[:-1],), (stranger, rita)):
        with pytest.raises(UserUnauthenticatedError, match="did not match any MarbleRun users"):
            find_user(users, presented)
    assert "BEGIN" not in repr(users)
    assert repr(rita) not in repr(users)


def test_rights_are_for_every_name_or_refused() -> None:
    """A subset is granted, a superset is not, an unknown right is not; roles merge."""

    def both(made: dict[str, Any]) -> None:
        made["Users"]["rita"]["Roles"] = ["releaser", "more", "secrets"]
        made["Roles"]["more"] = {
            "ResourceType": "Packages",
            "ResourceNames": ["frontend"],
            "Actions": ["updatesecurityVERSION"],
        }

    rita = next(user for user in users_of(_manifest(both)) if user.name == "rita")
    assert rita.may(UPDATE_SECURITY_VERSION, ("backend", "frontend"))
    assert rita.may(UPDATE_SECURITY_VERSION)
    assert not rita.may(UPDATE_SECURITY_VERSION, ("backend", "database"))
    assert not rita.may(UPDATE_MANIFEST)
    assert rita.may(READ_SECRET, ("password",))
    with pytest.raises(NotPermittedError, match="user rita is not allowed to fly"):
        rita.require(UPDATE_MANIFEST, (), "fly")
    assert holders(_manifest(), UPDATE_MANIFEST) == mesh.ADMINS


@pytest.mark.parametrize(
    "pem",
    [
        "junk",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ssl.DER_cert_to_PEM_cert(of_no_known_version(login("sam").certificate_der)),
    ],
)
def test_users_nobody_could_be_are_refused(pem: str) -> None:
    """A certificate that cannot be read names nobody, and the manifest is refused where users decide."""

    def junk(made: dict[str, Any]) -> None:
        made["Users"]["sam"]["Certificate"] = pem

    manifest = _manifest(junk)
    assert "sam" not in {user.name for user in users_of(manifest)}
    with pytest.raises(ManifestRefusedError, match="received invalid certificate for user sam"):
        check_users(manifest)
    check_users(_manifest())


def test_one_certificate_is_one_user() -> None:
    """White space does not make another certificate: the second user could never act."""

    def twice(made: dict[str, Any]) -> None:
        made["Users"]["sam"]["Certificate"] = "\n" + made["Users"]["rita"]["Certificate"]

    with pytest.raises(ManifestRefusedError, match="users rita and sam have the same certificate"):
        check_users(_manifest(twice))
