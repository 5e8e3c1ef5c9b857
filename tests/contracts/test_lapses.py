"""When things lapse, against a dictionary that is searched."""

from hypothesis import given
from hypothesis import strategies as st

from gameserver.realtime.lapses import SPARE, Lapses

KEYS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("note"), KEYS, st.integers(0, 5)),
        st.tuples(st.just("forget"), KEYS, st.just(0)),
        st.tuples(st.just("take"), KEYS, st.integers(0, 5)),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_last_word_counts(steps: list[tuple[str, str, int]]) -> None:
    lapses, known = Lapses[str](), dict[str, int]()
    for what, key, number in steps:
        match what:
            case "note":
                lapses.note(key, number)
                known[key] = number
            case "forget":
                lapses.forget(key)
                known.pop(key, None)
            case "take":
                wanted = sorted((at, each) for each, at in known.items() if at <= number)[:2]
                assert lapses.take(number, 2) == [each for _, each in wanted]
                for _, each in wanted:
                    del known[each]


def test_what_is_noted_again_and_again_takes_no_more_memory() -> None:
    lapses = Lapses[str]()
    for number in range(10_000):
        lapses.note("abc"[number % 3], number)
    assert len(lapses) <= 2 * 3 + SPARE
    assert lapses.take(10_000, 10) == ["b", "c", "a"]
