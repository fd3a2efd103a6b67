"""The tokenizer: a byte-level BPE trained on the corpus itself.

Owns the vocabulary's layout: control tokens and markers first, then bytes, then merges. Text is split as
llama.cpp's ``smollm`` kind does (every digit alone, then GPT-2's pattern), so a GGUF file with that name
tokenises alike everywhere.

No merge joins a blank with a word: a word is the same tokens after a blank, a quote or an underscore, so
that copying ``parrot`` from a sentence into JSON, or finding ``weather`` in ``get_weather``, is copying
tokens and not a translation that a tiny model has to learn for each of them.

    python training/text_tokens.py            # writes training/tokenizer.json
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from chat_format import CONTROL, MARKERS, render
from corpus.chance import Chance
from corpus.mixture import dialogue

PATH = Path(__file__).with_name("tokenizer.json")
VOCABULARY = 2048
PRE_TOKENIZER = "smollm"


def train(num_dialogues: int = 40_000, seed: int = 1) -> Tokenizer:
    """A tokenizer from ``num_dialogues`` training dialogues."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    blanks = pre_tokenizers.Split(" ", "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, blanks, words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in CONTROL]
        + [AddedToken(text, special=False, normalized=False) for text in MARKERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        chance = Chance(seed)
        for _ in range(num_dialogues):
            yield "".join(render(dialogue(chance)))

    tokenizer.train_from_iterator(texts(), trainer)
    # Without a merge that has a blank in it, the usual way to split gives the same tokens.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    return tokenizer


def load() -> Tokenizer:
    """The tokenizer that was trained last."""
    return Tokenizer.from_file(str(PATH))


if __name__ == "__main__":
    trained = train()
    trained.save(str(PATH))
    print(f"{PATH}: {trained.get_vocab_size()} tokens")
