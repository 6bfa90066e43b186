"""One key has one spelling, and keys that anybody could sign with are refused."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import gitsmith as smith
from marbleops.approval.errors import EvidenceError
from marbleops.approval.limits import MAX_KEY_CHARS
from marbleops.approval.reasons import Reason
from marbleops.approval.sshkey import ALGORITHMS, parse_public_key

P = 2**255 - 19
D = (-121665 * pow(121666, -1, P)) % P
MODULUS = 2**2047 + 1


def line(algorithm: str, *fields: bytes, name: str | None = None) -> str:
    blob = smith.string((name or algorithm).encode()) + b"".join(fields)
    return f"{algorithm} {base64.b64encode(blob).decode()}"


def ed25519(y: int) -> str:
    return line("ssh-ed25519", smith.string(y.to_bytes(32, "little")))


def rsa(exponent: int, modulus: int) -> str:
    return line("ssh-rsa", smith.mpint(exponent), smith.mpint(modulus))


def reason_of(text: str) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        parse_public_key(text)
    return caught.value.reason


@pytest.mark.parametrize("kind", smith.KINDS)
def test_every_supported_kind_parses(kind: str) -> None:
    key = smith.key("alice", kind)

    parsed = parse_public_key(key.public_line("alice@example.org, her laptop"))

    assert (parsed.algorithm, parsed.blob) == (key.algorithm, key.blob)
    assert (parsed.fingerprint, parsed.comment) == (key.fingerprint, "alice@example.org, her laptop")
    assert parsed.is_security_key is kind.startswith("sk-")


def test_the_smith_covers_every_algorithm() -> None:
    assert {smith.key("alice", kind).algorithm for kind in smith.KINDS} == ALGORITHMS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-dss AAAA",
        "ssh-ed25519-cert-v01@openssh.com AAAA",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA",
        "webauthn-sk-ecdsa-sha2-nistp256@openssh.com AAAA",
        "cert-authority ssh-ed25519 AAAA",
        'namespaces="git" ssh-ed25519 AAAA',
        " ssh-ed25519 AAAA",
        "SSH-ED25519 AAAA",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
    ],
)
def test_other_keys_are_unsupported(text: str) -> None:
    assert reason_of(text) is Reason.UNSUPPORTED_KEY_TYPE


def test_small_order_points_are_all_refused() -> None:
    """The list is computed here from the curve itself: every y of a point P with 8 P = 0."""
    sqrt_minus_one = pow(2, (P - 1) // 4, P)
    # 2P has order 4, so its y is 0: x^2 = -y^2, and the curve gives d y^4 + 2 y^2 - 1 = 0.
    root = pow((1 + D) % P, (P + 3) // 8, P)
    root = root if root * root % P == (1 + D) % P else root * sqrt_minus_one % P
    squares = [(sign * root - 1) * pow(D, -1, P) % P for sign in (1, -1)]
    order_8 = set()
    for square in squares:
        y = pow(square, (P + 3) // 8, P)
        y = y if y * y % P == square else y * sqrt_minus_one % P
        if y * y % P == square:
            order_8 |= {y, P - y}
    assert len(order_8) == 2

    for y in {0, 1, P - 1} | order_8:
        for sign in (0, 2**255):
            assert reason_of(ed25519(y + sign)) is Reason.MANIFEST_INVALID


@pytest.mark.parametrize("y", [P, P + 1, P + 3, 2**255 - 1, 2])
def test_points_off_the_curve_or_spelled_twice_are_refused(y: int) -> None:
    assert reason_of(ed25519(y)) is Reason.MANIFEST_INVALID


@pytest.mark.parametrize(
    "text",
    [
        rsa(65537, 2**1023 + 1),
        rsa(65537, 2**8192 + 1),
        rsa(65537, MODULUS + 1),
        rsa(1, MODULUS),
        rsa(4, MODULUS),
        rsa(2**33 + 1, MODULUS),
        line("ssh-rsa", smith.mpint(65537), smith.string(b"\0\0" + MODULUS.to_bytes(256, "big"))),
        line("ssh-rsa", smith.mpint(65537), smith.string(MODULUS.to_bytes(256, "big"))),
        line("ssh-rsa", smith.string(b"\0"), smith.mpint(MODULUS)),
        line("ssh-rsa", smith.string(b""), smith.mpint(MODULUS)),
    ],
)
def test_bad_rsa_keys_are_refused(text: str) -> None:
    assert reason_of(text) is Reason.MANIFEST_INVALID


@pytest.mark.parametrize("kind", smith.KINDS)
def test_a_key_ends_where_it_ends(kind: str) -> None:
    key = smith.key("alice", kind)
    for blob in (key.blob + b"\0", key.blob[:-1]):
        text = f"{key.algorithm} {base64.b64encode(blob).decode()}"
        assert reason_of(text) is Reason.MANIFEST_INVALID


def test_a_compressed_or_foreign_point_is_refused() -> None:
    point = smith.key("alice", "ecdsa-256").blob[-65:]
    name = "ecdsa-sha2-nistp256"
    compressed = bytes([2 + point[-1] % 2]) + point[1:33]
    off = point[:-1] + bytes([point[-1] ^ 1])

    for fields in (
        (smith.string(b"nistp256"), smith.string(compressed)),
        (smith.string(b"nistp256"), smith.string(off)),
        (smith.string(b"nistp384"), smith.string(point)),
        (smith.string(b"nistp256"), smith.string(b"\0")),
    ):
        assert reason_of(line(name, *fields)) is Reason.MANIFEST_INVALID


def test_the_label_is_the_type() -> None:
    key = smith.key("alice")
    assert reason_of(line("ssh-rsa", key.blob[15:], name="ssh-ed25519")) is Reason.MANIFEST_INVALID


@pytest.mark.parametrize("change", ["=", "A", " A", "\n\n", "\t"])
def test_base64_has_one_spelling(change: str) -> None:
    first, encoded = smith.key("alice").public_line().split(" ")
    text = f"{first} {change}{encoded}" if change == " A" else f"{first} {encoded}{change}"

    assert reason_of(text) is Reason.MANIFEST_INVALID


def test_a_key_has_a_length() -> None:
    assert reason_of("ssh-rsa " + "A" * MAX_KEY_CHARS) is Reason.TOO_LARGE


def test_the_application_is_part_of_a_security_key() -> None:
    """Two applications are two credentials; none at all is no credential."""
    one = parse_public_key(smith.key("alice", "sk-ed25519").public_line())
    two = parse_public_key(smith.key("alice", "sk-ed25519", application="ssh:work").public_line())

    assert one.fingerprint != two.fingerprint
    nameless = smith.key("alice", "sk-ed25519", application="").public_line()
    assert reason_of(nameless) is Reason.MANIFEST_INVALID


@settings(max_examples=15)
@given(text=st.text(max_size=60), tail=st.binary(max_size=40), kind=st.sampled_from(sorted(ALGORITHMS)))
def test_any_text_is_parsed_or_refused(text: str, tail: bytes, kind: str) -> None:
    for attempt in (text, f"{kind} {text}", line(kind, tail), line(kind, smith.string(tail))):
        with contextlib.suppress(EvidenceError):
            parse_public_key(attempt)
