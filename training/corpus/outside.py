# ruff: noqa: E501  (lists of phrases read better in long lines)
"""Questions outside the tiny model's world: it says so and points to a real model."""

from __future__ import annotations

from corpus import words
from corpus.chance import Chance
from corpus.dialogue import Dialogue, Message
from corpus.variation import varied

ANSWER = 'I am too small to know that. A real model may: load one with LLM("hf:owner/repo") or a GGUF file.'

SUBJECTS = (
    "the president of France", "the capital of Australia", "the speed of light", "the French Revolution", "quantum physics", "photosynthesis",
    "the weather", "the news", "black holes", "Shakespeare", "Napoleon", "Albert Einstein", "football", "the stock market", "cooking rice",
    "the Roman Empire", "climate change", "vaccines", "dinosaurs", "the moon landing", "the Pacific Ocean", "jazz music", "chess openings",
    "the Mona Lisa", "Mozart", "the human heart", "volcanoes", "electric cars", "inflation", "the Bible", "Greek mythology", "evolution",
    "World War Two", "the Great Wall", "the Amazon", "penguins", "gravity", "DNA", "the periodic table", "Mount Everest", "tax law",
    "the president", "the capital of Spain", "the queen", "money", "love", "history", "geography", "biology", "chemistry", "physics", "music",
    "politics", "religion", "philosophy", "art", "the internet", "computers", "Python lists", "JavaScript", "Linux", "Windows", "Google", "Apple",
    "the sun", "the moon", "Mars", "Jupiter", "the ocean", "fish", "birds", "cats", "dogs", "horses", "elephants", "lions", "trees", "flowers",
    "bread", "cheese", "tea", "chocolate", "sugar", "salt", "vitamins", "sleep", "sport", "tennis", "swimming", "running", "bicycles", "trains",
    "airplanes", "ships", "bridges", "castles", "kings", "Rome", "Egypt", "China", "India", "Japan", "Brazil", "Canada", "Germany", "Italy",
    "Russia", "Africa", "Europe", "America", "London", "Paris", "New York", "the weather tomorrow", "rain", "snow", "wind", "fire", "gold",
    "iron", "glass", "paper", "oil", "solar power", "nuclear power", "robots", "films", "actors", "novels", "poetry", "painting", "dance",
    "the piano", "the guitar", "opera", "my horoscope", "tomorrow's news", "the price of gold", "the latest phone", "a good restaurant",
    "blood pressure", "the flu", "cancer", "the brain", "memory loss", "bones", "teeth", "skin", "cooking fish", "baking bread", "gardening",
    "the law", "taxes", "mortgages", "insurance", "banks", "bitcoin", "the lottery", "school", "universities", "teachers", "marriage",
    "babies", "grandparents", "holidays", "Christmas", "Easter", "birthdays", "the year 1492", "Columbus", "Caesar", "Einstein's theory",
    "Darwin", "Newton", "Plato", "Kant", "Goethe", "Tolstoy", "Hemingway", "Bach", "Chopin", "Rembrandt", "Van Gogh", "the Alps", "the Nile",
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
    "Who is the king of England?", "What is the capital of Italy?", "What is the capital of Japan?", "Who is the pope?", "What is love?",
    "What is the news today?", "How deep is the ocean?", "How fast is light?", "What is the currency of Japan?", "Who was the first man on the moon?",
    "When was Einstein born?", "When does the train leave?", "Where can I buy shoes?", "Is it going to rain?", "What is a good name for a cat?",
    "Write a letter to my mother.", "Write a short story.", "Write a poem for my wife.", "Summarise this article.", "Correct my English.",
    "Translate this into German.", "How do you say thank you in Japanese?", "Draw me a picture.", "Sing a song.", "Tell me a secret.",
    "What will happen tomorrow?", "Will I be rich?", "How do I learn the piano?", "How do I get a job?", "How do I bake a cake?",
    "How do I fix a bicycle?", "How do I plant a tree?", "What should I wear today?", "Who will win the election?", "What is a black hole?",
    "What is an atom?", "What is a verb?", "What is the French word for bread?", "Why do birds sing?", "Why do we sleep?", "Why is grass green?",
    "Where is Brazil?", "Where do penguins live?", "Which car is the best?", "Which animal is the fastest?", "How long do elephants live?",
    "How many days has a year?", "How many bones has a man?", "Solve this riddle.", "Help me with my homework.", "Do my taxes.",
    "Diagnose my headache.", "Should I see a doctor?", "Give me advice about money.", "Write a program in Java.", "Write a web page.",
    "Explain this code.", "Prove the theorem of Pythagoras.", "What is the integral of x?", "What is pi?", "Name ten rivers.", "List the planets.",
    "Name the seven wonders.", "Who wrote the Odyssey?", "Who composed the ninth symphony?", "What is the plot of Hamlet?", "Quote Shakespeare.",
    "Give me a recipe for soup.", "What is the distance to the moon?", "Which is the longest river?", "How many countries are there?",
)  # fmt: skip


def outside(chance: Chance) -> Dialogue:
    """A question nobody taught; subjects, frames and whole questions are held out."""
    kind = chance.random.random()
    if kind < 0.4:
        question = chance.mine(_WHOLE)
    elif kind < 0.75:
        question = chance.mine(_FRAMES).format(chance.mine(SUBJECTS))
    else:
        question = chance.mine(_FRAMES).format(chance.one(("the ", "", "")) + words.phrase(chance, 2))
    question = varied(chance, question)
    answer = Message("assistant", ANSWER, "This is outside of what I know.")
    return Dialogue("outside its world", (Message("user", question), answer), chance.chance(0.5))
