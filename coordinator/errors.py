"""Every way the Coordinator says no.

One class is one kind of refusal; ``api/errors.py`` holds the one table that turns a class into a code, a gRPC
status and an HTTP status (architecture.md decision 8), and a test walks the classes of this module. Messages
are written for the caller and never hold a secret, a file name of the host or the text of a foreign
exception.
"""

from __future__ import annotations


class CoordinatorError(Exception):
    """Root of all errors that may be shown to a caller."""


class WrongPhaseError(CoordinatorError):
    """The call is not allowed in the phase the Coordinator is in (marblerun-core section 2)."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("server is not in expected state" + (f": {detail}" if detail else ""))


class ManifestNotSetError(CoordinatorError):
    """A value is asked for that exists only once a manifest is set."""

    def __init__(self) -> None:
        super().__init__("requested value not set")


class ManifestRefusedError(CoordinatorError):
    """A manifest that is not acceptable on this path; the message says where and why."""


class NotSupportedYetError(CoordinatorError):
    """A MarbleRun feature that a later version brings. Refused, never half done."""

    def __init__(self, feature: str, comes_with: str) -> None:
        super().__init__(f"{feature} is not supported yet: it comes with {comes_with!r}")
        self.feature = feature
        self.comes_with = comes_with


class GitOpsNotEnabledError(CoordinatorError):
    """A gitops call where no manifest with a GitOps section is enforced (approvals.md section 3, Genesis)."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"gitops-not-enabled: {detail}")


class UnsupportedStatementError(CoordinatorError):
    """Withdrawals and revocations, whose rules come later (approvals.md section 2)."""

    def __init__(self) -> None:
        super().__init__("unsupported-statement: withdrawals and revocations are not supported yet")


class ConflictError(CoordinatorError):
    """The state changed between the decision and the commit. Nothing was changed; ask again."""

    def __init__(self) -> None:
        super().__init__("conflict: the state changed while this call was being decided")


class MalformedRequestError(CoordinatorError):
    """A request body or query that cannot be read."""


class TooLargeError(CoordinatorError):
    """A request beyond its size limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"too-large: the request is larger than {limit} bytes")
        self.limit = limit


class TooManyRequestsError(CoordinatorError):
    """More update calls than this process takes."""

    def __init__(self) -> None:
        super().__init__("too many update calls; try again in a moment")


class SlowRequestError(CoordinatorError):
    """A body that did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("the request body did not arrive in time")


class RouteError(CoordinatorError):
    """No such path, or not with this method. MarbleRun answers both alike (marblerun-core section 11)."""

    def __init__(self) -> None:
        super().__init__("")


class NotAvailableError(CoordinatorError):
    """A thing this Coordinator does not have, such as collateral outside simulation."""


class ForbiddenError(CoordinatorError):
    """A thing this caller may not read."""


class UnauthenticatedError(CoordinatorError):
    """A marble that presented no TLS certificate."""

    def __init__(self) -> None:
        super().__init__("couldn't get marble TLS certificate")


class MarbleRefusedError(CoordinatorError):
    """A marble that is not what the manifest asks for, or one too many."""

    def __init__(self, why: str) -> None:
        super().__init__(f"marble verification failed: {why}")


class MarblePhaseError(CoordinatorError):
    """A marble that comes before there is a manifest."""

    def __init__(self) -> None:
        super().__init__("cannot accept marbles in current state")


class InvalidMarbleRequestError(CoordinatorError):
    """An activation request whose UUID or message cannot be read."""


class ActivationFailedError(CoordinatorError):
    """A verified marble whose credentials or parameters could not be made."""


class StoreError(CoordinatorError):
    """The store failed. Nothing changed, unless the guard says that it cannot know."""


class CorruptStateError(CoordinatorError):
    """What the store holds contradicts itself. The Coordinator refuses to start rather than to guess."""


class SealError(CoordinatorError):
    """A sealed value that this enclave's key opens only as altered bytes."""


class ForeignSealError(SealError):
    """A value sealed by another enclave identity: a case for recovery, not for an alarm."""
