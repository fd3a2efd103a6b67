import itertools

from hypothesis import given
from hypothesis import strategies as st

from candlewick.core.speculation.draft_lengths import WORTHWHILE, choose_lengths
from candlewick.core.speculation.step_costs import StepCosts


def free(num_more: int, depth: int) -> float:
    return 1.0 + 0.01 * num_more


def test_sure_guesses_at_no_cost_are_all_computed() -> None:
    assert choose_lengths([[0.9, 0.8, 0.7]], 1, free, most=8) == [3]


def test_guesses_that_do_not_pay_are_left() -> None:
    assert choose_lengths([[0.03, 0.001]], 1, free, most=8) == [0]
    assert choose_lengths([[0.5, 0.4]], 1, lambda num_more, depth: 1.0 + 0.6 * num_more, most=8) == [0]


def test_in_a_crowd_a_guess_must_be_better() -> None:
    def growth(num_more: int, depth: int) -> float:
        return 1.0 + num_more / 16  # sixteen rows and more: each costs the same

    assert choose_lengths([[0.6]], 1, growth, most=8) == [1]
    assert choose_lengths([[0.6]] * 16, 16, growth, most=8) == [0] * 16


def test_a_jump_in_cost_is_not_crossed_for_little() -> None:
    def growth(num_more: int, depth: int) -> float:
        return 1.0 if num_more <= 3 else 1.5

    assert choose_lengths([[0.9, 0.8, 0.7, 0.2, 0.1]], 1, growth, most=8) == [3]
    assert choose_lengths([[0.99] * 8], 1, growth, most=8) == [8]


@given(
    st.lists(st.lists(st.floats(0, 1), max_size=4).map(lambda c: sorted(c, reverse=True)), max_size=3),
    st.floats(0, 1),
    st.integers(0, 6),
)
def test_no_other_choice_yields_more(chances: list[list[float]], slope: float, most: int) -> None:
    num_rows = len(chances) + 1

    def gain(lengths: tuple[int, ...]) -> float:
        right = sum(sum(falling[:length]) for falling, length in zip(chances, lengths, strict=True))
        return (num_rows + right) / num_rows / (1 + slope * sum(lengths))

    chosen = tuple(choose_lengths(chances, num_rows, lambda num_more, depth: 1 + slope * num_more, most))
    assert sum(chosen) <= most
    ranges = [range(len(falling) + 1) for falling in chances]
    best = max(gain(lengths) for lengths in itertools.product(*ranges) if sum(lengths) <= most)
    assert gain(chosen) >= best - 1e-9 or (best <= WORTHWHILE + 1e-9 and not any(chosen))


def test_costs_are_learned_from_steps() -> None:
    costs = StepCosts()
    for _ in range(100):
        for num_rows, seconds in ((1, 0.1), (4, 0.11), (8, 0.2)):
            costs.observe(num_rows, seconds)
    assert abs(costs.growth(1, 3) - 1.1) < 0.03
    assert abs(costs.growth(1, 7) - 2.0) < 0.05


def test_a_slower_machine_changes_the_level_and_not_the_shape() -> None:
    costs = StepCosts()
    for _ in range(100):
        costs.observe(1, 0.1)
        costs.observe(4, 0.11)
    for _ in range(30):  # contexts have become long while nothing was guessed
        costs.observe(1, 0.15)
    assert 1.0 < costs.growth(1, 3) < 1.35


def test_an_interruption_is_soon_forgotten() -> None:
    costs = StepCosts()
    for _ in range(20):
        costs.observe(1, 0.1)
        costs.observe(2, 0.105)
    before = costs.growth(1, 1)
    costs.observe(2, 5.0)
    assert costs.growth(1, 1) < before * 1.1


def test_rows_are_never_free() -> None:
    costs = StepCosts()
    for _ in range(50):
        costs.observe(1, 0.1)
        costs.observe(3, 0.05)
    assert costs.growth(1, 2) >= 1.02
    assert costs.growth(16, 4) > 1
