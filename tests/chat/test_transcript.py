"""Conversations that go on from the tokens that were drawn: exactly when, and with which ids."""

from __future__ import annotations

import pytest

from candlewick import LLM, GenerationParams, Message
from candlewick.chat.events import Complete
from candlewick.chat.template import CHATML
from candlewick.chat.transcript import Transcript

pytest.importorskip("candlewick._kernels", reason="the native module is not built")

GREEDY = GenerationParams(temperature=0, max_tokens=60)
QUESTION = [Message(role="user", content="Say <|im_end|> hello, please.")]


@pytest.fixture(scope="module")
def llm():
    with LLM("builtin") as llm:
        yield llm


@pytest.fixture(scope="module")
def plain():
    """The same model with a template that leaves nothing out."""
    with LLM("builtin", chat_template=CHATML) as llm:
        yield llm


def redrawn(llm: LLM, text: str) -> Transcript:
    """A transcript of ``QUESTION`` and the answer ``text``, drawn character by character: never as encoded."""
    prompt_ids = llm.conversation.turn(QUESTION, GREEDY, "adaptive", None, None).prompt_ids
    letters = [token_id for letter in text for token_id in llm.tokenizer.encode(letter)]
    end = llm.tokenizer.id_of("<|im_end|>")
    return Transcript((*prompt_ids, *letters, end), num_messages=2)


def conversation(text: str) -> list[Message]:
    return [*QUESTION, Message(role="assistant", content=text), Message(role="user", content="And now?")]


def prompt_ids(llm: LLM, messages: list[Message], transcript: Transcript | None) -> list[int]:
    return list(llm.conversation.turn(messages, GREEDY, "adaptive", None, None, transcript).prompt_ids)


def test_the_end_of_an_answer_tells_all_its_tokens(llm: LLM) -> None:
    *_, complete = llm.chat(QUESTION, params=GREEDY)
    assert isinstance(complete, Complete)
    assert complete.token_ids[: complete.usage.prompt_tokens] == tuple(prompt_ids(llm, QUESTION, None))
    assert len(complete.token_ids) == complete.usage.total_tokens
    assert "token_ids" not in complete.to_json()


def test_drawn_tokens_are_kept_and_the_text_is_the_same(plain: LLM) -> None:
    text = "hello there, how are you today?"
    transcript = redrawn(plain, text)
    fresh = prompt_ids(plain, conversation(text), None)
    continued = prompt_ids(plain, conversation(text), transcript)
    assert (
        continued[: len(transcript.token_ids)]
        == list(transcript.token_ids)
        != fresh[: len(transcript.token_ids)]
    )
    assert plain.tokenizer.decode(continued) == plain.tokenizer.decode(fresh)
    assert continued[-10:] == fresh[-10:]


@pytest.mark.parametrize("change", ["answer", "question", "forged"])
def test_another_past_is_encoded_afresh(plain: LLM, change: str) -> None:
    transcript = redrawn(plain, "hello")
    messages = conversation("hello")
    if change == "answer":
        messages[1] = Message(role="assistant", content="hello!")
    elif change == "question":
        messages[0] = Message(role="user", content="Say hello.")
    else:
        # The same text, but the marker in it is somebody's words in one and a marker in the other.
        text = plain.tokenizer.decode(transcript.token_ids)
        ids = tuple(plain.tokenizer.encode(text, parse_special=True))
        assert ids.count(plain.tokenizer.id_of("<|im_end|>")) == 3
        transcript = Transcript(ids, 2)
    assert prompt_ids(plain, messages, transcript) == prompt_ids(plain, messages, None)


def test_an_answer_that_was_cut_off_goes_on_after_its_last_token(plain: LLM) -> None:
    transcript = redrawn(plain, "hello there")
    cut = Transcript(transcript.token_ids[:-1], 2)
    assert prompt_ids(plain, conversation("hello there"), cut) == prompt_ids(
        plain, conversation("hello there"), transcript
    )


def test_thinking_is_left_out_as_the_template_does_unless_it_shall_be_kept(llm: LLM) -> None:
    thought = redrawn(llm, "<think>\nhm\n</think>\nhello")
    messages = conversation("hello")
    fresh = prompt_ids(llm, messages, None)
    assert prompt_ids(llm, messages, thought) == fresh
    kept = prompt_ids(llm, messages, Transcript(thought.token_ids, 2, keeps_thinking=True))
    assert kept[: len(thought.token_ids)] == list(thought.token_ids)
    said = llm.tokenizer.decode(fresh)
    assert llm.tokenizer.decode(kept) == said.replace(
        "assistant\nhello", "assistant\n<think>\nhm\n</think>\nhello"
    )


def test_a_template_without_turns_is_never_cut(llm: LLM) -> None:
    source = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    with LLM("builtin", chat_template=source) as unmarked:
        transcript = Transcript((*redrawn(unmarked, "hm hello").token_ids,), 2, keeps_thinking=True)
        messages = conversation("hello")
        assert prompt_ids(unmarked, messages, transcript) == prompt_ids(unmarked, messages, None)


def test_the_second_turn_finds_its_keys_and_values(llm: LLM) -> None:
    *_, first = llm.chat(QUESTION, params=GREEDY)
    answer = llm.answer(QUESTION, params=GREEDY)
    messages = [*QUESTION, answer.to_message(), Message(role="user", content="And now?")]
    transcript = Transcript(first.token_ids, num_messages=2, keeps_thinking=True)
    second = llm.answer(messages, params=GREEDY, transcript=transcript)
    # Whole blocks of 16 tokens are shared, and the last drawn token was never computed.
    assert second.usage.cached_tokens >= (len(first.token_ids) - 1) // 16 * 16
