"""``python -m coordinator``: run a Coordinator from the environment."""

from __future__ import annotations

import sys

from coordinator.main import main
from coordinator.settings import process_environment

sys.exit(main(process_environment()))
