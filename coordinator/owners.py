"""The calls of MarbleRun's owners: users who present a client certificate (marblerun-core 5.7, 5.8, 6).

Where signed commits decide, only secrets are left to them (approvals.md section 3, Side doors closed).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from coordinator.domain import ownership
from coordinator.domain.access import READ_SECRET
from coordinator.domain.secrets import Material, read_upload
from coordinator.errors import (
    GitOpsEnforcedError,
    NoUpdateInProgressError,
    SecretRefusedError,
    UpdateRefusedError,
)
from marbleops.manifest.errors import ManifestError
from marbleops.manifest.parse import Strictness, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coordinator.core import Core
    from coordinator.domain.access import User
    from coordinator.domain.secrets import UserSecret
    from coordinator.domain.state import Ledger, PendingUpdate, State
    from coordinator.guard import LedgerChange
    from marbleops.manifest.model import Manifest, Secret


MAX_UPLOADED_BYTES = 16 * 1024 * 1024
"""All uploaded secrets of a deployment together: they are kept in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAnswer:
    """What became of an update: who is missing, or the new recovery secrets where the data key changed."""

    missing_acknowledgments: int
    missing_users: tuple[str, ...] | None
    recovery_secrets: Mapping[str, bytes] | None = field(repr=False)


_PACKAGES_UPDATED = UpdateAnswer(missing_acknowledgments=0, missing_users=None, recovery_secrets=None)


class Owners:
    """What users of the manifest may ask for."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def authenticate(self, certificates: Sequence[bytes]) -> User:
        """Find the user who presented one of these certificates (DER).

        Raises:
            UserUnauthenticatedError: there is none.
        """
        return self._core.user(self._core.snapshot(), certificates)

    def update(self, raw: bytes, user: User) -> UpdateAnswer:
        """Raise SecurityVersions, or begin a full update and apply it if nobody else must agree (6.2).

        Raises:
            WrongPhaseError, GitOpsEnforcedError, UpdateInProgressError, NotPermittedError,
            UpdateRefusedError.
        """
        manifest = _parse(raw)
        with self._core.deciding:
            state, user = self._plain(user)
            if ownership.is_package_update(manifest):
                transition = ownership.package_update(state, manifest, user, self._core.making())
                self._core.guard.commit(state, transition)
                return _PACKAGES_UPDATED
            pending = ownership.propose(state, manifest, user, self._rules)
            if pending.missing == 0:
                return self._apply(state, pending, user)
            self._core.guard.commit(state, ownership.proposed(state, pending, user, self._core.making()))
            return _waiting(pending)

    def pending(self) -> PendingUpdate:
        """Return the update that waits for acknowledgements; anyone may see it (6.5).

        Raises:
            NoUpdateInProgressError: none does.
        """
        enforcement = self._core.snapshot().enforcement
        if enforcement is None or enforcement.pending is None:
            raise NoUpdateInProgressError
        return enforcement.pending

    def acknowledge(self, raw: bytes, user: User) -> UpdateAnswer:
        """Count the user's acknowledgement, and apply the update with the last one that is needed.

        Raises:
            NoUpdateInProgressError, GitOpsEnforcedError, UpdateRefusedError.
        """
        with self._core.deciding:
            state, user = self._plain(user)
            before = self.pending()
            pending = ownership.acknowledge(state, raw, user)
            if pending.missing == 0:
                return self._apply(state, pending, user)
            if pending is not before:
                transition = ownership.acknowledged(state, pending, user, self._core.making())
                self._core.guard.commit(state, transition)
            return _waiting(pending)

    def cancel(self, user: User) -> None:
        """Drop the update that waits.

        Raises:
            NotPermittedError, NoUpdateInProgressError, GitOpsEnforcedError.
        """
        with self._core.deciding:
            state, user = self._plain(user)
            self._core.guard.commit(state, ownership.cancel(state, user, self._core.making()))

    def read_secrets(self, names: Sequence[str], user: User) -> Mapping[str, tuple[Secret, Material]]:
        """Return definitions and values of secrets the user may read: all of them or none (5.8).

        Raises:
            WrongPhaseError, NotPermittedError, SecretRefusedError.
        """
        state = self._core.running()
        user = self._again(state, user)
        user.require(READ_SECRET, names, f"read one or more secrets of: [{' '.join(names)}]")
        assert state.enforcement is not None
        definitions, values = state.enforcement.manifest.secrets, state.current_secrets
        return MappingProxyType({name: (definitions[name], values[name]) for name in names})

    def write_secrets(self, given: Mapping[str, UserSecret], user: User) -> None:
        """Write user-defined secrets, all of them or none; durable before this returns (5.7).

        Raises:
            WrongPhaseError, SecretRefusedError, NotPermittedError.
        """
        with self._core.deciding:
            state = self._core.running()
            values = _read_uploads(state, given)
            user = self._again(state, user)
            transition = ownership.write_secrets(state, values, user, self._core.making())
            self._core.guard.commit(state, transition, ledger=_uploading(values))

    def _plain(self, user: User) -> tuple[State, User]:
        """Return a snapshot of a running deployment in which users decide, and the user as it knows them."""
        state = self._core.running()
        if state.enforced is not None:
            raise GitOpsEnforcedError
        return state, self._again(state, user)

    def _again(self, state: State, user: User) -> User:
        """Look the user up anew: an update since they were authenticated may have taken their rights."""
        return self._core.user(state, (user.certificate,))

    @property
    def _rules(self) -> ownership.Rules:
        return self._core.options.rules

    def _apply(self, state: State, pending: PendingUpdate, user: User) -> UpdateAnswer:
        assert state.enforcement is not None
        keys = self._core.keys(state.enforcement.manifest, pending.manifest)
        secrets = None if keys is None else keys.secrets
        transition = ownership.apply(
            state, pending, user, rules=self._rules, making=self._core.making(), recovery=secrets
        )
        self._core.guard.commit(state, transition, keys=keys)
        return UpdateAnswer(missing_acknowledgments=0, missing_users=None, recovery_secrets=secrets)


def _parse(raw: bytes) -> Manifest:
    try:
        return parse(raw, strictness=Strictness.MARBLERUN)
    except ManifestError as error:
        raise UpdateRefusedError(f"unmarshaling manifest: {error.statement}") from error


def _waiting(pending: PendingUpdate) -> UpdateAnswer:
    return UpdateAnswer(
        missing_acknowledgments=pending.missing, missing_users=pending.missing_users, recovery_secrets=None
    )


def _read_uploads(state: State, given: Mapping[str, UserSecret]) -> Mapping[str, Material]:
    assert state.enforcement is not None
    definitions = state.enforcement.manifest.secrets
    if not given:
        raise SecretRefusedError("parsing new secrets: no new secrets defined")
    values = {}
    for name, secret in sorted(given.items()):
        if name not in definitions:
            raise SecretRefusedError(f"parsing new secrets: secret {name} does not exist")
        try:
            values[name] = read_upload(name, definitions[name], secret)
        except SecretRefusedError as error:
            raise SecretRefusedError(f"parsing new secrets: {error}") from error
    return MappingProxyType(values)


def _uploading(values: Mapping[str, Material]) -> LedgerChange:
    def change(ledger: Ledger) -> Ledger:
        uploads = {**ledger.uploads, **values}
        size = sum(len(one.private) + len(one.public) + len(one.cert) for one in uploads.values())
        if size > MAX_UPLOADED_BYTES:
            raise SecretRefusedError(
                f"the uploaded secrets would have {size} bytes together, at most {MAX_UPLOADED_BYTES} fit"
            )
        return replace(ledger, uploads=MappingProxyType(uploads))

    return change
