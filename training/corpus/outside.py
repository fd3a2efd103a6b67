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
    "black holes", "Shakespeare", "Napoleon", "Albert Einstein", "football", "the stock market", "cooking rice",
    "the Roman Empire", "climate change", "vaccines", "dinosaurs", "the moon landing", "the Pacific Ocean", "jazz music", "chess openings",
    "the Mona Lisa", "Mozart", "the human heart", "volcanoes", "electric cars", "inflation", "the Bible", "Greek mythology", "evolution",
    "World War Two", "the Great Wall", "the Amazon", "penguins", "gravity", "DNA", "the periodic table", "Mount Everest", "tax law",
    "the president", "the capital of Spain", "the queen", "money", "love", "history", "geography", "biology", "chemistry", "physics", "music",
    "politics", "religion", "philosophy", "art", "the internet", "computers", "Python lists", "JavaScript", "Linux", "Windows", "Google", "Apple",
    "the sun", "the moon", "Mars", "Jupiter", "the ocean", "fish", "birds", "cats", "dogs", "horses", "elephants", "lions", "trees", "flowers",
    "bread", "cheese", "tea", "chocolate", "sugar", "salt", "vitamins", "sleep", "sport", "tennis", "swimming", "running", "bicycles", "trains",
    "airplanes", "ships", "bridges", "castles", "kings", "Rome", "Egypt", "China", "India", "Japan", "Brazil", "Canada", "Germany", "Italy",
    "Russia", "Africa", "Europe", "America", "London", "Paris", "New York", "rain", "snow", "wind", "fire", "gold",
    "iron", "glass", "paper", "oil", "solar power", "nuclear power", "robots", "films", "actors", "novels", "poetry", "painting", "dance",
    "the piano", "the guitar", "opera", "my horoscope", "the price of gold", "the latest phone", "a good restaurant",
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
    "Who is the president of the United States?", "What is the capital of France?", "Who won the last world cup?",
    "How old is the universe?", "Write a Python program that sorts a list.",
    "What is the meaning of life?", "How far away is the sun?", "Who wrote Hamlet?", "What is the largest animal?", "Write me a song.",
    "What is the tallest mountain?", "How do I cook pasta?", "What should I eat today?", "Is there life on Mars?", "Who painted the Mona Lisa?",
    "How do I lose weight?", "What is the population of Germany?", "Can you write code?", "Write a sorting function in C.", "Who invented the telephone?",
    "What is the best phone?", "How do planes fly?", "Why is the sky blue?", "What is the boiling point of water?", "When did the war end?",
    "What is the square root of 2?", "Recommend a book.", "Which film should I watch?", "How do I fix my car?", "What causes earthquakes?",
    "Plan a trip to Japan.", "Write an email to my boss.", "How tall is the Eiffel Tower?", "Who was Caesar?",
    "Who is the king of England?", "What is the capital of Italy?", "What is the capital of Japan?", "Who is the pope?", "What is love?",
    "How deep is the ocean?", "How fast is light?", "What is the currency of Japan?", "Who was the first man on the moon?",
    "When was Einstein born?", "When does the train leave?", "Where can I buy shoes?", "What is a good name for a cat?",
    "Write a letter to my mother.", "Write a short story.", "Write a poem for my wife.", "Summarise this article.", "Correct my English.",
    "How do you say thank you in Japanese?", "Draw me a picture.", "Sing a song.", "Tell me a secret.",
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

_GAPS: dict[str, tuple[str, ...]] = {
    "verb": ("cook", "paint", "repair", "sell", "buy", "wash", "grow", "draw", "bake", "clean", "fix", "build", "catch", "carry", "feed", "hide", "plant", "sew", "cut", "lift"),
    "thing": ("a house", "a boat", "a cake", "fish", "rice", "a chair", "my bicycle", "a horse", "tomatoes", "a shirt", "my roof", "a garden", "a violin", "soup", "a dress", "a wall", "my hair", "a kite", "potatoes", "a bridge"),
    "place": ("France", "Spain", "Norway", "Texas", "China", "Peru", "Kenya", "Berlin", "Madrid", "Oslo", "Chile", "Egypt", "Boston", "Vienna", "Poland", "Cuba", "Rome", "Tokyo", "India", "Greece"),
    "attribute": ("capital", "population", "currency", "flag", "president", "king", "climate", "history", "language", "area", "largest city", "longest river", "highest mountain", "economy", "national dish"),
    "person": ("Napoleon", "Mozart", "Einstein", "Shakespeare", "Cleopatra", "Newton", "Picasso", "Gandhi", "Galileo", "Columbus", "Beethoven", "Marie Curie", "Darwin", "Plato", "Elvis", "Lincoln"),
    "did": ("born", "alive", "famous", "married", "rich", "killed", "crowned", "buried"),
    "made": ("discovered", "invented", "wrote", "painted", "built", "won", "founded", "designed", "composed", "explored"),
    "work": ("penicillin", "the telephone", "Hamlet", "the steam engine", "Don Quixote", "the Eiffel Tower", "the radio", "America", "the light bulb", "Faust", "the printing press", "dynamite", "the last race"),
    "kind": ("poem", "story", "song", "letter", "essay", "speech", "joke book", "recipe", "novel", "review", "rap", "haiku", "limerick", "diary", "script"),
    "animal": ("elephants", "penguins", "bees", "whales", "ants", "tigers", "bears", "owls", "sharks", "frogs", "wolves", "cows", "snakes", "mice", "spiders"),
    "does": ("sleep", "eat", "live", "fly", "swim", "dream", "fight", "grow", "sing", "die"),
    "size": ("tall", "old", "heavy", "big", "far away", "long", "deep", "hot", "cold", "expensive", "dangerous"),
    "object": ("the moon", "the sun", "Mount Everest", "the Eiffel Tower", "the Nile", "Mars", "the Earth", "a whale", "a car", "the ocean", "the Sahara", "a diamond"),
    "speech": ("German", "French", "Spanish", "Italian", "Japanese", "Latin", "Greek", "Russian", "Arabic", "Dutch"),
    "code": ("Python", "Java", "C", "Rust", "JavaScript", "Go", "SQL", "HTML", "Ruby"),
    "program": ("sorts a list", "adds numbers", "draws a circle", "reads a web page", "plays chess", "finds primes", "prints the time", "sends an email", "reverses a text"),
}  # fmt: skip
_PATTERNS = (
    "How do I {verb} {thing}?", "Can you {verb} {thing}?", "What is the best way to {verb} {thing}?", "Should I {verb} {thing}?", "Where can I {verb} {thing}?",
    "What is the {attribute} of {place}?", "Tell me the {attribute} of {place}.", "Who is the president of {place}?", "How many people live in {place}?",
    "Is {place} a good place to live?", "Where is {place}?", "What can I see in {place}?", "How do I get to {place}?", "When was {person} {did}?", "Was {person} {did}?",
    "Who was {person}?", "What did {person} do?", "Tell me about the life of {person}.", "Who {made} {work}?", "When was {work} made?", "Write a {kind} about {animal}.",
    "Write me a {kind}.", "Write a {kind} about {place}.", "Can you write a {kind} for {person}?", "How do {animal} {does}?", "Why do {animal} {does}?", "Where do {animal} {does}?",
    "Do {animal} {does}?", "What do {animal} eat?", "How {size} is {object}?", "Is {object} {size}?", "Why is {object} so {size}?", "Translate {thing} into {speech}.",
    "How do you say {thing} in {speech}?", "What is {thing} in {speech}?", "Write a {code} program that {program}.", "Can you write {code} that {program}?",
    "Which is better, {code} or {speech}?", "What is the difference between {animal} and {object}?", "Compare {place} with {object}.", "Plan a holiday in {place}.",
    "Explain {work} to a child.", "Is it true that {animal} {does} in {place}?", "What happened in {place} last year?", "How much does {thing} cost?", "Who is richer, {person} or {person}?",
)  # fmt: skip


def _question(chance: Chance) -> str:
    """A question of the patterns; whole questions are held out."""
    return chance.draw(
        lambda: chance.one(_PATTERNS).format_map({gap: chance.one(fills) for gap, fills in _GAPS.items()})
    )


def outside(chance: Chance) -> Dialogue:
    """A question nobody taught; subjects, frames and whole questions are held out."""
    kind = chance.random.random()
    if kind < 0.25:
        question = chance.mine(_WHOLE)
    elif kind < 0.5:
        question = _question(chance)
    elif kind < 0.8:
        question = chance.mine(_FRAMES).format(chance.mine(SUBJECTS))
    else:
        question = chance.mine(_FRAMES).format(chance.one(("the ", "", "")) + words.phrase(chance, 2))
    question = varied(chance, question)
    answer = Message("assistant", ANSWER, "This is outside of what I know.")
    return Dialogue("outside its world", (Message("user", question), answer), chance.chance(0.5))
