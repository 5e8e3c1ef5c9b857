"""The corpus, replayed, and a fixed number of changes to it: what the fuzzer does for hours, in seconds."""

import random

from tests.fuzz.seeds import mutated, seeds
from tests.fuzz.target import check

MUTATIONS = 10  # of each seed


def test_every_seed_is_read_or_refused() -> None:
    outcomes = [check(seed) for seed in seeds()]
    assert any(outcomes)
    assert not all(outcomes)


def test_so_is_every_change_of_a_seed() -> None:
    chance = random.Random("changes")
    read = [check(mutated(seed, chance)) for seed in seeds() for _ in range(MUTATIONS)]
    assert any(read), "nothing that was changed could still be read: the changes are too coarse"
