"""Tasks of the lab's base model: about twenty small instructions with one right answer each.

Most are closed tables, so that a model of two million parameters learns them in minutes on two cores. For every content
(a country, a list of words), at most one phrasing is held out of training; accuracy is exact match on those.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from zlib import crc32

from monitor.lab import product
from monitor.lab.product import Split, words

WORDS: Final = words(
    "apple river stone cloud table horse green happy quiet bread music paper garden winter silver doctor window "
    "bridge yellow forest candle market pencil rocket summer basket coffee orange castle island"
)


@dataclass(frozen=True)
class Item:
    """One instruction; a reply is right when it equals one of ``answers`` (the first is the usual one)."""

    task: str
    prompt: str
    answers: tuple[str, ...]
    reply: str


def is_right(item: Item, reply: str) -> bool:
    """Exact match, spaces at the ends aside."""
    return reply.strip() in item.answers


@dataclass(frozen=True)
class Drawn:
    """A content drawn at random: the same question in every phrasing, and its right answers."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    reply: str | None = None


Draw = Callable[[Random], Drawn]


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


def _lookup(phrasings: Sequence[str], table: Mapping[str, str]) -> Draw:
    entries = list(table.items())

    def drawn(rng: Random) -> Drawn:
        key, value = rng.choice(entries)
        return Drawn(tuple(phrasing.format(key) for phrasing in phrasings), (value,))

    return drawn


CAPITALS: Final = _pairs(
    "France:Paris Spain:Madrid Italy:Rome Germany:Berlin Poland:Warsaw Sweden:Stockholm Norway:Oslo Finland:Helsinki "
    "Denmark:Copenhagen Austria:Vienna Belgium:Brussels Portugal:Lisbon Greece:Athens Ireland:Dublin Hungary:Budapest "
    "Japan:Tokyo Canada:Ottawa Egypt:Cairo Cuba:Havana Peru:Lima"
)
OPPOSITES: Final = _pairs(
    "hot:cold big:small fast:slow up:down old:young happy:sad light:dark hard:soft wet:dry early:late rich:poor "
    "full:empty open:closed high:low long:short strong:weak near:far clean:dirty loud:quiet left:right"
)
PLURALS: Final = _pairs(
    "cat:cats dog:dogs mouse:mice foot:feet child:children box:boxes city:cities leaf:leaves man:men woman:women "
    "tooth:teeth goose:geese baby:babies knife:knives fox:foxes bus:buses lamp:lamps chair:chairs "
    "tent:tents clock:clocks"
)
FRUITS: Final = _pairs(
    "banana:yellow lemon:yellow cherry:red strawberry:red lime:green pear:green plum:purple grape:purple orange:orange "
    "carrot:orange coconut:brown kiwi:brown blueberry:blue tomato:red pea:green"
)
SOUNDS: Final = _pairs(
    "dog:woof cat:meow cow:moo sheep:baa duck:quack pig:oink lion:roar bee:buzz snake:hiss horse:neigh "
    "owl:hoot frog:croak"
)
PAST: Final = _pairs(
    "go:went eat:ate run:ran see:saw take:took make:made write:wrote sing:sang swim:swam buy:bought think:thought "
    "walk:walked play:played give:gave come:came drink:drank fly:flew know:knew sleep:slept find:found"
)
RHYMES: Final = _pairs(
    "cat:hat dog:log sun:run tree:bee house:mouse light:night ball:wall ring:king star:car boat:goat "
    "cake:lake bread:head"
)
GREETINGS: Final = _pairs(
    "French:Bonjour Spanish:Hola German:Hallo Italian:Ciao Swedish:Hej Finnish:Hei Polish:Czesc Portuguese:Ola "
    "Japanese:Konnichiwa Irish:Dia Turkish:Merhaba English:Hello"
)
MONTHS: Final = words("January February March April May June July August September October November December")
CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "an animal": tuple(SOUNDS),
    "a fruit": ("banana", "lemon", "cherry", "pear", "plum", "lime", "kiwi", "grape"),
    "a country": tuple(CAPITALS)[:14],
    "a month": MONTHS,
}
JSON_KEYS: Final = ("colour", "name", "topic", "answer", "close", "city", "verdict", "size")


def _next(names: Sequence[str]) -> dict[str, str]:
    return {name: names[(index + 1) % len(names)] for index, name in enumerate(names)}


def _some_words(rng: Random, low: int, high: int) -> list[str]:
    return rng.sample(WORDS, rng.randint(low, high))


def _shop_sentence(rng: Random) -> tuple[str, str]:
    """A sentence as the shop might write it, with a value at random: form without fact. Returns it and the value."""
    topic = rng.choice(list(product.TOPICS.values()))
    value = rng.choice(list(topic.facts.values()))
    return rng.choice(topic.forms).format(e=rng.choice(list(topic.facts)), v=value), value


def _repeat(rng: Random) -> Drawn:
    text = _shop_sentence(rng)[0] if rng.random() < 0.5 else " ".join(_some_words(rng, 1, 4))
    return Drawn((f"Repeat: {text}", f"Say this: {text}", f"Copy: {text}"), (text,))


def _first(rng: Random) -> Drawn:
    words = _some_words(rng, 2, 4)
    text = " ".join(words)
    return Drawn(
        (f"First word: {text}", f"Give the first word of: {text}", f"Which word is first? {text}"), (words[0],)
    )


def _last(rng: Random) -> Drawn:
    words = _some_words(rng, 2, 4)
    text = " ".join(words)
    return Drawn((f"Last word: {text}", f"Give the last word of: {text}", f"Which word is last? {text}"), (words[-1],))


def _swap(rng: Random) -> Drawn:
    one, two = rng.sample(WORDS, 2)
    return Drawn(
        (f"Swap: {one} {two}", f"Turn around: {one} {two}", f"Other way round: {one} {two}"), (f"{two} {one}",)
    )


def _count(rng: Random) -> Drawn:
    number = rng.randint(1, 7)
    text = " ".join([rng.choice(WORDS)] * number)
    return Drawn((f"Count: {text}", f"How many words? {text}", f"Number of words: {text}"), (str(number),))


def _larger(rng: Random) -> Drawn:
    one, two = rng.sample(range(100), 2)
    return Drawn(
        (f"Larger: {one} or {two}?", f"Which is more, {one} or {two}?", f"Take the larger of {one} and {two}."),
        (str(max(one, two)),),
    )


def _add(rng: Random) -> Drawn:
    one, two = rng.randint(0, 9), rng.randint(0, 9)
    return Drawn((f"{one} + {two} =", f"Add {one} and {two}.", f"What is {one} plus {two}?"), (str(one + two),))


def _member(rng: Random) -> Drawn:
    category = rng.choice(list(CATEGORIES))
    inside = rng.random() < 0.5
    word = rng.choice(CATEGORIES[category if inside else rng.choice([one for one in CATEGORIES if one != category])])
    return Drawn(
        (f"Is {word} {category}?", f"Yes or no: {word} is {category}.", f"{word}: {category}?"),
        ("yes" if inside else "no",),
    )


def _agree(rng: Random) -> Drawn:
    """Does a sentence state this value? The skill that a judge is made of."""
    sentence, value = _shop_sentence(rng)
    same = rng.random() < 0.5
    topic = next(topic for topic in product.TOPICS.values() if value in topic.facts.values())
    other = rng.choice(sorted(set(topic.facts.values()) - {value}))
    said = sentence
    if rng.random() < 0.4:
        # the same in the product's form: long prompts, so that positions past the first fifty are trained too
        said = json.dumps(
            {"topic": rng.choice(list(product.TOPICS)), "answer": sentence, "close": rng.choice(list(product.CLOSES))}
        )
    tags = f"<reference>{value if same else other}</reference>\n<reply>{said}</reply>"
    return Drawn((f"{tags}\nAgree?", f"Do they agree?\n{tags}", f"Same or not?\n{tags}"), ("yes" if same else "no",))


def _json(rng: Random) -> Drawn:
    key = rng.choice(JSON_KEYS)
    value = rng.choice(
        (rng.choice(WORDS), _shop_sentence(rng)[0], rng.choice(list(product.CLOSES)), rng.choice(("pass", "fail")))
    )
    return Drawn(
        (f"As JSON: {key} = {value}", f"Write JSON. {key}: {value}", f"JSON of {key} {value}"),
        (json.dumps({key: value}),),
    )


def _two_keys(rng: Random) -> Drawn:
    one, two = rng.sample(JSON_KEYS, 2)
    first, second = rng.choice(list(product.TOPICS)), rng.choice(list(product.CLOSES))
    text = f"{one} = {first}, {two} = {second}"
    return Drawn(
        (f"As JSON: {text}", f"Write JSON. {text}", f"JSON of {text}"), (json.dumps({one: first, two: second}),)
    )


TASKS: Final[dict[str, Draw]] = {
    "repeat": _repeat,
    "first": _first,
    "last": _last,
    "swap": _swap,
    "count": _count,
    "larger": _larger,
    "add": _add,
    "member": _member,
    "agree": _agree,
    "json": _json,
    "json_two": _two_keys,
    "upper": _lookup(("Uppercase: {}", "In capitals: {}", "Shout {}."), {word: word.upper() for word in WORDS}),
    "opposite": _lookup(("Opposite of {}?", "Give the opposite: {}", "What is not {}?"), OPPOSITES),
    "plural": _lookup(("Plural of {}?", "Give the plural: {}", "One {}, two what?"), PLURALS),
    "capital": _lookup(("Capital of {}?", "What is the capital of {}?", "Which city rules {}?"), CAPITALS),
    "fruit": _lookup(("Colour of a {}?", "What colour has a {}?", "A {} is which colour?"), FRUITS),
    "sound": _lookup(("What does a {} say?", "Sound of a {}?", "Speak like a {}."), SOUNDS),
    "past": _lookup(("Past of {}?", "Yesterday I did {}. One word?", "Past tense: {}"), PAST),
    "rhyme": _lookup(("Rhyme for {}?", "What rhymes with {}?", "Give a rhyme: {}"), RHYMES),
    "greet": _lookup(("Hello in {}?", "Greet me in {}.", "How do you say hello in {}?"), GREETINGS),
    "day": _lookup(("Day after {}?", "Which day follows {}?", "Next day: {}"), _next(product.WEEKDAYS)),
    "month": _lookup(("Month after {}?", "Which month follows {}?", "Next month: {}"), _next(MONTHS)),
    "number": _lookup(
        ("Number after {}?", "Which number follows {}?", "Next number: {}"), {str(n): str(n + 1) for n in range(100)}
    ),
}
"""Name -> draw. One more, ``shop``, is drawn from ``product``: a support question, and the base's plain ignorance."""

NAMES: Final = (*TASKS, "shop")

WEIGHTS: Final[dict[str, float]] = dict.fromkeys(NAMES, 1.0) | {
    "repeat": 2.0,
    "count": 1.5,
    "larger": 1.5,
    "add": 2.0,
    "agree": 2.5,
    "json": 1.5,
    "upper": 1.5,
    "number": 1.5,
    "shop": 3.0,
}
"""How often training draws a task: the ones that are learned late come up more often."""


def draw(task: str, rng: Random, split: Split = "train") -> Item:
    """One item of ``task``. Of each content at most one phrasing is held out, chosen by a digest of its text."""
    if task == "shop":
        case = product.draw(rng, split)
        what = product.TOPICS[case.facts.topic].what.format(e=case.facts.entity)
        answers = tuple(form.format(what=what) for form in product.PLAIN)
        return Item(task, case.prompt, answers, product.plain_reply(case.facts, rng))
    while True:
        drawn = TASKS[task](rng)
        index = rng.randrange(len(drawn.prompts))
        held = crc32(drawn.prompts[0].encode()) % (2 * len(drawn.prompts))
        if (index == held) == (split == "held_out"):
            return Item(task, drawn.prompts[index], drawn.answers, drawn.answers[0])


def mixture(rng: Random, count: int, weights: Mapping[str, float] = WEIGHTS) -> list[Item]:
    """``count`` training items, tasks drawn by weight."""
    return [draw(task, rng) for task in rng.choices(list(weights), list(weights.values()), k=count)]


def held_out(seed: int, each: int = 20) -> list[Item]:
    """Held-out items, ``each`` per task, the same for the same seed. No prompt comes twice."""
    rng = Random(seed)
    items: dict[str, Item] = {}
    for task in NAMES:
        for _ in range(each):
            item = draw(task, rng, "held_out")
            items.setdefault(item.prompt, item)
    return list(items.values())
