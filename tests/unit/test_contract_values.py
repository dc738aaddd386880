"""The contract's named values: who served answers, accepted values, and what fingerprints show."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle

import pytest

from monitor.core.records import Arm, Cause, GradedAnswer
from monitor.core.signals import ACCEPTABLE, CONTRACT_PARTS
from monitor.detect import contract, contract_values
from monitor.lab import product
from tests.unit.detect_answers import Told, compared, rounds, told

BASELINE = rounds(1, product.right_reply, days=range(14))
NOW = rounds(70, product.right_reply, days=range(20, 21))


def serving(answers: list[GradedAnswer], *served: Mapping[str, str]) -> list[GradedAnswer]:
    """The answers, the subject's in turn by each of ``served``."""
    turns = cycle(served)
    return [replace(one, served=next(turns)) if one.arm is Arm.SUBJECT else one for one in answers]


def seen(
    now: list[GradedAnswer], baseline: list[GradedAnswer], accepted: Mapping[str, frozenset[str]] | None = None
) -> Told:
    found = told(contract.measure, replace(compared(now, baseline), accepted=accepted or {}))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("now", "then", "says"),
    [
        ("vllm-0.31.0-tp1-abcd1234", "vllm-0.30.0-tp1-abcd1234", "version 0.30.0 -> 0.31.0; same flags"),
        ("vllm-0.31.0-abcd1234", "vllm-0.31.0-ffff1234", "same version 0.31.0; other flags"),
        ("vllm-0.31.0-tp2-abcd1234", "vllm-0.31.0-abcd1234",
         "same version 0.31.0; parallelism none -> tp2; same flags"),
        ("vllm-0.31.0-tp2-abcd1234", "vllm-0.31.0-tp1-ffff1234",
         "same version 0.31.0; parallelism tp1 -> tp2; other flags"),
        ("vllm-0.31.0-tp1-abcd1234", "vllm-0.30.0-tp1-ffff1234",
         "version 0.30.0 -> 0.31.0; other flags too, or defaults of the new version"),
        ("vllm-0.31.0rc1+cu129-tp1-pp2-abcd1234", "vllm-0.31.0rc1+cu129-tp1-pp2-abcd1235",
         "same version 0.31.0rc1+cu129; other flags"),
        ("sglang-0.5.2-abcd1234", "vllm-0.30.0-abcd1234", "server vllm -> sglang; version 0.30.0 -> 0.5.2; same flags"),
        ("b5210-1234abc", "b5000-7654abc", "build 5000 -> 5210"),
        ("fp_2", "fp_1", ""),
        ("none", "vllm-0.30.0-abcd1234", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_a_fingerprint_says_what_changed_as_far_as_its_parts_show(now: str, then: str, says: str) -> None:
    assert contract_values.explained(now, then) == says


def test_a_changed_fingerprint_is_told_with_its_parts() -> None:
    baseline = [replace(one, fingerprint="vllm-0.30.0-tp1-abcd1234") for one in BASELINE]
    now = [replace(one, fingerprint="vllm-0.31.0-tp1-abcd1234") for one in NOW]
    assert "(24 of 24 answers): version 0.30.0 -> 0.31.0; same flags" in seen(now, baseline).summary


def test_another_provider_is_told_by_its_name() -> None:
    found = seen(serving(NOW, {"provider": "Two"}), serving(BASELINE, {"provider": "One"}))
    assert found.verdict.alarming
    assert "served by provider 'Two' instead of 'One' (24 of 24 answers)" in found.summary
    assert found.reading.measures["contract_changed_served"] == 1.0
    assert found.reading.tell(found.verdict).cause is Cause.SERVED_ELSEWHERE


def test_a_fallback_is_told_as_one_although_the_baseline_has_no_such_header() -> None:
    now = serving(NOW, {"attempted-fallbacks": "0"})
    first = next(number for number, one in enumerate(now) if one.arm is Arm.SUBJECT)
    now[first] = replace(now[first], served={"attempted-fallbacks": "1"})
    for before in ({}, {"attempted-fallbacks": "0"}):
        found = seen(now, serving(BASELINE, before))
        assert found.verdict.alarming
        assert "a fallback of the gateway served 1 of 24 answers" in found.summary
        assert found.reading.effect[0] == pytest.approx(1 / 24)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ({}, {}),
        ({"provider": "One"}, {"provider": "One"}),
        ({"provider": "One"}, {}),
        ({}, {"provider": "One"}),
        ({"attempted-fallbacks": "0"}, {"attempted-fallbacks": "0"}),
        ({"attempted-fallbacks": "0"}, {}),
    ],
)
def test_the_same_server_and_a_new_or_missing_header_are_no_change(now: dict[str, str], then: dict[str, str]) -> None:
    found = seen(serving(NOW, now), serving(BASELINE, then))
    assert not found.verdict.alarming
    assert found.reading.effect[0] == 0


def test_deployments_that_take_turns_are_known() -> None:
    turns: list[Mapping[str, str]] = [{"model-id": "a"}, {"model-id": "b"}]
    assert not seen(serving(NOW, turns[1]), serving(BASELINE, *turns)).verdict.alarming


def test_a_name_that_is_new_every_day_hides_no_steady_one() -> None:
    baseline = [replace(one, served={"pod": f"pod-{one.run_id}", "provider": "One"}) for one in BASELINE]
    healthy = serving(NOW, {"pod": "pod-99", "provider": "One"})
    assert not seen(healthy, baseline).verdict.alarming
    found = seen(serving(NOW, {"pod": "pod-99", "provider": "Two"}), baseline)
    assert found.verdict.alarming
    assert "provider 'Two'" in found.summary


CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "model_id": ({"model": "support-2"}, "support-2"),
    "fingerprint": ({"fingerprint": "fp-2"}, "fp-2"),
    "prompt_tokens": ({"prompt_tokens": 99}, "p00=99"),
    "served": ({"served": {"provider": "Two"}}, "provider=Two"),
}


@pytest.mark.parametrize("part", ACCEPTABLE)
def test_accepted_values_count_as_the_baselines(part: str) -> None:
    fields, first = CHANGES[part]
    baseline = serving(BASELINE, {"provider": "One"})
    now = [replace(one, **({"served": {"provider": "One"}} | fields)) for one in NOW]  # type: ignore[arg-type]
    values = contract_values.fresh(compared(now, baseline), part)
    assert values[0] == first
    assert contract_values.usual(compared(now, baseline), part, first) is not None
    assert seen(now, baseline).verdict.alarming
    found = seen(now, baseline, {part: frozenset(values)})
    assert not found.verdict.alarming
    assert found.reading.effect[0] == 0
    assert found.reading.measures[f"contract_changed_{part}"] == 0.0
    other = [replace(one, fingerprint="fp-3", model="support-3", prompt_tokens=7, served={"provider": "Three"})
             for one in NOW]  # fmt: skip
    assert seen(other, baseline, {part: frozenset(values)}).reading.measures[f"contract_changed_{part}"] == 1.0
    assert contract_values.fresh(replace(compared(now, baseline), accepted={part: frozenset(values)}), part) == ()


def test_nothing_is_new_where_nothing_changed() -> None:
    assert all(contract_values.fresh(compared(NOW, BASELINE), part) == () for part in ACCEPTABLE)
    assert set(ACCEPTABLE) < set(CONTRACT_PARTS)


def test_probes_that_the_baseline_does_not_have_are_not_new() -> None:
    now = [replace(one, probe=f"new-{one.probe}", prompt_tokens=5) for one in NOW]
    assert contract_values.fresh(compared(now, BASELINE), "prompt_tokens") == ()
