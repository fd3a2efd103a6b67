import itertools

from hypothesis import given
from hypothesis import strategies as st

from candlewick.core.speculation.prompt_lookup import LEAST_CHANCE, PromptLookup


def guess_after(token_ids: list[int], most: int = 4) -> list[int]:
    lookup = PromptLookup(token_ids)
    lookup.catch_up()
    return lookup.guess(most)


def test_what_followed_the_last_two_tokens_comes_again() -> None:
    assert guess_after([1, 2, 3, 4, 5, 9, 1, 2]) == [3, 4, 5, 9]


def test_nothing_repeated_nothing_guessed() -> None:
    assert guess_after([1, 2, 3, 4, 5]) == []
    assert guess_after([1]) == []
    assert guess_after([1, 2, 1]) == [], "one token is not enough"


def test_the_latest_place_is_preferred() -> None:
    assert guess_after([1, 2, 3, 1, 2, 4, 1, 2], most=1) == [4]


def test_a_longer_agreement_is_preferred_to_a_later_one() -> None:
    assert guess_after([1, 2, 3, 4, 5, 6, 9, 4, 5, 7, 1, 2, 3, 4, 5], most=1) == [6]


def test_a_repeating_text_goes_on_repeating() -> None:
    assert guess_after([1, 2, 3, 1, 2, 3], most=8) == [1, 2, 3, 1, 2, 3, 1, 2]
    assert guess_after([7, 7, 7], most=3) == [7, 7, 7]


def test_a_copy_is_followed_though_parts_of_it_stand_elsewhere_too() -> None:
    source = [1, 2, 3, 4, 5, 6, 7, 8]
    assert guess_after([*source, 99, 3, 4, 55, 98, 1, 2, 3, 4], most=4) == [5, 6, 7, 8]


def test_chances_follow_the_record() -> None:
    def chance_after(tail: list[int]) -> float:
        token_ids = [*range(100), *tail]
        lookup = PromptLookup(token_ids)
        lookup.catch_up()
        assert lookup.guess(1)
        return sum(lookup.chances(1))

    copying = chance_after(list(range(60)))
    misleading = chance_after([token for i in range(0, 60, 2) for token in (i, i + 1, 500 + i)] + [60, 61])
    fresh = chance_after([60, 61])
    assert misleading < fresh < copying
    assert misleading < 0.1
    assert copying > 0.9


def test_chances_fall_along_a_guess() -> None:
    lookup = PromptLookup([1, 2, 3, 1, 2, 3])
    lookup.catch_up()
    chances = lookup.chances(8)
    assert len(chances) > 1
    assert chances == sorted(chances, reverse=True)
    assert LEAST_CHANCE <= chances[-1] < chances[0] < 1


@given(st.lists(st.integers(0, 3), max_size=300), st.integers(1, 9), st.data())
def test_a_guess_is_what_followed_equal_tokens(token_ids: list[int], most: int, data: st.DataObject) -> None:
    growing = token_ids[: data.draw(st.integers(0, len(token_ids)))]
    lookup = PromptLookup(growing)
    lookup.catch_up()
    growing.extend(token_ids[len(growing) :])
    lookup.catch_up()
    guess = lookup.guess(most)
    pairs = list(itertools.pairwise(token_ids[:-1]))
    if not guess:
        assert len(token_ids) < 2 or tuple(token_ids[-2:]) not in pairs
        return
    assert len(guess) == most
    places = [i + 2 for i, pair in enumerate(pairs) if pair == tuple(token_ids[-2:])]
    continued = token_ids + guess
    assert any(continued[place : place + most] == guess for place in places)
    assert guess == guess_after(token_ids, most), "the same whether told at once or bit by bit"
