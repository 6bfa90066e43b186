"""The owners' calls in memory: rights, order of refusals, thresholds, what changes and what stays (6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator import marbles
from coordinator.core import Options
from coordinator.domain import history
from coordinator.domain.ownership import Rules
from coordinator.domain.secrets import UserSecret
from coordinator.errors import (
    CoordinatorError,
    CounterRefusedError,
    GitOpsEnforcedError,
    ManifestRefusedError,
    MarbleRefusedError,
    MarbleUnauthenticatedError,
    NotPermittedError,
    NoUpdateInProgressError,
    SecretRefusedError,
    UpdateInProgressError,
    UpdateRefusedError,
    UserUnauthenticatedError,
    WrongPhaseError,
)
from marbleops.manifest.parse import Strictness, parse
from tests.fakes import mesh, shop
from tests.fakes.logins import login, of_no_known_version
from tests.fakes.small_world import SmallWorld, activation, make_csr, marble_quote

if TYPE_CHECKING:
    from coordinator.domain.access import User
    from coordinator.marbles import MarbleIdentity
    from coordinator.service import Service
    from marbleops.manifest.model import Manifest

PASSWORD = UserSecret(cert=None, private=None, key=b"open sesame")


def _running(world: SmallWorld | None = None) -> tuple[SmallWorld, Service]:
    world = world or SmallWorld()
    service = world.open()
    service.set_manifest(mesh.manifest())
    return world, service


def _user(service: Service, name: str) -> User:
    return service.owners.authenticate((login(name).certificate_der,))


def _lines(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.update_log()]


def test_package_update_raises_and_rotates() -> None:
    """Only the floor and the authorities change; manifest bytes and keys stay, also after a restart."""
    world, service = _running()
    before = service.snapshot()
    answer = service.owners.update(mesh.package_update(backend=5), _user(service, "rita"))
    assert (answer.missing_acknowledgments, answer.missing_users, answer.recovery_secrets) == (0, None, None)
    for state in (service.snapshot(), world.open().snapshot()):
        assert state.enforcement is not None
        assert before.enforcement is not None
        assert state.enforcement.manifest.raw == before.enforcement.manifest.raw
        assert state.enforcement.signature == before.enforcement.signature
        assert state.enforcement.packages["backend"].security_version == 5
        assert state.enforcement.secrets.current == before.enforcement.secrets.current
        assert state.authorities.root.certificate == before.authorities.root.certificate
        assert state.authorities.marble_root.certificate != before.authorities.marble_root.certificate
    last = _lines(service)[-1]
    assert list(last) == ["time", "update", "user", "package", "new version"]
    assert (last["update"], last["user"], last["package"], last["new version"]) == (
        "SecurityVersion increased", "rita", "backend", 5,
    )  # fmt: skip
    request = activation("backend", csr=make_csr())
    with pytest.raises(MarbleRefusedError, match="SecurityVersion"):
        service.marbles.activate(request, marble_quote(version=4))


@pytest.mark.parametrize(
    ("user", "update", "error", "words"),
    [
        ("anna", {"backend": {"SecurityVersion": 5}}, NotPermittedError, "one or more packages of [backend]"),
        ("rita", {"frontend": {"SecurityVersion": 5}}, NotPermittedError, "packages of [frontend]"),
        ("rita", {"backend": {"SecurityVersion": 1}}, UpdateRefusedError, "downgrade SecurityVersion"),
        ("rita", {"backend": {}}, UpdateRefusedError, "does not specify a SecurityVersion"),
        ("rita", {"backend": {"SecurityVersion": 5, "Debug": True}}, UpdateRefusedError, "unupdatable"),
        ("rita", {"backend": {"SecurityVersion": 5, "ProductID": 0}}, UpdateRefusedError, "unupdatable"),
        ("rita", {}, UpdateRefusedError, "no packages defined"),
    ],
)
def test_package_updates_refused(
    user: str, update: dict[str, Any], error: type[CoordinatorError], words: str
) -> None:
    """Rights come first, then what may be updated at all; nothing changes."""
    _, service = _running()
    head = service.snapshot().head
    with pytest.raises(error) as refusal:
        service.owners.update(json.dumps({"Packages": update}).encode(), _user(service, user))
    assert words in str(refusal.value)
    assert service.snapshot().head == head


def _counting() -> Service:
    service = SmallWorld().open()
    service.set_manifest(mesh.manifest(lambda made: made["Marbles"]["backend"].pop("Parameters")))
    return service


def _marble(service: Service, kind: str) -> MarbleIdentity:
    given = service.marbles.activate(activation(kind, csr=make_csr()), marble_quote(kind, version=2))
    chain = x509.load_pem_x509_certificates(given.env["MARBLE_PREDEFINED_MARBLE_CERTIFICATE_CHAIN"])
    return service.marbles.authenticate((chain[0].public_bytes(Encoding.DER),))


def test_marbles_of_one_type_leave_others_their_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters are kept for ever: whoever took all of them would have shut all others out."""
    monkeypatch.setattr(marbles, "MAX_COUNTERS", 5)
    service = _counting()
    greedy = _marble(service, "frontend")
    for name in ("a", "b"):
        service.marbles.count(greedy, name, 1)
    with pytest.raises(CounterRefusedError, match="keeps 5 counters, 2 for each type of marble"):
        service.marbles.count(greedy, "c", 1)
    assert service.marbles.count(greedy, "a", 2) == 1
    assert service.marbles.count(_marble(service, "backend"), "a", 1) == 0


def test_a_marble_that_an_update_has_shut_out_counts_nothing() -> None:
    """Its body may come long after it was authenticated; what counts is who it is then (INV-COUNTER)."""
    service = _counting()
    marble = _marble(service, "backend")
    assert service.marbles.count(marble, "n", 1) == 0
    service.owners.update(mesh.package_update(backend=5), _user(service, "rita"))
    with pytest.raises(MarbleUnauthenticatedError):
        service.marbles.count(marble, "n", 2**64 - 1)
    with pytest.raises(MarbleUnauthenticatedError):
        service.marbles.authenticate((of_no_known_version(login("sam").certificate_der),))


def test_writers_of_secrets_fill_no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a restart could not read is not written, and half of the room is for decisions on manifests."""
    monkeypatch.setattr(history, "MAX_RECORDS", 6)
    world, service = _running()
    sam = _user(service, "sam")
    for _ in range(2):
        service.owners.write_secrets({"password": PASSWORD}, sam)
    with pytest.raises(ManifestRefusedError, match="history of this deployment is full, it has 3 records"):
        service.owners.write_secrets({"password": PASSWORD}, sam)
    for _ in range(3):
        service.owners.update(mesh.package_update(backend=2), _user(service, "rita"))
    with pytest.raises(ManifestRefusedError, match="full"):
        service.owners.update(mesh.package_update(backend=2), _user(service, "rita"))
    assert world.open().snapshot().head == service.snapshot().head


def test_written_secrets_are_no_manifests_to_read_at_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each manifest is parsed once, however many transitions kept it: a restart stays a matter of seconds."""
    world, service = _running()
    for _ in range(5):
        service.owners.write_secrets({"password": PASSWORD}, _user(service, "sam"))
    parsed = []

    def counted(raw: bytes, *, strictness: Strictness) -> Manifest:
        parsed.append(raw)
        return parse(raw, strictness=strictness)

    monkeypatch.setattr(history, "parse", counted)
    assert world.open().snapshot().head == service.snapshot().head
    assert parsed == [mesh.manifest()]


def test_an_equal_version_is_accepted() -> None:
    """As in MarbleRun; it renews the authorities."""
    _, service = _running()
    service.owners.update(mesh.package_update(backend=2), _user(service, "rita"))
    assert len(_lines(service)) == 2


def _without_frontend(made: dict[str, Any]) -> None:
    del made["Marbles"]["frontend"]
    made["Users"].pop("cleo")


def test_multi_party_update() -> None:
    """Two of three: pending until the second agrees to the very bytes; it outlives a restart."""
    world, service = _running()
    wanted = mesh.manifest(_without_frontend)
    with pytest.raises(NotPermittedError, match="user rita is not allowed to update the complete manifest"):
        service.owners.update(wanted, _user(service, "rita"))
    answer = service.owners.update(wanted, _user(service, "anna"))
    assert (answer.missing_acknowledgments, answer.missing_users) == (1, ("ben", "cleo"))
    service = world.open()
    assert service.owners.pending().manifest.raw == wanted
    for raw, name in ((wanted, "anna"), (mesh.package_update(backend=9), "rita")):
        with pytest.raises(UpdateInProgressError):
            service.owners.update(raw, _user(service, name))
    again = service.owners.acknowledge(wanted, _user(service, "anna"))
    assert (again.missing_acknowledgments, again.missing_users) == (1, ("ben", "cleo"))
    with pytest.raises(UpdateRefusedError, match="user rita is not allowed to acknowledge manifest updates"):
        service.owners.acknowledge(b"other", _user(service, "rita"))
    with pytest.raises(UpdateRefusedError, match="does not match the pending manifest"):
        service.owners.acknowledge(wanted + b" ", _user(service, "ben"))
    cleo = _user(service, "cleo")
    done = service.owners.acknowledge(wanted, _user(service, "ben"))
    assert (done.missing_acknowledgments, done.missing_users) == (0, None)
    assert service.enforcement().manifest.raw == wanted
    with pytest.raises(NoUpdateInProgressError):
        service.owners.pending()
    with pytest.raises(UserUnauthenticatedError):
        service.owners.cancel(cleo)  # authenticated before the update that removed her
    words = [line["update"] for line in _lines(service)]
    assert words == [
        "Initial manifest set",
        "Complete Manifest update initiated by user. Waiting for acknowledgments to apply the update",
        "Complete Manifest update acknowledged by user",
        "Complete Manifest updated",
    ]
    assert _lines(service)[2]["missingUsers"] == ["cleo"]


def test_cancel() -> None:
    """Whoever may update the manifest may cancel; the right is asked before there is an update to cancel."""
    _, service = _running()
    with pytest.raises(NotPermittedError):
        service.owners.cancel(_user(service, "sam"))
    with pytest.raises(NoUpdateInProgressError):
        service.owners.cancel(_user(service, "ben"))
    service.owners.update(mesh.manifest(_without_frontend), _user(service, "anna"))
    service.owners.cancel(_user(service, "cleo"))
    with pytest.raises(NoUpdateInProgressError):
        service.owners.acknowledge(mesh.manifest(_without_frontend), _user(service, "ben"))
    assert _lines(service)[-1]["update"] == "Complete Manifest update cancelled by user"


@pytest.mark.parametrize("allowed", [False, True])
def test_full_updates_lower_no_floor(*, allowed: bool) -> None:
    """A floor raised by a package update holds in full updates, unless the start configuration lifts it."""
    rules = Rules(allow_security_version_decrease=allowed)
    world, service = _running(SmallWorld(options=Options(platform="simulation", rules=rules)))
    service.owners.update(mesh.package_update(backend=5), _user(service, "rita"))
    wanted = mesh.manifest(lambda made: made["Config"].update(RotateRootSecret=True))
    if not allowed:
        with pytest.raises(UpdateRefusedError, match=r"Packages.backend.SecurityVersion falls below 5"):
            service.owners.update(wanted, _user(service, "anna"))
        return
    service.owners.update(wanted, _user(service, "anna"))
    service.owners.acknowledge(wanted, _user(service, "ben"))
    for opened in (service, world.open()):
        assert opened.enforcement().packages["backend"].security_version == 2
        assert opened.enforcement().floors.names["backend"] == 2


def test_secrets_are_written_by_who_may() -> None:
    """A value reaches marbles and readers, outlives restart and update, and stands in no transition."""
    world, service = _running()
    sam = _user(service, "sam")
    for name, given, user, error in (
        ("password", PASSWORD, "anna", NotPermittedError),
        ("own", PASSWORD, "sam", SecretRefusedError),
        ("nothing", PASSWORD, "sam", SecretRefusedError),
    ):
        with pytest.raises(error):
            service.owners.write_secrets({name: given}, _user(service, user))
    with pytest.raises(SecretRefusedError, match="no new secrets defined"):
        service.owners.write_secrets({}, sam)
    service.owners.write_secrets({"password": PASSWORD}, sam)
    service.owners.update(mesh.package_update(backend=3), _user(service, "rita"))
    for opened in (service, world.open()):
        definition, value = opened.owners.read_secrets(["password"], sam)["password"]
        assert (definition.type, value.public) == ("plain", b"open sesame")
        with pytest.raises(NotPermittedError, match="read one or more secrets of: "):
            opened.owners.read_secrets(["password", "shared"], sam)
    rendered = service.marbles.activate(activation("backend", csr=make_csr()), marble_quote(version=3))
    assert rendered.env["PASSWORD"] == b"open sesame"
    assert all(b"sesame" not in record for record in service.enforcement().records)
    assert _lines(service)[1] | {"time": ""} == {
        "time": "", "update": "Secret set", "user": "sam", "secret": "password", "type": "plain",
    }  # fmt: skip

    def retyped(made: dict[str, Any]) -> None:
        made["Packages"]["backend"]["SecurityVersion"] = 3
        made["Secrets"]["password"]["Size"] = 8

    wanted = mesh.manifest(retyped)
    service.owners.update(wanted, _user(service, "anna"))
    service.owners.acknowledge(wanted, _user(service, "ben"))
    assert service.owners.read_secrets(["password"], sam)["password"][1].public == b""


def test_uploads_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would not fit beside the others is refused whole; nothing changes."""
    _, service = _running()
    sam = _user(service, "sam")
    service.owners.write_secrets({"password": PASSWORD}, sam)
    monkeypatch.setattr("coordinator.owners.MAX_UPLOADED_BYTES", 30)
    head = service.snapshot().head
    with pytest.raises(SecretRefusedError, match="would have 40 bytes together, at most 30 fit"):
        service.owners.write_secrets({"password": UserSecret(cert=None, private=None, key=b"x" * 20)}, sam)
    assert service.snapshot().head == head
    assert service.owners.read_secrets(["password"], sam)["password"][1].public == b"open sesame"


def test_signed_deployments_take_no_owner_updates() -> None:
    """Where signed commits decide, MarbleRun's update calls are refused (approvals.md section 3)."""
    world = SmallWorld()

    def with_people(made: dict[str, Any]) -> None:
        for user in made["Users"]:
            made["Users"][user]["Certificate"] = login(user).certificate_pem.decode()

    service, raw = world.enforce_genesis(shop.manifest(change=with_people))
    alice = _user(service, "alice")
    for call in (
        lambda: service.owners.update(raw, alice),
        lambda: service.owners.update(mesh.package_update(backend=9), alice),
        lambda: service.owners.acknowledge(raw, alice),
        lambda: service.owners.cancel(alice),
    ):
        with pytest.raises(GitOpsEnforcedError):
            call()
    _, plain = _running()
    with pytest.raises(UpdateRefusedError, match="cannot adopt a GitOps section"):
        plain.owners.update(shop.manifest(), _user(plain, "anna"))


def test_nothing_without_a_manifest() -> None:
    """Before a manifest there are no users; afterwards it cannot be set again."""
    service = SmallWorld().open()
    with pytest.raises(UserUnauthenticatedError):
        _user(service, "anna")
    service.set_manifest(mesh.manifest())
    with pytest.raises(WrongPhaseError):
        service.set_manifest(mesh.manifest())
