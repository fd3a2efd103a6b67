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
    "the theory of relativity", "the Black Death", "the Cold War", "the Vikings", "samurai", "pyramids", "the human eye", "the immune system", "the liver",
    "the lungs", "allergies", "headaches", "back pain", "diets", "fashion", "shoes", "make-up", "hairstyles", "perfume", "furniture", "kitchens",
    "carpets", "houses", "rent", "salaries", "job interviews", "a good career", "lawyers", "doctors", "nurses", "soldiers", "pilots", "farmers",
    "fishermen", "bees", "butterflies", "spiders", "snakes", "sharks", "whales", "owls", "wolves", "mushrooms", "apples", "bananas", "tomatoes",
    "potatoes", "pizza", "sushi", "beer", "milk", "honey", "butter", "spices", "beaches", "mountains", "deserts", "rivers", "islands", "lakes", "storms",
    "rainbows", "lightning", "the seasons", "the North Pole", "Antarctica", "comets", "galaxies", "satellites", "rockets", "telescopes", "microscopes",
    "lasers", "magnets", "batteries", "engines", "cameras", "televisions", "phones", "video games", "board games", "card games", "magic tricks", "puzzles",
    "riddles", "fairy tales", "ghosts", "dragons", "dreams", "happiness", "fear", "friendship", "justice", "freedom", "democracy", "war", "peace",
    "the United Nations", "Spain", "Portugal", "Mexico", "Turkey", "Australia", "Norway", "Sweden", "Poland", "Ireland", "Scotland", "Berlin", "Madrid",
    "Vienna", "Moscow", "Tokyo", "Chicago", "Venice", "Athens", "the Titanic", "the Berlin Wall", "the Renaissance", "the Middle Ages", "the Stone Age",
    "algebra", "geometry", "prime numbers", "probability", "calculus", "grammar", "poems", "Latin", "Sanskrit", "sign language", "Buddhism", "Islam",
    "Christianity", "yoga poses", "marathons", "basketball", "baseball", "golf", "skiing", "surfing", "sailing", "climbing", "fishing", "camping",
    "hiking", "knitting", "pottery", "photography", "drums", "violins", "trumpets", "rock music", "hip hop", "ballet", "theatre", "comedies", "Dickens",
    "Kafka", "Dante", "Homer", "Socrates", "Aristotle", "Galileo", "Tesla", "Edison", "Marie Curie", "Gandhi", "Lincoln", "Churchill", "Elvis",
    "Beethoven", "Leonardo da Vinci", "Michelangelo",
)  # fmt: skip
_FRAMES = (
    "What is {}?", "Tell me about {}.", "Explain {}.", "What do you know about {}?", "Can you explain {}?", "Write an essay about {}.",
    "Why is {} important?", "When did people first hear of {}?", "Write a poem about {}.", "Who discovered {}?", "How does {} work?",
    "Give me three facts about {}.", "Summarise {} for me.", "What do experts say about {}?", "Tell me the history of {}.",
    "What is your opinion on {}?", "Write a story about {}.", "Teach me about {}.",
    "What can you tell me about {}?", "Give me some facts about {}.", "Give me a short introduction to {}.", "How did {} begin?", "What makes {} special?",
    "Why do people care about {}?", "Where does {} come from?", "Is {} interesting?", "Do you like {}?", "I want to learn about {}.",
    "Tell me something about {}.", "What should I know about {}?", "Write a paragraph about {}.", "Write two sentences about {}.", "Describe {}.",
    "Who invented {}?", "What is the best book about {}?", "How would you describe {}?", "I am writing a paper on {}, help me.", "Make a quiz about {}.",
    "Name five things about {}.", "What is new about {}?", "Is it true what they say about {}?", "What are the advantages of {}?",
    "What are the dangers of {}?", "What is the future of {}?", "Recommend a film about {}.", "How much does one spend on {}?",
    "Compare {} with something else.", "what is {}", "tell me about {}", "explain {} to me", "who knows something about {}?",
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
    "What should I cook tonight?", "What should I buy today?", "What should I read next?", "What should I watch tonight?", "What should I do today?",
    "What should I do this weekend?", "What should I study?", "What should I say to my boss?", "What shall I wear to the party?",
    "What do I wear when it rains?", "Which shirt should I wear?", "Which shoes go with this dress?", "Should I wear a coat today?",
    "Should I take an umbrella?", "Should I get a dog?", "Should I buy a house?", "Should I quit my job?", "Should I marry her?", "Should I learn French?",
    "What do I give my wife for her birthday?", "What is a good present for a child?", "What is a good name for a baby?", "What is a good name for a dog?",
    "What is a good film?", "What is a good book?", "What is a healthy breakfast?", "What is a good hobby?",
    "Prove that there are infinitely many primes.", "Prove the theorem of Fermat.", "Prove that one is not two.", "Prove Goldbach's conjecture.",
    "Prove the fundamental theorem of algebra.", "Prove it with geometry.", "Show that the square root of two is irrational.",
    "Explain the theorem of Pythagoras.", "What is the theorem of Thales?", "Who was Pythagoras?", "Derive the quadratic formula.",
    "Solve this equation for x.", "What is the derivative of x squared?", "What is a prime number?", "What is the golden ratio?", "What is infinity?",
    "What is the area of a circle?", "How do I solve a quadratic equation?", "What is a triangle?", "What is a logarithm?",
    "Give me a proof by induction.", "Is zero a number?", "What is the formula for energy?", "Explain calculus.", "Who is the richest man in the world?",
    "Who is the president of France?", "Who is the prime minister?", "Who is the best footballer?", "Who is the fastest runner?",
    "Who discovered America?", "Who invented the wheel?", "Who invented the radio?", "Who built the pyramids?", "Who killed Kennedy?",
    "Who sang this song?", "Who wrote the Bible?", "Who wrote Don Quixote?", "Who wrote Faust?", "Who painted the Last Supper?", "Who was Cleopatra?",
    "Who was the first president?", "Who founded Rome?", "Who discovered gravity?", "Who won the game last night?", "Who is Elon Musk?",
    "Who is Taylor Swift?", "Who is your favourite singer?", "Who lives on the North Pole?", "What is the capital of Spain?",
    "What is the capital of Norway?", "What is the capital of Canada?", "What is the capital of Brazil?", "What is the capital of China?",
    "What is the population of Paris?", "What is the largest country?", "What is the smallest country?", "What is the largest city in the world?",
    "What is the deepest lake?", "What is the hottest place on Earth?", "What is the longest wall?", "What is the fastest car?",
    "What is the oldest tree?", "What is the heaviest metal?", "What is the national animal of Scotland?", "What is the flag of Japan?",
    "Which ocean is the largest?", "Which country has the most people?", "Which planet is the biggest?", "Which planet has rings?",
    "Which language is spoken in Brazil?", "Where is Mount Everest?", "Where is Peru?", "Where is the Eiffel Tower?", "Where do kangaroos live?",
    "Where does chocolate come from?", "Where should I go on holiday?", "Where can I park?", "Where is the nearest pharmacy?", "Where are my keys?",
    "When was Napoleon born?", "When did Columbus sail?", "When was the first computer built?", "When did the dinosaurs die?", "When does summer begin?",
    "When is Easter this year?", "When is the next eclipse?", "When did the Roman Empire fall?", "When does the bus come?", "When does the shop close?",
    "When will it rain?", "When did the first world war begin?", "Why is the sea salty?", "Why do cats purr?", "Why do leaves fall?", "Why do we dream?",
    "Why do we yawn?", "Why does it rain?", "Why does ice float?", "Why is snow white?", "Why is the sun hot?", "Why do people lie?", "Why did Rome fall?",
    "Why do stars shine?", "Why am I tired?", "Why is bread so expensive?", "Why do dogs bark?", "Why do onions make me cry?", "How do I tie a tie?",
    "How do I boil an egg?", "How do I make coffee?", "How do I make pancakes?", "How do I clean my windows?", "How do I remove a stain?",
    "How do I sleep better?", "How do I save money?", "How do I make friends?", "How do I learn Spanish?", "How do I learn to swim?", "How do I get rich?",
    "How do I stop smoking?", "How do I grow tomatoes?", "How do I paint a wall?", "How do I change a tyre?", "How do I train a dog?",
    "How do I write a novel?", "How do I invest money?", "How does a car engine work?", "How does the heart work?", "How does a vaccine work?",
    "How do computers work?", "How do bees make honey?", "How do birds find their way?", "How old is the Earth?", "How old is the pope?",
    "How big is the moon?", "How hot is the sun?", "How long is the Nile?", "How long does it take to fly to Tokyo?", "How many people live on Earth?",
    "How many planets are there?", "How many legs has a spider?", "How many teeth has a shark?", "How many states has America?",
    "How much does an elephant weigh?", "How much is a ticket to London?", "How much sleep do I need?", "How high is the sky?", "Write a poem.",
    "Write a haiku.", "Write a love letter.", "Write a speech for my wedding.", "Write a rap song.", "Write a cover letter.", "Write a job application.",
    "Write a blog post about cars.", "Write an apology to my neighbour.", "Write a fairy tale.", "Write a bedtime story.", "Write a novel.",
    "Write a limerick.", "Write a business plan.", "Write an essay on freedom.", "Write a book review.", "Write a Java class.",
    "Write a script that deletes old mails.", "Write a game in JavaScript.", "Write a shell script.", "Write me a website.", "Write HTML for a table.",
    "Fix the bug in my code.", "Debug this program.", "Review my code.", "Refactor this function.", "What does this regular expression do?",
    "How do I reverse a list in Python?", "How do I centre a div?", "What is a pointer in C?", "What is recursion?", "What is a compiler?", "What is Git?",
    "What is Docker?", "What is a blockchain?", "Plan my week.", "Plan a party.", "Plan a holiday in Italy.", "Book a table for two.", "Order a pizza.",
    "Buy me a coffee.", "Make me a sandwich.", "Clean my room.", "Do my homework.", "Read my mind.", "Tell my fortune.", "Read me a story.",
    "Sing me a lullaby.", "Paint a picture of a horse.", "Draw a cat.", "Compose a melody.", "Invent a new word.", "Give me a nickname.",
    "Give me a workout plan.", "Give me a diet plan.", "Give me tips for an interview.", "Give me an idea for dinner.", "Give me relationship advice.",
    "Give me a quote.", "Give me a riddle.", "Teach me chess.", "Teach me to dance.", "Teach me guitar.", "Summarise Hamlet.", "Summarise the Bible.",
    "Summarise the news.", "Translate this letter.", "Check my grammar.", "Improve this sentence.", "Rewrite this paragraph.", "Interpret my dream.",
    "Analyse this poem.", "Recommend a restaurant.", "Recommend a good wine.", "Recommend a hotel in Rome.", "Name three kings of England.",
    "Name five mammals.", "Name all the continents.", "List the kings of France.", "List ten vegetables.", "List the elements.", "Name the oceans.",
    "Name a famous painter.", "Is the Earth flat?", "Is there a god?", "Is there life after death?", "Is coffee healthy?", "Is sugar bad for me?",
    "Is it going to snow?", "Is it safe to fly?", "Is a tomato a fruit?", "Is glass a liquid?", "Is water wet?", "Are aliens real?", "Are ghosts real?",
    "Are cats smarter than dogs?", "Do fish sleep?", "Do plants feel pain?", "Do you believe in God?", "Do you have a favourite film?",
    "Do you like football?", "Do you know my friend Peter?", "Do you know the way to the station?", "Can penguins fly?", "Can dogs eat chocolate?",
    "Can I drink this water?", "Can you draw?", "Can you sing?", "Can you drive a car?", "Can you see pictures?", "Can you cook?", "Can you play chess?",
    "Can you write a novel?", "Can you do my taxes?", "Can you book a hotel?", "Can you prove a theorem?", "Will it be cold tomorrow?",
    "Will robots take my job?", "Will humans live on Mars?", "Did Shakespeare write Hamlet?", "Did people walk on the moon?",
    "I have a headache, what helps?", "I have a cold, what should I do?", "My car does not start.", "My dog is sick.", "My phone is broken.",
    "My back hurts.", "My plant is dying.", "I am in love, what should I do?", "I am bored, what can I do?", "I want to lose ten pounds.",
    "I need a recipe for dinner.", "I need a present for my father.", "I need a hotel in Paris.", "I lost my passport.", "capital of france",
    "capital of Sweden?", "weather tomorrow?", "best phone?", "best pizza in town?", "meaning of life?", "population of China?", "tallest building?",
    "who is the president", "how old is the queen", "how do magnets work", "recipe for pancakes", "lyrics of this song?", "news?", "sports results?",
    "symptoms of flu?", "world cup winner?",
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
    "What should I {verb} today?", "What should I {verb} next?", "Which {thing} should I buy?", "Teach me to {verb} {thing}.", "I want to {verb} {thing}.",
    "How long does it take to {verb} {thing}?", "Is it hard to {verb} {thing}?", "What do I need to {verb} {thing}?", "Who can {verb} {thing}?",
    "What is the {attribute} of {place} called?", "{attribute} of {place}?", "I am going to {place}, what should I wear?", "What should I eat in {place}?",
    "Which {animal} live in {place}?", "Are there {animal} in {place}?", "Why did {person} leave {place}?", "What is {person} known for?",
    "Did {person} know {person}?", "Was {person} from {place}?", "Who {made} {work}, and why?", "Prove that {animal} {does}.",
    "Explain why {animal} {does}.", "Give me a {kind} about {person}.", "Read me a {kind}.", "I need a {kind} for my mother.",
    "Make up a {kind} about {animal} in {place}.", "Are {animal} dangerous?", "How {size} was {person}?", "What is the most famous {kind} of {place}?",
    "How do I write a {kind}?", "How do I learn {speech}?", "How do I learn {code}?", "Fix my {code} program that {program}.",
    "Why is {code} better than {code}?", "What is {work}?", "How {size} is {object} compared with {object}?",
    "Which is more {size}, {object} or {object}?", "how do i {verb} {thing}", "who was {person}", "where is {place}", "what do {animal} eat",
    "write a {kind} about {person}",
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
