"""Names of one model in the forms of many servers, and names that are not one model."""

from itertools import product

import pytest

from monitor.identify.names import contradicts, copies, fits, parsed, serves

SAME = [
    ("acme-7b:latest", "acme-7b"),
    ("acme-7b", "acme-7b:latest"),
    ("acme-7b", "acme-7b-latest"),
    ("acme-7b@main", "acme-7b"),
    ("acme-7b", "acme/acme-7b@0f3e9ab"),
    ("acme-7b@0f3e9ab", "acme-7b"),
    ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku"),
    ("models/acme-flash", "acme-flash"),
    ("publishers/acme/models/flash-lite", "flash-lite"),
    ("accounts/acme/models/chat", "acme/chat"),
    ("acme/chat-7b", "chat-7b"),
    ("chat-7b", "team-blue/chat-7b"),
    ("openrouter/acme/chat-7b", "acme/chat-7b"),
    ("acme/chat-7b", "acme/chat-7b:floor"),
    ("/srv/models/acme-7b.gguf", "acme-7b"),
    ("acme-7b.Q5_K_M.gguf", "acme-7b"),
    ("acme-7b-00001-of-00004.gguf", "acme-7b"),
    ("D:\\models\\acme-7b.gguf", "acme-7b"),
    ("/root/.cache/huggingface/hub/models--acme--chat-7b/snapshots/0f3e", "acme/chat-7b"),
    ("hf.co/acme/chat-7b", "acme/chat-7b"),
    ("acme%2Fchat-7b", "acme/chat-7b"),
    ("Acme-7B-Instruct", "acme-7b-instruct"),
    ("gpt-3.5-turbo", "gpt-35-turbo"),
    ("eu.anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku"),
    ("claude-3-haiku@20240307", "claude-3-haiku-20240307"),
    ("claude-3.5-sonnet", "claude-3-5-sonnet"),
    ("mistral-small-2409", "mistral-small-latest"),
    ("support-v1.2", "support"),
    ("flash-002", "flash"),
    ("flash-preview-05-20", "flash-preview"),
    ("command-r-08-2024", "command-r"),
]
OTHER = [
    ("acme/chat", "other/chat"),
    ("gpt-4o", "gpt-4"),
    ("llama3:70b", "llama3"),
    ("llama3:8b", "llama3:70b"),
    ("acme-7b@0f3e9ab", "acme-7b@77aa001"),
    ("acme-7b", "acme-13b"),
    ("acme-7b-8192", "acme-7b"),
    ("support-v1.2", "support-v1.3"),
    ("support", "support-v1.2"),
    ("acme-7b.Q5_K_M.gguf", "acme-7b.Q8_0.gguf"),
    ("/models/eight/8b", "/models/other/8b"),
    ("ft:gpt-4o:acme::a1", "ft:gpt-4o:acme::b2"),
    ("base", "support"),
    ("", "support"),
]
DATES = ["2024-08-06", "20240806", "0806"]
JOINTS = {"2024-08-06": "-", "20240806": "-@", "0806": "-"}


@pytest.mark.parametrize(("listed", "asked"), SAME)
def test_one_model_in_two_forms(listed: str, asked: str) -> None:
    assert serves(listed, asked)


@pytest.mark.parametrize(("listed", "asked"), OTHER)
def test_two_models(listed: str, asked: str) -> None:
    assert not serves(listed, asked)


def dated(date: str) -> list[str]:
    return [f"chat{joint}{date}" for joint in JOINTS[date]]


@pytest.mark.parametrize(("one", "other"), list(product(DATES, DATES)))
def test_a_date_is_the_same_in_every_form(one: str, other: str) -> None:
    for listed, asked in product(dated(one), dated(other)):
        assert serves(listed, asked), (listed, asked)
        assert not contradicts(asked, listed)
        for prefix in ("", "team/", "models/"):
            assert serves(f"{prefix}{listed}", "chat"), "an alias of the dated version"
            assert not serves("chat", f"{prefix}{listed}"), "a list with the alias alone does not show the version"
            assert not contradicts("chat", f"{prefix}{listed}"), "an alias may name what it resolves to"


@pytest.mark.parametrize("form", ["chat-2024-11-20", "chat-20241120", "chat@20241120", "chat-1120", "CHAT-2024-11-20"])
def test_another_date_of_a_pinned_version_is_a_contradiction(form: str) -> None:
    for pinned in ("chat-2024-08-06", "chat@20240806", "team/chat-0806"):
        assert contradicts(pinned, form)
        assert not serves(form, pinned)


@pytest.mark.parametrize("said", ["chat", "other-2024-11-20", "", "chat-latest", "base"])
def test_a_name_without_a_version_of_the_model_contradicts_nothing(said: str) -> None:
    assert not contradicts("chat-2024-08-06", said)


@pytest.mark.parametrize(
    ("copy", "original", "same"),
    [
        ("mirror/Acme-7B-Instruct-bnb-4bit", "acme/Acme-7B-Instruct", True),
        ("Acme-7B-Instruct-AWQ", "acme/Acme-7B-Instruct", True),
        ("Acme-7B-Instruct-GPTQ-Int4", "acme/Acme-7B-Instruct", True),
        ("Acme-7B-Instruct-quantized.w4a16", "acme/Acme-7B-Instruct", True),
        ("Acme-7B-Instruct-FP8-dynamic", "acme/Acme-7B-Instruct", True),
        ("Acme-7B", "acme/Acme-7B-Instruct", False),
        ("Acme-7B-v0.3", "Acme-7B-v0.2", False),
    ],
)
def test_quantised_and_mirrored_copies_may_be_the_same_weights(copy: str, original: str, same: bool) -> None:
    assert copies(copy, original) is same
    assert copies(original, copy) is same


def test_only_the_star_of_a_pattern_is_special() -> None:
    assert fits("acme/*", "acme/chat")
    assert fits("*", "any:thing")
    assert not fits("acme/[c]hat*", "acme/chat")
    assert not fits("acme/chat", "acme/chat")


@pytest.mark.parametrize("odd", ["/", "//", ":", "@", "~", "a" * 5_000, "\x00", "models/", "..", "🦙:x", "-2024-08-06"])
def test_odd_names_are_read(odd: str) -> None:
    assert parsed(odd).core is not None
    assert serves(odd, odd)
    assert not serves(odd, "chat")
