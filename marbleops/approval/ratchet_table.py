"""The ratchet as data: what each kind of edit of each field does to the strength of a manifest.

Rules version 1 is coarse (approvals.md section 3, *The ratchet*): what is not listed as neutral or
strengthening weakens, and a test walks the schema so that no field is without a row. Rows judge a field where
it stands; fields whose meaning depends on others (a package on the marbles that run it, a role on the users
who hold it) name the comparison that judges them by effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Effect(StrEnum):
    """What an edit does."""

    STRENGTHENS = "strengthens"
    WEAKENS = "weakens"
    NEUTRAL = "neutral"


class Move(StrEnum):
    """What happened to a value."""

    ADDED = "added"
    REMOVED = "removed"
    RAISED = "raised"
    LOWERED = "lowered"
    SWITCHED_ON = "switched on"
    SWITCHED_OFF = "switched off"
    WIDENED = "widened"
    NARROWED = "narrowed"
    CHANGED = "changed"


class Comparison(StrEnum):
    """A comparison of effect, for fields that mean nothing alone."""

    MARBLES = "what a marble of this type may be and gets"
    RIGHTS = "what a user may do"
    ELECTORATE = "who may vote"
    RECOVERY = "how many recovery keys open the state"
    POLICY = "how many approvers a weakening needs"
    FLOORS = "SecurityVersion floors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One field. An edit that is in neither ``moves`` nor judged by ``by`` weakens.

    ``absent`` is what a missing value means, so that writing a default down is no edit. ``ranks`` orders
    words from weak to strong. ``whole`` rows stand for everything below them.
    """

    path: str
    moves: Mapping[Move, Effect] = field(default_factory=dict)
    by: Comparison | None = None
    absent: Any = None
    ranks: tuple[str, ...] = ()
    zero_is_unlimited: bool = False
    whole: bool = False


_W, _S, _N = Effect.WEAKENS, Effect.STRENGTHENS, Effect.NEUTRAL
_ANY_NEUTRAL = dict.fromkeys(Move, Effect.NEUTRAL)
_HIGHER_IS_STRONGER = {Move.RAISED: _S, Move.LOWERED: _W}
_LOWER_IS_STRONGER = {Move.RAISED: _W, Move.LOWERED: _S}
_ON_WEAKENS = {Move.SWITCHED_ON: _W, Move.SWITCHED_OFF: _S}
_OFF_WEAKENS = {Move.SWITCHED_ON: _S, Move.SWITCHED_OFF: _W}
_COMES_AND_GOES = {Move.ADDED: _N, Move.REMOVED: _N}

ROWS: tuple[Row, ...] = (
    Row(path="$schema", moves=_ANY_NEUTRAL),
    # What may run. Packages are judged through the marbles that run them.
    Row(path="Packages.*", by=Comparison.MARBLES),
    Row(path="Packages.*.Debug", by=Comparison.MARBLES),
    Row(path="Packages.*.UniqueID", by=Comparison.MARBLES),
    Row(path="Packages.*.SignerID", by=Comparison.MARBLES),
    Row(path="Packages.*.ProductID", by=Comparison.MARBLES),
    Row(path="Packages.*.SecurityVersion", by=Comparison.MARBLES),
    Row(path="Packages.*.AcceptedTCBStatuses", by=Comparison.MARBLES),
    Row(path="Packages.*.AcceptedAdvisories", by=Comparison.MARBLES),
    Row(path="Infrastructures.*", whole=True),
    Row(path="Marbles.*", by=Comparison.MARBLES),
    Row(path="Marbles.*.Package", by=Comparison.MARBLES),
    Row(path="Marbles.*.MaxActivations", moves=_LOWER_IS_STRONGER, absent=0, zero_is_unlimited=True),
    # Content is class full; what a template newly reads is judged by effect.
    Row(path="Marbles.*.Parameters", by=Comparison.MARBLES, whole=True),
    Row(path="Marbles.*.TLS", by=Comparison.MARBLES),
    Row(path="Marbles.*.DisableSecretBinding", moves=_ON_WEAKENS, absent=False),
    # Connections.
    Row(path="TLS.*", by=Comparison.MARBLES),
    Row(path="TLS.*.Incoming", by=Comparison.MARBLES, whole=True),
    Row(path="TLS.*.Outgoing", whole=True),
    # Secrets. Anything about an existing one that is not plainly stronger weakens.
    Row(path="Secrets.*", moves=_COMES_AND_GOES),
    Row(path="Secrets.*.Type"),
    Row(path="Secrets.*.Size", moves=_HIGHER_IS_STRONGER, absent=0),
    Row(path="Secrets.*.Shared", absent=False),
    Row(path="Secrets.*.UserDefined", absent=False),
    Row(path="Secrets.*.Cert", whole=True),
    Row(path="Secrets.*.ValidFor", moves=_LOWER_IS_STRONGER, absent=0, zero_is_unlimited=True),
    Row(path="Secrets.*.Private", whole=True),
    Row(path="Secrets.*.Public", whole=True),
    # People. Rights are compared per user, keys as the electorate.
    Row(path="Users.*", by=Comparison.RIGHTS),
    Row(path="Users.*.Certificate", by=Comparison.RIGHTS),
    Row(path="Users.*.Roles", by=Comparison.RIGHTS),
    Row(path="Users.*.SigningKeys", by=Comparison.ELECTORATE),
    Row(path="Roles.*", by=Comparison.RIGHTS),
    Row(path="Roles.*.ResourceType", by=Comparison.RIGHTS),
    Row(path="Roles.*.ResourceNames", by=Comparison.RIGHTS),
    Row(path="Roles.*.Actions", by=Comparison.RIGHTS),
    Row(path="RecoveryKeys.*", moves={Move.ADDED: _W, Move.CHANGED: _W}, by=Comparison.RECOVERY),
    # Settings.
    Row(
        path="Config.SealMode",
        ranks=("ProductKey", "UniqueKey"),
        moves=_HIGHER_IS_STRONGER,
        absent="ProductKey",
    ),
    Row(path="Config.FeatureGates", moves={Move.WIDENED: _W, Move.NARROWED: _S}, absent=()),
    Row(path="Config.UpdateThreshold", moves=_HIGHER_IS_STRONGER),
    Row(path="Config.RecoveryThreshold", by=Comparison.RECOVERY),
    Row(path="Config.RotateRootSecret", moves=_OFF_WEAKENS, absent=False),
    # The rules of change themselves.
    Row(path="GitOps.Lineage"),
    Row(path="GitOps.Version", moves=_ANY_NEUTRAL),
    Row(path="GitOps.Previous", moves=_ANY_NEUTRAL),
    Row(path="GitOps.Deployment", moves=_ANY_NEUTRAL),
    Row(path="GitOps.Path"),
    Row(path="GitOps.Binding", ranks=("tree", "digest"), moves=_HIGHER_IS_STRONGER, absent="digest"),
    Row(path="GitOps.Quorum.*", moves=_HIGHER_IS_STRONGER, absent=0),
    Row(path="GitOps.PackageThreshold", moves=_HIGHER_IS_STRONGER, absent=1),
    Row(path="GitOps.WeakenThreshold", by=Comparison.POLICY),
    Row(path="GitOps.RequireUserPresence", moves=_OFF_WEAKENS, absent=False),
    # On shows e-mail addresses to everybody, off hides signatures from auditors: both take something away.
    Row(path="GitOps.PublicEvidence", absent=False),
    Row(path="GitOps.AllowSecurityVersionDecrease", by=Comparison.FLOORS, absent=()),
)
