# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Questions outside the tiny model's world: it says so and points to a real model."""

from __future__ import annotations

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message

ANSWER = 'I am too small to know that. A real model may: load one with LLM("hf:owner/repo") or a GGUF file.'

_SUBJECTS = (
    "the president of France", "the capital of Australia", "the speed of light", "the French Revolution", "quantum physics", "photosynthesis",
    "the weather", "the news", "black holes", "Shakespeare", "Napoleon", "Albert Einstein", "football", "the stock market", "cooking rice",
    "the Roman Empire", "climate change", "vaccines", "dinosaurs", "the moon landing", "the Pacific Ocean", "jazz music", "chess openings",
    "the Mona Lisa", "Mozart", "the human heart", "volcanoes", "electric cars", "inflation", "the Bible", "Greek mythology", "evolution",
    "World War Two", "the Great Wall", "the Amazon", "penguins", "gravity", "DNA", "the periodic table", "Mount Everest", "tax law",
    "the European Union", "the Olympic Games", "coffee", "wine", "yoga", "diabetes", "the Sahara", "Cleopatra", "Picasso", "the Beatles",
)  # fmt: skip
_FRAMES = (
    "What is {}?", "Tell me about {}.", "Explain {}.", "What do you know about {}?", "Can you explain {}?", "Write an essay about {}.",
    "Why is {} important?", "When did people first hear of {}?", "Write a poem about {}.", "Who discovered {}?", "How does {} work?",
    "Give me three facts about {}.", "Summarise {} for me.", "What do experts say about {}?", "Tell me the history of {}.",
    "What is your opinion on {}?", "Write a story about {}.", "Teach me about {}.",
)  # fmt: skip
_WHOLE = (
    "Who is the president of the United States?", "What is the capital of France?", "Who won the last world cup?", "What day is it?",
    "What time is it?", "How old is the universe?", "Translate good morning into French.", "Write a Python program that sorts a list.",
    "What is the meaning of life?", "How far away is the sun?", "Who wrote Hamlet?", "What is the largest animal?", "Write me a song.",
    "What is the tallest mountain?", "How do I cook pasta?", "What should I eat today?", "Is there life on Mars?", "Who painted the Mona Lisa?",
    "How do I lose weight?", "What is the population of Germany?", "Can you write code?", "Write a sorting function in C.", "Who invented the telephone?",
    "What is the best phone?", "How do planes fly?", "Why is the sky blue?", "What is the boiling point of water?", "When did the war end?",
    "What is the square root of 2?", "Recommend a book.", "Which film should I watch?", "How do I fix my car?", "What causes earthquakes?",
    "Plan a trip to Japan.", "Write an email to my boss.", "What is the weather like today?", "How tall is the Eiffel Tower?", "Who was Caesar?",
    "Give me a recipe for soup.", "What is the distance to the moon?", "Which is the longest river?", "How many countries are there?",
)  # fmt: skip


def outside(chance: Chance) -> Dialogue:
    """A question nobody taught; subjects, frames and whole questions are held out."""
    kind = chance.random.random()
    if kind < 0.4:
        question = chance.mine(_WHOLE)
    elif kind < 0.75:
        question = chance.mine(_FRAMES).format(chance.mine(_SUBJECTS))
    else:
        question = chance.mine(_FRAMES).format(chance.one(("the ", "", "")) + words.phrase(chance, 2))
    answer = Message("assistant", ANSWER, "This is outside of what I know.")
    return Dialogue("outside its world", (Message("user", question), answer), chance.chance(0.5))
