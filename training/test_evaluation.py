"""Tests of the judgement: a table is worth what its judge is worth.

python -m pytest training/test_evaluation.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chat_format import END_OF_TURN, render
from corpus import arithmetic, chains, everyday_tools, outside, smalltalk, tools
from corpus.chance import Chance, is_held_out
from corpus.dialogue import Dialogue
from corpus.random_tools import random_device
from corpus.results import told
from evaluate import ABILITIES, evaluate, is_right, obeys_mode, turns
from reply_writers import Reply, parse


def ideal(made: Dialogue) -> Reply:
    """What a perfect model would reply."""
    return parse(render(made)[1].removesuffix(END_OF_TURN))


def test_a_perfect_model_gets_full_marks() -> None:
    report = evaluate(ideal, 30)
    for name, tally, _ in report.rows():
        assert tally.total > 0, name
        assert tally.right == tally.total, name
    assert report.mistakes == []
    assert all(f"| {ability.name} | 30 | 30 | 100.0% |" in report.table() for ability in ABILITIES)


def test_a_silent_model_gets_none() -> None:
    report = evaluate(lambda made: Reply(None, "", ()), 10)
    for name, tally, _ in report.rows():
        if name not in ("valid JSON in tool calls", "no_think never thinks"):
            assert tally.right == 0, name


def test_wrong_answers_are_wrong() -> None:
    chance = Chance(1, "test")
    summed = arithmetic.arithmetic(chance, "+", True)
    assert is_right(summed, Reply("", "The answer: " + summed.answer.content, ()))
    assert not is_right(summed, Reply("", summed.answer.content + "0", ()))
    assert not obeys_mode(summed, Reply(None, summed.answer.content, ()))
    chosen = tools.tool_choice(chance)
    call = chosen.answer.calls[0]
    assert not is_right(chosen, Reply(None, "", ((call.name, "{"),)))
    assert not is_right(chosen, Reply(None, "", ((call.name + "x", "{}"),)))
    refused = tools.no_tool(chance)
    assert is_right(refused, Reply(None, "Anything", ()))
    assert not is_right(refused, Reply(None, "", (("some_tool", "{}"),)))


def test_two_calls_are_judged_at_every_turn() -> None:
    made = tools.two_calls(Chance(2, "test"))
    assert [turn.answer for turn in turns(made)] == [made.messages[place] for place in (1, 3, 5)]
    single = smalltalk.smalltalk(Chance(2, "test"))
    assert turns(single) == [single]


@pytest.mark.parametrize(
    "text", ["<think>\na\n</think>\nb", "<think>\na", "b", '<tool_call>\n{"name": "f"}\n</tool_call>']
)
def test_parse_takes_anything(text: str) -> None:
    reply = parse(text)
    assert (reply.thinking, reply.content) in (("a", "b"), ("a", ""), (None, "b"), (None, ""))


def test_questions_of_the_splits_differ() -> None:
    for make in (smalltalk.smalltalk, outside.outside):
        train, test = Chance(1), Chance(1, "test")
        asked = {make(train).messages[0].content for _ in range(1500)}
        assert not asked & {make(test).messages[0].content for _ in range(300)}


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ("42", "The result is 42."),
        ("Sunny, 18 degrees", "The result is Sunny, 18 degrees."),
        ("It is sunny in Oslo.", "It is sunny in Oslo."),
        ("one\ntwo", "The result is:\none\ntwo"),
        ('{"temp_c": 4.5, "ok": true}', "The temp c is 4.5. The ok is true."),
        ('{"city": "Oslo", "now": {"wind": 3, "sky": ["rain", "snow"]}}',
         "The city is Oslo. The wind is 3. The sky are rain, snow."),
        ('["a", "b", "c"]', "The results are a, b, c."),
        ('[{"id": 1, "name": "Ann"}]', "The results are id 1, name Ann."),
        ("[]", "The list is empty."),
        ("error: the user refused this call", "The tool reported an error: the user refused this call."),
        ('{"error": "no such file."}', "The tool reported an error: no such file."),
        ("", "Done."),
    ],
)  # fmt: skip
def test_answers_tell_results_of_every_form(result: str, answer: str) -> None:
    assert told(result) == answer


@pytest.mark.parametrize("key", everyday_tools.KEYS)
def test_every_everyday_tool_can_be_asked_for(key: str) -> None:
    """Each request of each tool, held out or not, names parameters of it, and what a call has is said there."""
    source = everyday_tools.TOOLS[key]
    assert not all(map(is_held_out, source.asks))
    for ask in source.asks:
        names = {*everyday_tools.request_gaps(ask), *json.loads(ask.partition(" | ")[2] or "{}")}
        assert names <= {*source.takes, *source.may}, ask
    for split in ("train", "test"):
        chance = Chance(3, split)
        for _ in range(20):
            device = everyday_tools.everyday_device(chance, key)
            offer = device.ask(chance)
            assert offer.arguments.keys() <= device.tool.parameters.keys()
            assert told(offer.result)
            for value in offer.arguments.values():
                copied = isinstance(value, str) or (
                    isinstance(value, int | float) and not isinstance(value, bool)
                )
                assert not copied or str(value) in offer.request


def test_a_random_tool_is_asked_for_by_words_of_its_own() -> None:
    chance = Chance(6)
    for _ in range(300):
        asked, *others = tools.make_devices(chance, 3, make=random_device)
        offer = asked.ask(chance)
        assert asked.concerns(offer.request)
        assert not any(asked.tags & other.tags for other in others)
        described = f"{asked.tool.name} {asked.tool.description}".lower()
        assert all(word in described for word in asked.tags)
        assert offer.arguments.keys() <= asked.tool.parameters.keys()
        for value in offer.arguments.values():
            assert str(value) in offer.request


def test_every_chain_can_be_followed() -> None:
    """Its link is a parameter of the second tool, whose call follows from the request and the first result."""
    tools = everyday_tools.TOOLS
    for made in chains.CHAINS:
        first, then = tools[made.first], tools[made.then]
        parameters = {*first.takes, *first.may, *then.takes, *then.may}
        assert {made.link, *made.fixed} <= {*then.takes, *then.may}
        assert not all(map(is_held_out, made.asks)) or made.held_out
        for ask in made.asks:
            assert made.link not in everyday_tools.request_gaps(ask), ask
            assert set(everyday_tools.request_gaps(ask)) <= parameters, ask
    for split in ("train", "test"):
        chance = Chance(5, split)
        for _ in range(300):
            one, two = chains.chain(chance)
            said = f"{one.offer.request} {one.offer.result}"
            fixed = [value for made in chains.CHAINS for value in made.fixed.values()]
            for value in two.offer.arguments.values():
                parts = value if isinstance(value, list) else [value]
                assert value in fixed or all(
                    str(part) in said or json.dumps(str(part))[1:-1] in said for part in parts
                )


def test_tools_of_the_test_split_are_never_trained_on() -> None:
    held_out = {key for key in everyday_tools.KEYS if is_held_out(key)}
    assert len(held_out) >= 50
    chance, test = Chance(4), Chance(4, "test")
    assert {everyday_tools.everyday_device(chance).source.key for _ in range(20_000)} == (
        set(everyday_tools.KEYS) - held_out
    )
    assert {everyday_tools.everyday_device(test).source.key for _ in range(5000)} == held_out
    for _ in range(2000):
        for link in chains.chain(chance):
            assert (
                not isinstance(link.device, everyday_tools.EverydayDevice)
                or link.device.source.key not in held_out
            )
