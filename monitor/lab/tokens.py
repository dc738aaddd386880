"""The lab's tokenizer and chat template, and the conversion of training texts into token ids."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from monitor.judge.prompt import judge_messages
from monitor.lab import product, tasks

VOCABULARY: Final = 1024
SPECIAL: Final = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
PAD, SYSTEM, USER, ASSISTANT, END = SPECIAL

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

Messages = Sequence[dict[str, str]]


def user(prompt: str) -> list[dict[str, str]]:
    """A prompt as the only message."""
    return [{"role": "user", "content": prompt}]


def chat(messages: Messages) -> str:
    """The text that the chat template makes of ``messages``, the assistant's turn opened."""
    return "".join(f"<|{message['role']}|>{message['content']}{END}" for message in messages) + ASSISTANT


def texts(seed: int, count: int = 12000) -> Iterator[str]:
    """What the tokenizer is trained on: tasks, support replies and judge prompts, without special tokens."""
    rng = Random(seed)
    for item in tasks.mixture(rng, count):
        yield item.prompt
        yield item.reply
    for _ in range(count // 4):
        case = product.draw(rng)
        yield case.prompt
        yield product.right_reply(case.facts, rng)
    for _ in range(count // 20):
        case = product.draw(rng)
        wrong = product.wrong_reply(case.facts, rng.choice(product.WRONG_KINDS), rng)
        messages = judge_messages(product.SUPPORT_RUBRIC, case.prompt, wrong, product.reference(case.facts))
        yield from (message["content"] for message in messages)


def train_tokenizer(seed: int) -> Any:
    """A byte-level BPE of ``VOCABULARY`` tokens, digits one by one, wrapped for transformers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(seed), trainer)
    wrap: Any = PreTrainedTokenizerFast
    wrapped = wrap(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer saved in ``folder``."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def encode(tokenizer: Any, examples: Sequence[tuple[Messages, str]]) -> list[tuple[list[int], int]]:
    """For each (messages, reply): ids of prompt and reply with its end token, and how many of them are the prompt.

    The wrapped tokenizer is asked directly: transformers' own call costs more than the training step it feeds.
    """
    raw = tokenizer.backend_tokenizer
    prompts = raw.encode_batch([chat(messages) for messages, _ in examples], add_special_tokens=False)
    answers = raw.encode_batch([reply + END for _, reply in examples], add_special_tokens=False)
    return [(one.ids + two.ids, len(one.ids)) for one, two in zip(prompts, answers, strict=True)]
