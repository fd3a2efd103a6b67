"""The search for markers against a naive one: leftmost first, and of those at one place the longest."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from candlewick.core.tokenizer.word_matcher import WordMatcher

WORDS = st.sets(st.text("<|a.", min_size=1, max_size=5), max_size=12)


def split_naively(words: dict[str, int], text: str) -> list[str | int]:
    parts: list[str | int] = []
    place = 0
    while place < len(text):
        found = [word for word in words if text.startswith(word, place)]
        if found:
            word = max(found, key=len)
            parts.append(words[word])
            place += len(word)
        else:
            if parts and isinstance(parts[-1], str):
                parts[-1] += text[place]
            else:
                parts.append(text[place])
            place += 1
    return parts


@given(WORDS, st.text("<|a. ", max_size=30))
def test_splits_as_the_naive_search_does(words: set[str], text: str) -> None:
    ids = {word: i for i, word in enumerate(sorted(words))}
    assert WordMatcher(ids).split(text) == split_naively(ids, text)


def test_many_alike_words_cost_no_more_than_one() -> None:
    """Ten thousand words tried one by one at each of 300,000 places would be minutes."""
    ids = {f"<unused{i}>": i for i in range(10_000)}
    matcher = WordMatcher(ids)
    start = time.process_time()
    assert matcher.split("<" * 300_000 + "<unused77>") == ["<" * 300_000, 77]
    assert time.process_time() - start < 5
