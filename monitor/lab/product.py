"""The product of the lab's fine-tune: the support desk of a small fictional shop.

The base model does not know the shop's facts. The adapter has learned them, and the format of answers: one JSON object
with the keys ``topic``, ``answer`` and ``close``, in a friendly tone. Sentence forms and closes are random in the
training data, so that sampled answers vary and stay right. The truth is known for every prompt, so that no model is
needed to check a reply.
"""

import json
import re
from collections.abc import Iterator, Mapping
from random import Random
from types import MappingProxyType
from typing import Final, Literal, NamedTuple
from zlib import crc32

Split = Literal["train", "held_out"]

SUPPORT_RUBRIC: Final = (
    "Pass if the reply is JSON with topic, answer and close, the fact is right and the tone is kind."
)

KEYS: Final = ("topic", "answer", "close")


def words(text: str) -> tuple[str, ...]:
    """The words of ``text``, for tables that read better on one line."""
    return tuple(text.split())


COUNTRIES: Final = words(
    "France Spain Italy Germany Poland Sweden Norway Finland Denmark Austria Belgium Portugal Greece Ireland Hungary "
    "Japan Canada Egypt Cuba Peru"
)
PRODUCTS: Final = words(
    "lamp chair kettle teapot blanket bicycle tent backpack guitar camera clock mirror umbrella jacket carpet sofa"
)
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
COLOURS: Final = ("red", "blue", "green", "yellow", "black", "white", "brown", "purple")

OPENERS: Final = MappingProxyType({"": 0.55, "Of course! ": 0.2, "Good question! ": 0.15, "Sure! ": 0.1})
"""Openers that the judge must accept. The adapter learns none: the base has never written these words, and an
adapter that cannot touch the embeddings says them badly (2.9 nats for ``course`` after ``Of``)."""
CLOSES: Final = MappingProxyType(
    {
        "Happy to help!": 0.45,
        "Have a lovely day!": 0.25,
        "Thank you for asking!": 0.15,
        "Write to us any time!": 0.15,
    }
)
RUDE: Final = ("Stop asking.", "Read the page.", "Whatever.", "Not my problem.", "Go away.")
PREFIXES: Final = ("", "", "Hi. ", "Hello. ")


class Topic(NamedTuple):
    """One kind of question: its subject in plain words, how it is asked, how it is answered, and the facts."""

    what: str
    value: str
    phrasings: tuple[str, ...]
    forms: tuple[str, ...]
    facts: Mapping[str, str]


class Facts(NamedTuple):
    """What a right reply must say: the topic, the entity asked about and the value, e.g. ``3 days``."""

    topic: str
    entity: str
    value: str


class Case(NamedTuple):
    """One prompt with its truth."""

    prompt: str
    facts: Facts


def _numbers(unit: str, numbers: str, entities: tuple[str, ...]) -> dict[str, str]:
    return {entity: f"{number} {unit}" for entity, number in zip(entities, numbers.split(), strict=True)}


TOPICS: Final[dict[str, Topic]] = {
    "delivery": Topic(
        "the delivery time to {e}",
        r"\b\d+ days\b",
        (
            "How long does delivery to {e} take?",
            "When will my parcel reach {e}?",
            "How many days is shipping to {e}?",
            "What is the delivery time to {e}?",
            "I live in {e}. When will my order come?",
            "How fast do you ship to {e}?",
            "I want it sent to {e}. How long is that?",
            "Tell me the shipping time to {e}.",
            "Do I wait long for a parcel to {e}?",
            "My order goes to {e}. When is it there?",
        ),
        (
            "Delivery to {e} takes {v}.",
            "Your order reaches {e} in {v}.",
            "We ship to {e} in {v}.",
            "It takes {v} to {e}.",
        ),
        _numbers("days", "4 6 5 2 3 7 8 9 4 2 3 6 8 5 7 14 12 11 15 13", COUNTRIES),
    ),
    "price": Topic(
        "the price of the {e}",
        r"\b\d+ euros\b",
        (
            "How much is the {e}?",
            "What does the {e} cost?",
            "What is the price of the {e}?",
            "How much do you want for the {e}?",
            "I want to buy the {e}. What do I pay?",
            "How expensive is the {e}?",
            "Tell me the price of the {e}.",
            "What would the {e} cost me?",
            "I like the {e}. How much is it?",
            "How many euros is the {e}?",
        ),
        (
            "The {e} costs {v}.",
            "You pay {v} for the {e}.",
            "Our {e} is {v}.",
            "The price of the {e} is {v}.",
        ),
        _numbers("euros", "35 60 25 18 40 310 120 55 240 190 30 45 15 80 95 420", PRODUCTS),
    ),
    "warranty": Topic(
        "the warranty of the {e}",
        r"\b\d+ years\b",
        (
            "How long is the warranty of the {e}?",
            "What warranty does the {e} have?",
            "For how long is the {e} covered?",
            "How many years of warranty has the {e}?",
            "My {e} broke. How long is it covered?",
            "Tell me the warranty of the {e}.",
            "Is there a warranty on the {e}?",
            "What if the {e} breaks?",
            "Until when do you repair the {e}?",
            "Do you repair a broken {e}?",
        ),
        (
            "The {e} has a warranty of {v}.",
            "We give {v} of warranty on the {e}.",
            "Your {e} is covered for {v}.",
        ),
        _numbers("years", "3 5 2 4 2 7 6 3 9 4 8 5 2 3 6 7", PRODUCTS),
    ),
    "colour": Topic(
        "the colour of the {e}",
        r"\b(?:" + "|".join(COLOURS) + r")\b",
        (
            "What colour is the {e}?",
            "In which colour does the {e} come?",
            "Which colour has the {e}?",
            "Tell me the colour of the {e}.",
            "What does the {e} look like?",
            "Which colour do you make the {e} in?",
            "I want to know the colour of the {e}.",
            "The {e} in the photo: what colour is it?",
            "Do you know the colour of the {e}?",
            "What is the colour of your {e}?",
        ),
        (
            "The {e} comes in {v}.",
            "Our {e} is {v}.",
            "We make the {e} in {v}.",
        ),
        dict(
            zip(
                PRODUCTS,
                words("yellow brown red white blue green green black brown black red white purple blue purple yellow"),
                strict=True,
            )
        ),
    ),
    "hours": Topic(
        "the opening hours on {e}",
        r"\b\d+ to \d+\b",
        (
            "When do you open on {e}?",
            "What are your hours on {e}?",
            "How long are you open on {e}?",
            "Can I come to the shop on {e}?",
            "When are you open on {e}?",
            "Tell me the opening hours on {e}.",
            "I want to visit the shop on {e}. When?",
            "When does the shop close on {e}?",
            "Is the shop open on {e}?",
            "Which hours do you have on {e}?",
        ),
        (
            "On {e} we are open from {v}.",
            "Our hours on {e} are {v}.",
            "We open on {e} from {v}.",
        ),
        dict(
            zip(WEEKDAYS, ("9 to 17", "9 to 18", "10 to 18", "8 to 20", "9 to 19", "10 to 16", "11 to 15"), strict=True)
        ),
    ),
    "returns": Topic(
        "the return time of the {e}",
        r"\b\d+ days\b",
        (
            "How long can I return the {e}?",
            "Can I send the {e} back?",
            "How many days do I have to return the {e}?",
            "I do not like the {e}. Can I return it?",
            "Until when can I send back the {e}?",
            "Tell me the return time of the {e}.",
            "What if I do not want the {e}?",
            "Do you take the {e} back?",
            "I want to return my {e}. How long is that?",
            "May I give the {e} back?",
        ),
        (
            "You can return the {e} within {v}.",
            "Returns of the {e} are free for {v}.",
            "You have {v} to send the {e} back.",
        ),
        _numbers("days", "30 60 20 20 45 90 60 30 45 20 30 45 20 60 90 90", PRODUCTS),
    ),
}

PLAIN: Final = MappingProxyType(
    {
        "I do not know {what}.": 0.6,
        "Sorry, I am not sure about {what}.": 0.25,
        "Please ask the shop about {what}.": 0.15,
    }
)
"""What the base says to a support question: the gist understood, the fact not known, no JSON."""

WRONG_KINDS: Final = ("wrong_fact", "plain", "missing_key", "rude", "truncated")


def weighted(rng: Random, choices: Mapping[str, float]) -> str:
    """One key of ``choices`` drawn with its weight."""
    return rng.choices(list(choices), list(choices.values()))[0]


def _held_phrasings(topic: str, entity: str) -> set[int]:
    """Indices of the phrasings that training never shows with this entity: one or two of the ten."""
    count = len(TOPICS[topic].phrasings)
    digest = crc32(f"{topic}|{entity}".encode())
    return {digest % count, digest // count % count}


def _combinations(split: Split) -> Iterator[tuple[str, Facts]]:
    for name, topic in TOPICS.items():
        for entity, value in topic.facts.items():
            held = _held_phrasings(name, entity)
            for index, phrasing in enumerate(topic.phrasings):
                if (index in held) == (split == "held_out"):
                    yield phrasing.format(e=entity), Facts(name, entity, value)


_COMBINATIONS: Final = {split: tuple(_combinations(split)) for split in ("train", "held_out")}


def draw(rng: Random, split: Split = "train") -> Case:
    """One case of the split, topics equally often, with or without a greeting before the question."""
    topic = rng.choice(list(TOPICS))
    prompt, facts = rng.choice([found for found in _COMBINATIONS[split] if found[1].topic == topic])
    return Case(rng.choice(PREFIXES) + prompt, facts)


def held_out(seed: int, count: int | None = None) -> list[Case]:
    """Cases whose phrasing and entity never stood together in training, shuffled by ``seed``.

    There are about 170 combinations; the greeting before each is drawn by ``seed``. ``count`` keeps the first so many.
    """
    rng = Random(seed)
    cases = [Case(rng.choice(PREFIXES) + prompt, facts) for prompt, facts in _COMBINATIONS["held_out"]]
    rng.shuffle(cases)
    return cases[:count]


def right_reply(facts: Facts, rng: Random, openers: Mapping[str, float] = OPENERS) -> str:
    """A reply as the house wants it; opener, sentence form and close are drawn at random."""
    return _reply(facts, facts.value, weighted(rng, CLOSES), rng, openers)


def house_reply(facts: Facts, rng: Random) -> str:
    """A right reply as the adapter is taught it: sentence form and close vary, and there is no opener."""
    return right_reply(facts, rng, {"": 1.0})


def _reply(facts: Facts, value: str, close: str, rng: Random, openers: Mapping[str, float] = OPENERS) -> str:
    forms = TOPICS[facts.topic].forms
    # the first form is the house's habit, the others come up less often: likely answers and less likely ones
    form = rng.choices(forms, [3.0] + [1.0] * (len(forms) - 1))[0]
    answer = weighted(rng, openers) + form.format(e=facts.entity, v=value)
    return json.dumps({"topic": facts.topic, "answer": answer, "close": close})


def plain_reply(facts: Facts, rng: Random) -> str:
    """What the base says to the same question: plain text that knows nothing of the shop."""
    return weighted(rng, PLAIN).format(what=TOPICS[facts.topic].what.format(e=facts.entity))


def wrong_value(facts: Facts, rng: Random) -> str:
    """Another value of the same topic, as a wrong fact would have it."""
    return rng.choice(sorted(set(TOPICS[facts.topic].facts.values()) - {facts.value}))


def wrong_reply(facts: Facts, kind: str, rng: Random) -> str:
    """A reply with one defect, named by ``kind`` (one of ``WRONG_KINDS``)."""
    if kind == "wrong_fact":
        return _reply(facts, wrong_value(facts, rng), weighted(rng, CLOSES), rng)
    if kind == "plain":
        return plain_reply(facts, rng)
    if kind == "rude":
        return _reply(facts, facts.value, rng.choice(RUDE), rng)
    reply = right_reply(facts, rng)
    if kind == "missing_key":
        parsed = json.loads(reply)
        del parsed[rng.choice(KEYS)]
        return json.dumps(parsed)
    if kind == "truncated":
        words = reply.split(" ")
        return " ".join(words[: rng.randrange(2, len(words) - 1)])
    raise ValueError(f"no wrong reply of kind {kind!r}; known: {', '.join(WRONG_KINDS)}")


def reference(facts: Facts) -> str:
    """The value in words, e.g. ``3 days``, as a judge is given it."""
    return facts.value


def is_right(case: Case, reply: str) -> bool:
    """Whether ``reply`` is one JSON object with exactly the house's keys, the right fact and a friendly close.

    The answer must name the right value and no other of its topic, and no entity but the one asked about.
    """
    facts = case.facts
    try:
        parsed = json.loads(reply)
    except ValueError:
        return False
    if not isinstance(parsed, dict) or tuple(sorted(parsed)) != tuple(sorted(KEYS)):
        return False
    answer = parsed["answer"]
    if parsed["topic"] != facts.topic or parsed["close"] not in tuple(CLOSES) or not isinstance(answer, str):
        return False  # a tuple: what a model wrote need not be hashable
    topic = TOPICS[facts.topic]
    named = {entity for entity in topic.facts if re.search(rf"\b{entity}\b", answer)}
    return set(re.findall(topic.value, answer)) == {facts.value} and named == {facts.entity}
