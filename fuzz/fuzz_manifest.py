"""Invariant: whatever the bytes, a manifest is parsed or refused with ManifestError, never anything else.

With atheris: ``python fuzz/fuzz_manifest.py CORPUS``. Without: ``python fuzz/fuzz_manifest.py --runs 1000``
mutates a few seeds with a seeded generator, so that a failure can be repeated.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys

from marbleops.manifest.errors import ManifestError
from marbleops.manifest.lint import lint
from marbleops.manifest.parse import Strictness, load
from marbleops.manifest.template import dry_run

FILES = b"""{"Packages": {"p": {"UniqueID": "00"}}, "Secrets": {"k": {"Type": "symmetric-key", "Size": 128}},
"Marbles": {"m": {"Package": "p", "Parameters": {"Files": {"/f": "{{ raw .Secrets.k }}"},
"Env": {"E": {"Data": "00", "Encoding": "hex"}}}}}}"""
LOOSE = b"""{"packages": {"p": {"SignerID": "aa", "ProductID": 1, "SecurityVersion": 2}},
"marbles": {"m": {"package": "p"}}, "users": {"a": {"certificate": "PEM", "roles": ["r"]}},
"roles": {"r": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}},
"Config": {"UpdateThreshold": 1, "FeatureGates": null}, "x": [1.5, 1e9, "\\ud800"]}"""
GITOPS = b"""{"Packages": {"p": {"UniqueID": "00"}}, "Marbles": {"m": {"Package": "p"}},
"Users": {"a": {"Roles": ["r"], "SigningKeys": ["k"]}},
"Roles": {"r": {"ResourceType": "Manifest", "Actions": ["UpdateManifest"]}},
"Config": {"UpdateThreshold": 1}, "GitOps": {"Lineage": "l", "Version": 1, "Path": "a/b"}}"""
CERTIFICATE = b"""{"Packages": {"p": {"UniqueID": "00"}}, "Marbles": {"m": {"Package": "p"}},
"Secrets": {"c": {"Type": "cert-rsa", "Size": 2048, "Cert": {"NotAfter": "2030-01-01T00:00:00.5+02:00",
"Subject": {"CommonName": "c", "ExtraNames": [{"Type": [2, 5, 4, 3], "Value": "x"}]}, "SubjectKeyId": "AQI=",
"IPAddresses": ["::1"], "URIs": [{"Scheme": "s", "Host": "h", "RawPath": "/%41", "Path": "/A"}], "IsCA": true,
"ExtKeyUsage": [1, 13], "UnknownExtKeyUsage": [[2, 999]], "MaxPathLen": 1, "DNSNames": [null],
"PermittedIPRanges": [{"IP": "10.0.0.0", "Mask": [255, 0, 0, 0]}],
"ExtraExtensions": [{"Id": [1, 2], "Value": "BQA="}]}}}}"""
SEEDS = (FILES, LOOSE, GITOPS, CERTIFICATE)
PIECES = (
    *(bytes((sign,)) for sign in b'{}[]",:\xff\x00'),
    *(b"null", b"true", b"-0", b"1e400", b"NaN", b"\\ud83d", b"{{", b"}}", b"\xef\xbb\xbf"),
    *(b'"GitOps":', b'"gitops":', b'"SigningKeys":', b"9" * 400, b"[" * 40),
)


def test_one_input(raw: bytes) -> None:
    """Check the invariant for one input, under both levels."""
    for strictness in Strictness:
        try:
            manifest = load(raw, strictness=strictness)
            lint(manifest)
            dry_run(manifest)
        except ManifestError:
            continue


def mutated(generator: random.Random) -> bytes:
    """Cut, repeat, replace and insert in one of the seeds."""
    raw = bytearray(generator.choice(SEEDS))
    for _ in range(generator.randint(1, 6)):
        start = generator.randrange(len(raw) + 1)
        end = min(len(raw), start + generator.randint(0, 12))
        match generator.randrange(4):
            case 0:
                del raw[start:end]
            case 1:
                raw[start:start] = raw[start:end]
            case 2:
                raw[start:start] = generator.choice(PIECES)
            case _:
                raw[start : start + 1] = bytes((generator.randrange(256),))
    return bytes(raw)


def main(arguments: list[str]) -> int:
    """Run the plain loop, or hand over to atheris where it is installed and no ``--runs`` is given."""
    if "--runs" not in arguments and importlib.util.find_spec("atheris") is not None:
        atheris = importlib.import_module("atheris")
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *arguments], test_one_input)
        atheris.Fuzz()
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    generator = random.Random(options.seed)
    for run in range(options.runs):
        raw = mutated(generator)
        try:
            test_one_input(raw)
        except BaseException:
            sys.stderr.write(f"run {run} of seed {options.seed}: {raw!r}\n")
            raise
    sys.stdout.write(f"{options.runs} runs, no violation\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
