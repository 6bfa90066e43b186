"""Invariant of the runner: the same --seed and --runs give the same inputs, so a failure can be repeated.

Uses atheris where it is installed and no ``--runs`` is given; else a small mutation loop over the seeds.
"""

from __future__ import annotations

import argparse
import importlib
import math
import random
import sys
import time
from collections.abc import Callable, Sequence

Target = Callable[[bytes], None]
_TOKENS = (
    b"\n",
    b"\0",
    b" ",
    b"\r",
    b"\n\n",
    b"\n ",
    b"gpgsig ",
    b"-----BEGIN SSH SIGNATURE-----\n",
    b"\xff",
    b"=",
)


def run(target: Target, seeds: Sequence[bytes], *, seconds: float = math.inf) -> None:
    """Run *target* on changed *seeds*; no input may take more than *seconds* of processor time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    chosen, rest = parser.parse_known_args()
    for seed in seeds:
        target(seed)
    if chosen.runs is None:
        try:
            atheris = importlib.import_module("atheris")
        except ImportError:
            chosen.runs = 20_000
        else:
            atheris.Setup([sys.argv[0], *rest], target)
            atheris.Fuzz()
            return
    rng = random.Random(chosen.seed)
    started = time.perf_counter()
    for number in range(chosen.runs):
        raw = mutate(rng, rng.choice(seeds), seeds)
        try:
            if _takes(target, raw) > seconds:
                # Again: the first time may have paid for something else, such as collecting garbage.
                assert min(_takes(target, raw) for _ in range(3)) <= seconds, f"more than {seconds} s"
        except Exception:
            sys.stderr.write(f"run {number} of seed {chosen.seed}: {raw.hex()}\n")
            raise
    sys.stdout.write(f"{chosen.runs} inputs in {time.perf_counter() - started:.1f} s, no failure\n")


def _takes(target: Target, raw: bytes) -> float:
    begin = time.process_time()
    target(raw)
    return time.process_time() - begin


def mutate(rng: random.Random, raw: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change *raw* in one to four places: flip, cut, insert a token, repeat, or splice another seed."""
    made = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made) + 1)
        end = min(len(made), at + rng.randint(1, 24))
        match rng.randrange(6):
            case 0 if at < len(made):
                made[at] ^= 1 << rng.randrange(8)
            case 1:
                del made[at:end]
            case 2:
                made[at:at] = rng.choice(_TOKENS)
            case 3:
                made[at:at] = made[at:end]
            case 4:
                other = rng.choice(seeds)
                start = rng.randrange(len(other) + 1)
                made[at:end] = other[start : start + rng.randint(1, 200)]
            case _:
                made[at:at] = rng.randbytes(rng.randint(1, 6))
    return bytes(made)
