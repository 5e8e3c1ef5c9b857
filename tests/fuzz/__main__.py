"""Coverage-guided fuzzing of the packet reader: `python -m tests.fuzz [-max_total_time=60]`.

Needs atheris (the extra `fuzz`). Inputs that reach new code are kept in a temporary folder, or in the one that is
named; the ones worth keeping go to `tests/fuzz/corpus`, which the tests replay.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gameserver.wire", "msgspec"]):
    from tests.fuzz.target import check

from tests.fuzz.seeds import CORPUS, seeds


def main() -> None:
    arguments = sys.argv[1:]
    folders = [word for word in arguments if not word.startswith("-")]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        kept = Path(folders[0] if folders else folder)
        for number, seed in enumerate(seeds()):
            (kept / f"seed-{number:04}").write_bytes(seed)
        options = [word for word in arguments if word.startswith("-")]
        atheris.Setup([sys.argv[0], "-max_len=4096", *options, str(kept), str(CORPUS)], check_any)
        atheris.Fuzz()


def check_any(body: bytes) -> None:
    check(body)


if __name__ == "__main__":
    main()
