from hypothesis import given
from hypothesis import strategies as st

from candlewick.core.stop_strings import StopStringFilter


def visible(pieces: list[str], stops: list[str]) -> str:
    stop_filter = StopStringFilter(stops)
    result = ""
    for piece in pieces:
        text, stopped = stop_filter.push(piece)
        result += text
        if stopped:
            return result
    return result + stop_filter.flush()


def by_definition(text: str, stops: list[str]) -> str:
    """The text before the stop string that ends first, and of those the longest."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


@given(
    st.lists(st.text("abc", max_size=4), max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_the_result_depends_on_the_text_alone(pieces: list[str], stops: list[str]) -> None:
    assert visible(pieces, stops) == by_definition("".join(pieces), stops)


@given(st.text("ab", max_size=20), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_is_held_back_only_while_it_may_become_a_stop_string(text: str, stops: list[str]) -> None:
    stop_filter = StopStringFilter(stops)
    shown = ""
    for i, character in enumerate(text):
        more, stopped = stop_filter.push(character)
        shown += more
        if stopped:
            return
        held = text[len(shown) : i + 1]
        assert held == "" or any(stop.startswith(held) for stop in stops)


def test_a_stop_string_across_pieces() -> None:
    stop_filter = StopStringFilter(["\n\nUser:"])
    assert stop_filter.push("Hello\n") == ("Hello", False)
    assert stop_filter.push("\nUs") == ("", False)
    assert stop_filter.matched is None
    assert stop_filter.push("er: hi") == ("", True)
    assert stop_filter.matched == "\n\nUser:"


def test_a_false_alarm_is_shown_in_full() -> None:
    stop_filter = StopStringFilter(["END"])
    assert stop_filter.push("the EN") == ("the ", False)
    assert stop_filter.push("TRY") == ("ENTRY", False)
    assert stop_filter.push("E") == ("", False)
    assert stop_filter.flush() == "E"
    assert stop_filter.flush() == ""
