"""Every workflow of MarbleRun's users, through our command line, against a Coordinator process."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from marbleops.attestation.platform.simulation import SimulationPlatform
from marbleops.cli.exits import Exit
from marbleops.cli.main import run
from tests.fakes.coordinator_process import CoordinatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

HOLDERS = ("ann", "ben", "cam")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(slots=True)
class Desk:
    """A person's folder with the Coordinator in reach; ``HOST`` in a command line is its address."""

    folder: Path
    coordinator: CoordinatorProcess

    @property
    def trust(self) -> str:
        return f"--insecure-simulation --anchor {self.coordinator.simulation / 'anchor.der'}"

    def call(self, line: str, *, code: int = Exit.OK) -> Done:
        """Run a command line; USER and ADMIN stand for two people's credentials, TRUST for the anchor."""
        words = line.replace("HOST", f"127.0.0.1:{self.coordinator.client_port}").replace("TRUST", self.trust)
        words = words.replace("ADMIN", "-c admin.crt -k admin.key").replace("USER", "-c user.crt -k user.key")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = run(words.split())
        done = Done(out.getvalue(), err.getvalue())
        assert found == code, f"{line}: {found}\n{done}"
        return done

    def write(self, name: str, value: Any) -> Path:
        file = self.folder / name
        file.write_text(json.dumps(value))
        return file


def manifest(folder: Path, **more: Any) -> dict[str, Any]:
    """Return a manifest with two users, secrets of all kinds and, for *more*, other sections."""
    updates = {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}
    packages = {"ResourceType": "Packages", "ResourceNames": ["app"], "Actions": ["UpdateSecurityVersion"]}
    reads = {
        "ResourceType": "Secrets",
        "ResourceNames": ["token", "site", "shared"],
        "Actions": ["ReadSecret"],
    }
    writes = {"ResourceType": "Secrets", "ResourceNames": ["token", "site"], "Actions": ["WriteSecret"]}
    cert_of = {name: (folder / f"{name}.crt").read_text() for name in ("admin", "user")}
    return {
        "Packages": {"app": {"SignerID": "11" * 32, "ProductID": 3, "SecurityVersion": 1}},
        "Marbles": {"be": {"Package": "app"}},
        "Secrets": {
            "token": {"Type": "plain", "UserDefined": True},
            "site": {"Type": "cert-ecdsa", "Size": 256, "UserDefined": True},
            "shared": {"Type": "symmetric-key", "Size": 128, "Shared": True},
        },
        "Users": {
            "admin": {"Certificate": cert_of["admin"], "Roles": ["updates", "packages", "reads", "writes"]},
            "user": {"Certificate": cert_of["user"], "Roles": ["updates"]},
        },
        "Roles": {"updates": updates, "packages": packages, "reads": reads, "writes": writes},
    } | more


def make_person(file: str, name: str, *kind: str) -> None:
    """Make a self-signed certificate and its key with openssl."""
    made = ("-subj", f"/CN={name}", "-keyout", f"{file}.key", "-out", f"{file}.crt")
    command = ("openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", *kind, *made)
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Give a fresh Coordinator, two people with certificates made by openssl, and no cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("admin", "user"):
        make_person(name, name, "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    (tmp_path / "coordinator").mkdir()
    coordinator = CoordinatorProcess(tmp_path / "coordinator").start()
    try:
        yield Desk(tmp_path, coordinator)
    finally:
        coordinator.close()


def recovery_keys(folder: Path, *names: str) -> dict[str, str]:
    """Make RSA keys in PKCS#1 and PKCS#8 files; return their public halves by name."""
    public = {}
    for at, name in enumerate(names):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = PrivateFormat.TraditionalOpenSSL if at % 2 else PrivateFormat.PKCS8
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
        spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        public[name] = spki.decode()
    return public


def lose_the_sealing_key(desk: Desk) -> None:
    """Restart the Coordinator on a machine whose sealing keys a microcode update has changed."""
    desk.coordinator.stop()
    SimulationPlatform.open(desk.coordinator.simulation).update_microcode()
    desk.coordinator.start()


def test_set_update_acknowledge_and_secrets(desk: Desk) -> None:
    """A deployment without an accident: set, verify, update alone and together, secrets, certificates."""
    first = desk.write("m.json", manifest(desk.folder))
    fingerprint = desk.call("manifest signature m.json").out.strip()

    assert "never downloaded silently" in desk.call("manifest set m.json HOST", code=Exit.USAGE).err
    done = desk.call("manifest set m.json HOST TRUST --save-sgx-quote q.bin")
    assert done.out.splitlines() == [
        "Successfully verified Coordinator, now uploading manifest",
        f"Manifest signature: {fingerprint}",
        "Manifest successfully set",
    ]
    assert "SIMULATION - no hardware protection" in done.err
    assert (desk.folder / "q.bin").stat().st_size > 1000
    desk.call("manifest set m.json HOST TRUST", code=Exit.REFUSED)

    assert desk.call("status HOST").out.startswith("3: Coordinator is running correctly")
    assert desk.call("manifest verify m.json HOST TRUST").out == "OK\n"
    assert desk.call(f"manifest verify {fingerprint} HOST TRUST").out == "OK\n"
    desk.call(f"manifest verify {'0' * 64} HOST TRUST", code=Exit.UNTRUSTED)
    shown = desk.call("manifest get HOST TRUST -s").out
    assert shown.split("\n", 1)[1] == (
        f'{{\n"ManifestSignature": "{fingerprint}",\n"Manifest": {first.read_text()}}}\n'
    )

    _package_update(desk, first)
    _two_people_agree(desk)
    _secrets(desk)
    _certificates(desk)


def _package_update(desk: Desk, first: Path) -> None:
    desk.write("package.json", {"Packages": {"app": {"SecurityVersion": 5}}})
    refused = desk.call("manifest update apply package.json HOST USER", code=Exit.REFUSED)
    assert "user user is not allowed to update one or more packages of [app]" in refused.err
    done = desk.call("manifest update apply package.json HOST ADMIN")
    assert done.out == "Update manifest set successfully\n"
    desk.call("manifest get HOST TRUST -u -o shown.json")
    assert json.loads((desk.folder / "shown.json").read_text())["Packages"]["app"]["SecurityVersion"] == 5
    desk.call("manifest get HOST TRUST -o same.json")
    assert (desk.folder / "same.json").read_bytes() == first.read_bytes()


def _two_people_agree(desk: Desk) -> None:
    packages = {"app": {"SignerID": "11" * 32, "ProductID": 3, "SecurityVersion": 6}}
    second = desk.write("m2.json", manifest(desk.folder, Packages=packages))
    done = desk.call("manifest update apply m2.json HOST ADMIN")
    assert done.out.splitlines()[2:] == [
        "1 user still needs to acknowledge the update manifest.",
        "The following users may acknowledge the update: user",
    ]
    missing = desk.call("manifest update get HOST --missing")
    assert missing.out == "The following users have not yet acknowledged the update: [user]\n"
    again = desk.call("manifest update apply m2.json HOST ADMIN", code=Exit.REFUSED)
    assert "next: marbleops manifest update get" in again.err
    assert desk.call("manifest update cancel HOST USER").out == "Cancellation successful\n"
    desk.call("manifest update get HOST", code=Exit.REFUSED)

    assert desk.call("manifest update apply m2.json HOST ADMIN -o json").json["missingUsers"] == ["user"]
    desk.call("manifest update get HOST -o pending.json")
    assert (desk.folder / "pending.json").read_bytes() == second.read_bytes()
    other = desk.call("manifest update acknowledge m.json HOST USER", code=Exit.REFUSED)
    assert "provided manifest does not match the pending manifest" in other.err
    done = desk.call("manifest update acknowledge pending.json HOST USER")
    assert done.out == (
        "Acknowledgement successful:\n"
        "All users have acknowledged the update manifest. Update successfully applied\n"
    )
    log = desk.call("manifest log HOST").out.splitlines()[2:]
    assert [json.loads(row)["update"][:27] for row in log] == [
        "Initial manifest set",
        "SecurityVersion increased",
        *["Complete Manifest update in", "Complete Manifest update ca"],
        *["Complete Manifest update in", "Complete Manifest update ac", "Complete Manifest updated"],
    ]


def _secrets(desk: Desk) -> None:
    desk.write("s.json", {"token": {"Key": "aHVudGVyMg=="}})
    assert desk.call("secret set s.json HOST ADMIN").out == "Secret successfully set\n"
    pem = (desk.folder / "user.key").read_text() + (desk.folder / "user.crt").read_text()
    (desk.folder / "site.pem").write_text(pem)
    desk.call("secret set site.pem HOST ADMIN --from-pem site")
    shown = desk.call("secret get token site HOST ADMIN").out
    assert "\tData:          aHVudGVyMg==\n" in shown
    certificate = "".join(f"\t{row}\n" for row in (desk.folder / "user.crt").read_text().splitlines())
    assert certificate in shown
    desk.call("secret get shared HOST ADMIN -o secret.json")
    assert (desk.folder / "secret.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((desk.folder / "secret.json").read_text())["shared"]["Size"] == 128
    refused = desk.call("secret get token HOST USER", code=Exit.REFUSED)
    assert "user user is not allowed to read one or more secrets of: [token]" in refused.err
    make_person("x", "admin", "ed25519")
    stranger = desk.call("secret get token HOST -c x.crt -k x.key", code=Exit.REFUSED)
    assert "client certificate did not match any MarbleRun users" in stranger.err
    assert "byte for byte" in stranger.err


def _certificates(desk: Desk) -> None:
    assert desk.call("certificate root HOST TRUST").out == "Root certificate written to marblerunRootCA.crt\n"
    desk.call("certificate intermediate HOST TRUST -o i.crt")
    desk.call("certificate chain HOST TRUST -o chain.crt")
    chain = (desk.folder / "chain.crt").read_bytes()
    root = (desk.folder / "marblerunRootCA.crt").read_bytes()
    assert chain == (desk.folder / "i.crt").read_bytes() + root
    assert root in (desk.folder / "config" / "marblerun" / "coordinator-cert.pem").read_bytes()
    x509.load_pem_x509_certificate(chain).verify_directly_issued_by(x509.load_pem_x509_certificate(root))
    (desk.folder / "other.pem").write_text((desk.folder / "user.crt").read_text() * 2)
    done = desk.call("status HOST --coordinator-cert other.pem", code=Exit.UNTRUSTED)
    assert "certificate is for no host" in done.err


def test_recovery_by_one_and_by_shares(desk: Desk) -> None:
    """The sealing key is lost twice: one key brings the state back, then two shares of three."""
    desk.write("m.json", manifest(desk.folder, RecoveryKeys=recovery_keys(desk.folder, "ann")))
    done = desk.call("manifest set m.json HOST TRUST -r recovery.json")
    assert done.out.splitlines()[-1] == "Recovery data saved to: recovery.json"

    lose_the_sealing_key(desk)
    stuck = desk.call("status HOST", code=Exit.UNTRUSTED)
    assert "recovery mode" in stuck.err
    assert "marbleops recover SECRET" in stuck.err
    assert desk.call("-i status HOST").out.startswith("1: Coordinator is in recovery mode.")
    nothing = desk.call("manifest get HOST TRUST", code=Exit.REFUSED)
    assert "marbleops recover SECRET" in nothing.err
    assert "Do not set a manifest" in nothing.err
    done = desk.call("recover recovery.json HOST -k ann.key TRUST")
    assert done.out == "Recovery successful.\n"
    again = desk.call("recover recovery.json HOST -k ann.key TRUST", code=Exit.REFUSED)
    assert "nothing is to be recovered" in again.err
    assert desk.call("status HOST").out.startswith("3:"), "the kept certificate fits again"

    keys = recovery_keys(desk.folder, *HOLDERS)
    desk.write("m2.json", manifest(desk.folder, RecoveryKeys=keys, Config={"RecoveryThreshold": 2}))
    desk.call("manifest update apply m2.json HOST ADMIN")
    desk.call("manifest update acknowledge m2.json HOST USER -r shares.json")

    lose_the_sealing_key(desk)
    # The first share is decrypted by hand and given plain, 33 bytes long (MarbleRun's own client fails: A10).
    command = (
        "import sys, json, base64; from pathlib import Path;"
        "from marbleops.cli.marblerun.credentials import read_recovery_key as key;"
        "from marbleops.cli.marblerun.recovery_file import plain_secret as plain;"
        "Path('share.bin').write_bytes(plain(Path('shares.json'), key(Path('ann.key'))))"
    )
    subprocess.run([sys.executable, "-c", command], check=True)
    assert (desk.folder / "share.bin").stat().st_size == 33
    assert "Remaining secrets: 2" in desk.call("recover share.bin HOST -k ann.key TRUST").out
    # The second holder's key stays off the network.
    desk.call("recover-with-signature public-key HOST TRUST -o coordinator.pem")
    desk.call("recover-with-signature sign-secret shares.json -k cam.key -o s.sig")
    encrypt = (
        "recover-with-signature encrypt-secret shares.json -k cam.key --coordinator-pub-key coordinator.pem"
    )
    desk.call(f"{encrypt} -o s.enc")
    desk.call(f"{encrypt} -o s.enc", code=Exit.USAGE)
    wrong = desk.call("recover-with-signature s.enc HOST -s s.enc TRUST", code=Exit.REFUSED)
    assert "the others are kept" in wrong.err
    assert "Remaining secrets: 2" in desk.call("recover share.bin HOST -k ann.key TRUST").out
    done = desk.call("recover-with-signature s.enc HOST -s s.sig TRUST -o json")
    assert done.json == {"remaining": 0, "message": "Recovery successful."}
    assert desk.call("manifest verify m2.json HOST TRUST").out == "OK\n"

    lose_the_sealing_key(desk)
    desk.write("m3.json", manifest(desk.folder, Marble={}))
    started_over = desk.call("manifest set m3.json HOST TRUST").err
    assert "replaced a state that waited for recovery" in started_over
    assert "m3.json: Marble: the field 'Marble' is unknown and ignored" in started_over
