"""Chaos: many players, servers that die, answers that get lost; and a model that counts what must have happened."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients" / "python"))  # the client need not be installed
