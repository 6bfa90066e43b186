"""What MarbleRun's verbs read and print, without a Coordinator."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from marbleops.cli.errors import CommandError, UsageProblem
from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from marbleops.cli.marblerun.manifest_file import expected_digest, read_manifest, tell_ignored
from marbleops.cli.marblerun.manifests import with_updates
from marbleops.cli.marblerun.recovery_file import candidates
from marbleops.cli.marblerun.results import give_recovery_secrets, write_new
from marbleops.cli.marblerun.secret import go_document, secret_lines
from marbleops.cli.marblerun.secret_file import read_pem_secret, read_secrets
from marbleops.manifest.digest import Digest
from marbleops.wire.marblerun.secret_values import SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable

# An Ed25519 certificate and key and a P-256 key in SEC1, made once with openssl for this test.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBLDCB36ADAgECAhROgVCALMnq3iOsbT0f/ocg2KwnhTAFBgMrZXAwDDEKMAgG
A1UEAwwBeDAeFw0yNjExMjQwMjEyNDhaFw0zNjExMjEwMjEyNDhaMAwxCjAIBgNV
BAMMAXgwKjAFBgMrZXADIQD3A4y3cK03wI9XjuvOVDe4UboKZbPXeNm7MNW0Wsg5
AaNTMFEwHQYDVR0OBBYEFIIpadaKwZlmI9zbiP1tLG3eNlv6MB8GA1UdIwQYMBaA
FIIpadaKwZlmI9zbiP1tLG3eNlv6MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA
W3+4/+PtHDElijxdEGSzC0ZLoou/WNXMFShX8hllKdPy593tRavr+74cI9S1hEfN
YTkcmHj8Qhw+TQuCv/HACw==
-----END CERTIFICATE-----
"""
SEC1 = """-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMBjPilUwzokg2lcb1kWXNNK2fsL1bMAJJ+dHLqONrNmoAoGCCqGSM49
AwEHoUQDQgAEjdPyXJYGRRsXOPLu+PVfaMyfuEuOYZFK7Kp2o1THGTRFi38zxuev
KAUusUGUuCHHEqc+/hXfgERE2KAGU7VZKw==
-----END EC PRIVATE KEY-----
"""  # nothing is protected by it
SHARE = bytes(range(33))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def value(**fields: Any) -> SecretValue:
    empty: dict[str, Any] = {"certificate": b"", "private": b"", "public": b""}
    facts: dict[str, Any] = {
        "type": "plain",
        "size": 0,
        "shared": False,
        "user_defined": True,
        "valid_for": 0,
    }
    return SecretValue(**(facts | empty | fields))


def test_secrets_are_printed_in_marblerun_s_layout_with_base64_and_pem() -> None:
    plain = secret_lines("tok\x1b", value(private=b"hunter2", public=b"hunter2"))
    key = secret_lines("k", value(type="symmetric-key", size=128, user_defined=False))
    cert = secret_lines("c", value(type="cert-rsa", size=2048, valid_for=9, certificate=b"x" * 60))

    assert plain == [
        "tok\\u001b:", "\tType:          plain", "\tUserDefined:   true", "\tData:          aHVudGVyMg==", "",
    ]  # fmt: skip
    assert key[-2] == "\tKey:           (not set)"
    assert cert[5:8] == ["\tCertificate:", "\t-----BEGIN CERTIFICATE-----", "\t" + "eHh4" * 16]
    assert cert[-2:] == ["\tPrivate Key:   (not set)", ""]
    assert json.dumps(go_document(value(private=b"k"))) == (
        '{"Type": "plain", "Size": 0, "Shared": false, "UserDefined": true, "Cert": null, "ValidFor": 0,'
        ' "Private": "aw==", "Public": null}'
    )


def test_raised_versions_are_shown_since_the_last_full_update() -> None:
    rows = (
        '{"update":"SecurityVersion increased","package":"p","new version":9}',
        '{"update":"Complete Manifest updated"}',
        "not json",
        '["neither"]',
        '{"update":"SecurityVersion increased","package":"q","new version":4}',
        '{"update":"SecurityVersion increased","package":"gone","new version":4}',
    )

    shown = with_updates('{"Packages":{"p":{"SecurityVersion":1,"Debug":null},"q":{}},"TLS":null}', rows)

    assert json.loads(shown) == {"Packages": {"p": {"SecurityVersion": 1}, "q": {"SecurityVersion": 4}}}
    assert '\n    "Packages": {\n' in shown


def test_a_recovery_secret_is_found_in_every_form() -> None:
    cipher, encoded = b"\xff" * 256, base64.b64encode
    whole = json.dumps({"RecoverySecrets": {"a": encoded(cipher).decode(), "b": encoded(SHARE).decode()}})

    for raw in (cipher, SHARE, b"A" * 16, b"A" * 32, b"A" * 33, b"short", b"\xff"):
        assert candidates(raw) == [raw]
    assert candidates(encoded(SHARE) + b"\n") == [SHARE]
    assert candidates(encoded(cipher)) == [cipher]
    assert candidates(whole.encode()) == [cipher, SHARE]
    assert candidates(b'{"a": 1}') == []


def test_json_is_sent_as_it_is_and_yaml_converted(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b' {"a": 1, "a":  2}\n')
    (tmp_path / "m.yaml").write_text("b: 1\na: x\n")
    (tmp_path / "bad.json").write_text('{"a": 1 "b"}')
    (tmp_path / "latin").write_bytes(b"\xff")

    assert read_manifest(tmp_path / "m.json") == b' {"a": 1, "a":  2}\n'
    assert read_manifest(tmp_path / "m.yaml") == b'{"a":"x","b":1}'
    assert expected_digest(str(tmp_path / "m.yaml")) == Digest.of(b'{"a":"x","b":1}')
    assert expected_digest("AB" * 32).hex == expected_digest("sha256:" + "ab" * 32).hex == "ab" * 32
    calls: list[tuple[Callable[[Any], object], Any, str]] = [
        (read_manifest, tmp_path / "bad.json", "not valid JSON"),
        (read_manifest, tmp_path / "latin", "UTF-8"),
        (expected_digest, "ab" * 31, "neither"),
    ]
    for call, argument, words in calls:
        with pytest.raises(UsageProblem, match=words):
            call(argument)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"packages": {"p": {"securityVersion": 2}}}', ""),
        ('{"Marbles": {"m": {"MaxActivation": 1}}}', "m.json: Marbles.m.MaxActivation: the field"),
        ('{"Packages": 1}', ""),
    ],
)
def test_a_misspelt_field_is_named(text: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be passed over in silence, and a limit that is misspelt is none."""
    tell_ignored(text.encode(), Path("m.json"))

    shown = capsys.readouterr().err
    assert told in shown
    assert bool(told) == bool(shown)


def test_a_pem_file_becomes_a_certificate_and_a_pkcs8_key(tmp_path: Path) -> None:
    file = tmp_path / "site.pem"
    file.write_text("junk\n" + SEC1 + CERTIFICATE + CERTIFICATE)

    found = read_pem_secret(file, "site")["site"]

    assert sorted(found) == ["Cert", "Private"]
    assert base64.b64decode(found["Private"])[4:8] == b"\x01\x000\x13"  # PKCS#8: version 0, an algorithm
    file.write_text(CERTIFICATE)
    assert sorted(read_pem_secret(file, "site")["site"]) == ["Cert"]
    for content, words in (
        (SEC1, "no PEM certificate"),
        (CERTIFICATE + SEC1.replace("M", "N"), "private key"),
    ):
        file.write_text(content)
        with pytest.raises(UsageProblem, match=words):
            read_pem_secret(file, "site")


def test_a_file_of_secrets_is_objects_and_says_what_is_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"a": {"key": "eA==", "public": ""}}')
    assert read_secrets(file) == {"a": {"key": "eA==", "public": ""}}
    assert "public of a is ignored" in capsys.readouterr().err
    file.write_text('{"a": "eA=="}')
    with pytest.raises(UsageProblem, match="'a' is not an object"):
        read_secrets(file)


def test_a_new_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    write_new(tmp_path / "new", b"x")

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageProblem, match="not overwritten"):
        write_new(tmp_path / "new", b"y")


def test_recovery_secrets_that_cannot_be_saved_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(CommandError, match="keep what is printed above"):
        give_recovery_secrets({"b": b"2", "a": b"1"}, tmp_path / "taken")

    assert capsys.readouterr().out == '{"RecoverySecrets": {"a": "MQ==", "b": "Mg=="}}\n'
    assert give_recovery_secrets({}, None) == {}
    assert give_recovery_secrets({"a": b"1"}, tmp_path / "r.json") == {
        "recoveryData": str(tmp_path / "r.json")
    }
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600


ERA = '{"UniqueID": "' + "00" * 32 + '"}'
HOST = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("status HOST", Exit.USAGE, "no verified Coordinator certificate is kept"),
        ("status HOST --target x", Exit.USAGE, "give one of them"),
        ("status nonsense:port -i", Exit.USAGE, "write HOST:PORT"),
        ("-i status nonsense:port", Exit.USAGE, "write HOST:PORT"),
        ("-i lint era.json", Exit.USAGE, "--insecure before the verb is for MarbleRun's verbs"),
        ("manifest verify era.json HOST", Exit.USAGE, "never downloaded silently"),
        (
            "manifest verify era.json HOST --era-config skip.json",
            Exit.USAGE,
            "may not switch verification off",
        ),
        ("manifest verify era.json HOST --anchor era.json", Exit.USAGE, "add --insecure-simulation"),
        ("manifest verify era.json HOST --era-config zero.json", Exit.USAGE, "must not be 0"),
        (
            "manifest verify era.json HOST --accepted-advisories INTEL-SA-1",
            Exit.USAGE,
            "belong to an era file",
        ),
        ("manifest verify 12 HOST -i", Exit.USAGE, "neither a manifest file nor a signature"),
        ("manifest set era.json HOST -i -r no/such/folder/x", Exit.USAGE, "could not be saved"),
        ("manifest get HOST -i -o a -o b", Exit.USAGE, "more than one file"),
        ("manifest update cancel HOST -i", Exit.USAGE, "add --cert user.crt --key user.key"),
        ("secret get x HOST --pkcs11-config c", Exit.USAGE, "not supported yet"),
        ("recover era.json HOST --pkcs11-key-label c", Exit.USAGE, "not supported yet"),
        ("recover era.json HOST -k era.json", Exit.USAGE, "not a PEM private key"),
        ("secret get HOST -c era.json -k era.json", Exit.USAGE, "no secret named"),
        ("secret get x HOST -c era.json -k era.json", Exit.USAGE, "not a PEM certificate"),
        ("certificate root HOST", Exit.USAGE, "manifest verify FILE"),
        ("recover-with-signature era.json HOST", Exit.USAGE, "next: marbleops recover-with-signature --help"),
        ("recover-with-signature sign-secret era.json", Exit.USAGE, "Missing option '-o'"),
        ("version", Exit.USAGE, "say marbleops --version"),
        ("install --domain x", Exit.USAGE, "Kubernetes is not supported yet"),
        ("status https://HOST -i", Exit.USAGE, "without https://"),
        ("status HOST -i", Exit.UNREACHABLE, "127.0.0.1:1: Connection refused"),
        ("lint --marblerun m.yaml", Exit.REFUSED, "m.yaml: Marbles.m.Package: "),
        ("manifest set era.json HOST -i --coordinator-cert pem", Exit.USAGE, "would be overwritten"),
        ("manifest verify era.json HOST -i --coordinator-cert pem", Exit.USAGE, "give another --coordinator"),
        ("manifest get HOST -i --keep-cert --coordinator-cert pem", Exit.USAGE, "would be overwritten"),
        ("manifest get HOST -i -o -", Exit.USAGE, "leave -o out to print"),
        ("secret set pem HOST -c era.json -k era.json", Exit.USAGE, "add --from-pem NAME"),
        ("secret set cut.json HOST -c era.json -k era.json", Exit.USAGE, "line 1 column 2"),
        ("manifest set tab.yaml HOST -i", Exit.USAGE, "line 2, column 1: while scanning"),
        ("package-info era.json", Exit.USAGE, "sign the enclave first"),
        ("manifest signature era.json -n x", Exit.OK, Digest.of(ERA.encode()).hex),
    ],
)
def test_every_mistake_says_what_to_do(
    line: str, code: Exit, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("era.json").write_text(ERA)
    Path("zero.json").write_text(f'{{"SignerID": "{"4" * 64}", "ProductID": 3, "SecurityVersion": 0}}')
    Path("pem").write_text(CERTIFICATE)
    Path("cut.json").write_text("{")
    Path("m.yaml").write_text("Marbles:\n  m: {Package: nowhere}\n")
    Path("tab.yaml").write_text("a:\n\tb: 1\n")
    Path("skip.json").write_text('{"InsecureSkipVerify": true}')

    assert run(line.replace("HOST", HOST).split()) == code

    captured = capsys.readouterr()
    assert words in captured.out + captured.err
