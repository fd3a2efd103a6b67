# ruff: noqa: E501, SIM905  (lists of words read better as text)
"""Words and names that fill the grammar's gaps, real ones and invented ones.

Invented words teach copying: a model that has seen thousands of different names learns to copy a name, not to know it.
"""

from __future__ import annotations

import re
from pathlib import Path

from corpus.chance import Chance

PEOPLE = (
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olivia Paul Quinn Rosa Sam Tina Uma "
    "Victor Wendy Xavier Yara Zoe Alice Bob Carol Dan Eva Frank Gina Hugo Ivy Jonas Karl Lena Max Nina Oscar Petra "
    "Rita Sven Tom Ursula Vera Will Mia Lucas Aaron Abigail Adam Agnes Ahmed Aisha Alan Albert Alexander Alex Ali Amanda Amelia Amy "
    "Andrea Andrew Angela Anita Anne Anthony Antonio Arthur Astrid Barbara Beatrice Benjamin Bernard Beth Betty Bianca Bill Boris Brenda "
    "Brian Bruno Camille Carla Carlos Caroline Catherine Cecilia Charles Charlotte Chen Chloe Chris Christina Claire Colin Connor "
    "Cynthia Daisy Daniel Daphne Deborah Dennis Diana Diego Dmitri Dominic Donald Dora Doris Dorothy Douglas Edith Edward Elaine Elena "
    "Eleanor Elias Elizabeth Ella Ellen Eric Erika Ernest Esther Ethan Evelyn Fatima Fiona Florence Frances Freya Gabriel Gary George "
    "Gerald Gloria Gordon Greta Gustav Hannah Harold Harry Hassan Heather Hector Helen Helga Hiroshi Ian Ibrahim Ingrid Irene Isaac Isabel "
    "Ivan Jacob Jake James Jamie Jane Janet Jasmine Jason Javier Jean Jennifer Jessica Jim Joan Joe Johanna John Jon Jorge Joseph Josephine "
    "Joshua Juan Judith Julia Julian Karen Katrin Keith Kenji Kevin Kim Klaus Laila Lara Larry Laura Lauren Lee Leila Lewis Liam Lily Linda "
    "Lisa Liz Lorenzo Louis Louise Lucy Luis Luke Lydia Magnus Marco Margaret Marie Mario Mark Marta Martha Martin Mary Matthew Maurice "
    "Megan Mehmet Michael Michelle Miguel Mike Milan Miriam Mohammed Molly Monica Nadia Nancy Natalie Nathan Neil Nicholas Nick Nicole Nils "
    "Norman Olga Oliver Omar Otto Pablo Pamela Patricia Patrick Paula Pauline Pedro Peter Philip Phoebe Pierre Priya Rachel Rafael Ralph "
    "Raymond Rebecca Richard Robert Robin Roger Roland Ron Rosemary Roy Ruby Ruth Ryan Sally Samira Samuel Sandra Sara Sarah Sean Sergei "
    "Sharon Silvia Simon Sofia Sonia Sophie Stefan Stella Stephen Steve Stuart Susan Sylvia Tamara Tanya Ted Teresa Theo Thomas Tim Tobias "
    "Tony Tracy Vanessa Veronica Vincent Viola Vivian Vladimir Walter Wei William Winston Yasmin Yuki Yusuf Zara"
).split()
CITIES = (
    "Paris London Berlin Madrid Rome Vienna Oslo Lisbon Prague Dublin Athens Warsaw Zurich Geneva Boston Denver Seattle "
    "Chicago Austin Tokyo Osaka Delhi Mumbai Cairo Lagos Nairobi Sydney Perth Toronto Montreal Lima Quito Bogota Havana "
    "Hamburg Munich Porto Milan Turin Bergen Aberdeen Accra Adelaide Algiers Amman Amsterdam Ankara Antwerp Atlanta Auckland Baghdad Baku "
    "Baltimore Bangalore Bangkok Barcelona Basel Bath Beijing Beirut Belfast Belgrade Bern Bilbao Birmingham Bologna Bonn Bordeaux Brasilia "
    "Bremen Brighton Brisbane Bristol Bruges Brussels Bucharest Budapest Calgary Cambridge Canberra Cardiff Chennai Cleveland Cologne "
    "Copenhagen Cordoba Dakar Dallas Damascus Darwin Detroit Dhaka Doha Dortmund Dresden Dubai Dundee Durban Edinburgh Essen Exeter Florence "
    "Frankfurt Fukuoka Gdansk Genoa Ghent Girona Glasgow Gothenburg Graz Guadalajara Halifax Hanoi Hanover Harare Heidelberg Helsinki "
    "Hiroshima Hobart Houston Innsbruck Istanbul Jakarta Jerusalem Johannesburg Kabul Karachi Kathmandu Kiev Kingston Kobe Krakow Kyoto "
    "Lahore Leeds Leicester Leipzig Lille Linz Liverpool Lucerne Lyon Malaga Malmo Managua Manchester Manila Marseille Medellin Melbourne "
    "Memphis Miami Minsk Monaco Montevideo Moscow Nagoya Nantes Naples Nashville Newcastle Nice Norwich Nottingham Oakland Odessa Orlando "
    "Ottawa Oxford Palermo Panama Philadelphia Phoenix Pisa Pittsburgh Plymouth Portland Potsdam Pretoria Quebec Rabat Reykjavik Riga "
    "Rotterdam Salzburg Santiago Sapporo Seoul Seville Shanghai Sheffield Singapore Sofia Split Stockholm Strasbourg Stuttgart Tampa Tehran "
    "Toulouse Trieste Tripoli Tunis Utrecht Valencia Vancouver Venice Verona Vilnius Washington Wellington Winnipeg York Zagreb"
).split()
COLOURS = (
    "red blue green yellow purple orange pink brown black white grey teal violet silver gold beige crimson cyan indigo ivory khaki lilac "
    "magenta maroon navy olive scarlet turquoise"
).split()
ANIMALS = "cat dog horse parrot rabbit hamster turtle snake goat duck fox owl mouse pony goldfish".split()
FOODS = (
    "pizza pasta soup salad rice curry bread cheese sushi pancakes tacos noodles apples cake stew lasagna risotto goulash chili burgers "
    "omelette dumplings ramen falafel hummus waffles porridge muffins brownies cookies beans lentils chicken salmon tuna steak potatoes "
    "mushrooms bananas carrots pie toast kebab paella gnocchi ravioli"
).split()
JOBS = (
    "teacher nurse baker pilot farmer painter lawyer driver doctor singer gardener carpenter cook writer actor architect barber butcher "
    "chemist cleaner clerk dancer dentist designer editor electrician engineer firefighter fisherman florist judge librarian locksmith "
    "mechanic miner musician photographer plumber policeman potter programmer reporter sailor scientist shepherd soldier surgeon tailor "
    "translator vet waiter"
).split()
NOUNS = (
    "house river stone table window garden forest mountain bottle letter paper engine bridge candle mirror basket "
    "button carpet hammer island jacket kitchen ladder market needle ocean pencil rocket saddle ticket valley wagon "
    "yard anchor blanket castle desert feather glove harbour lantern meadow orchard pillow ribbon shadow temple apple arrow attic bakery "
    "balcony banana barrel basement bell bicycle blossom board boat bowl branch brick brush bucket bus butter cabin camera canal candy canoe "
    "card cart cave cellar chain chair chapel chest chimney circle cliff clock cloud coat coin corner cottage cotton cradle crown cup curtain "
    "cushion diary dish door dress drum dust eagle egg elbow fence field finger flag flame flute fog fork fountain frame garage gate ghost "
    "giraffe glass goose grape grass guitar hall handle hat hedge helmet hill honey hook horn hotel ink iron jar jewel jungle kettle key kite "
    "knife knot lake lamp lawn leaf lemon lid lion lock magnet map marble mask medal melon metal mill mug museum nail nest net nut oak oar oven "
    "paint palace parcel path pearl pepper piano pipe plate pocket pond pot puddle pump puzzle quilt rabbit radio raft rail rain ring road robot "
    "roof root rope rose rug ruler sail salt sand sauce scarf school screw seed shelf shell shirt shoe shovel silk sink skirt sky sled snow soap "
    "sock sofa soil spoon spring stairs star statue steam stove straw string sugar sun sword tail tap tent thread throne tile toast tooth torch "
    "towel tower toy track tractor train tray tree trumpet tub tunnel umbrella vase vest village violin wall watch water wave well wheel whistle "
    "willow wind wine wing wood wool zebra"
).split()
_WHO = (
    "I we you they he she dinner lunch the meeting the train my car the report our plan the party the dog everybody nobody".replace(
        "the ", "the_"
    )
    .replace("my ", "my_")
    .replace("our ", "our_")
    .split()
)
_DOES = (
    "will be late", "am late today", "is at {n}", "is ready", "starts at {n} pm", "need {n} more", "bought {n} tickets", "found the keys", "can come to the {w}",
    "cannot come", "will call back soon", "forgot the {w}", "like the new {w}", "must be in {c} by {n}", "is in {c}", "is not working", "has a problem with the {w}",
    "wants to see the {w}", "went home", "is very good", "should buy a {w}", "will arrive on Monday", "has moved to {c}", "says hello", "paid {n} euros",
)  # fmt: skip

_ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl st tr sh th".split()
_VOWELS = "a e i o u ai ea ou".split()
_CODAS = ["", "", "", "n", "r", "l", "s", "m", "k", "t", "nd", "rt"]


def invented(chance: Chance, syllables: int | None = None) -> str:
    """A pronounceable word that means nothing, of this split."""

    def make() -> str:
        count = syllables or chance.number(2, 3)
        return "".join(chance.one(_ONSETS) + chance.one(_VOWELS) + chance.one(_CODAS) for _ in range(count))

    return chance.draw(make)


def person(chance: Chance) -> str:
    return chance.mine(PEOPLE) if chance.chance(0.5) else invented(chance, 2).capitalize()


def city(chance: Chance) -> str:
    return chance.mine(CITIES) if chance.chance(0.6) else invented(chance).capitalize()


def _found() -> tuple[str, ...]:
    """The longer words of tools and of questions about Candlewick. Copied as values they can't be guessed by heart, as a
    short list can."""
    folder = Path(__file__).parent
    files = [folder / "chains.toml", *sorted(folder.glob("tool_tables/*.toml")), folder / "topics.toml"]
    text = " ".join(file.read_text(encoding="utf-8") for file in files)
    words = set(re.findall(r"(?<![\w.])[a-z]{4,10}(?![\w(=.])", text))
    return tuple(sorted(words - set(_NOT_COPIED)))


_NOT_COPIED = (
    "about again all also another answer answers anything asks been both call called can could does doing done each else every "
    "find from give gives given have here into just know like likes look make more most much name names need number other "
    "please said same says search send show some something such takes tell text than thank thanks that their them then there "
    "these they thing this those through today tomorrow urgent used user uses very want what when where which while will with "
    "word words would write your "
    "abort aborting attack blood bloodbank bomb corpse crime dead death drug drugs hate kill killed killing murder murders pills poison suicide weapon weapons"
).split()
"""Too common to be copied as values, or not fit for a message to anybody."""
FOUND = _found()


def word(chance: Chance) -> str:
    """A word to copy: a plain noun, one of the corpus's own words, or an invented one."""
    kind = chance.random.random()
    if kind < 0.25:
        return chance.mine(NOUNS)
    return chance.mine(FOUND) if kind < 0.55 else invented(chance)


def phrase(chance: Chance, longest: int = 4) -> str:
    return " ".join(word(chance) for _ in range(chance.number(1, longest)))


def integer(chance: Chance, digits: int = 4) -> int:
    return chance.draw(lambda: chance.number(0, 10 ** chance.number(1, digits) - 1))


def decimal(chance: Chance) -> float:
    return chance.draw(lambda: round(chance.random.uniform(0.1, 99), chance.number(1, 2)))


def saying(chance: Chance) -> str:
    """A plain little sentence without a full stop, as people put into messages and notes."""
    text = f"{chance.mine(_WHO).replace('_', ' ')} {chance.mine(_DOES)}"
    text = text.format(n=integer(chance, 2), w=word(chance), c=city(chance))
    if chance.chance(0.2):
        text += chance.one((" and ", " but ", ", ")) + saying(chance)
    return text[0].upper() + text[1:] if chance.chance(0.2) else text
