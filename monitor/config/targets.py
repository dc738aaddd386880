"""Checks of targets and the judge beyond types: endpoints, suites, production samples, budgets."""

import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from monitor.config import anchors
from monitor.config import identity as config_identity
from monitor.config.checks import Checks, pinned, provider_of, unsent_sampling
from monitor.config.problems import hint
from monitor.config.production import check_production
from monitor.config.suites import SNAPSHOT_PROBES, find_suite, is_path, known_suites, read_suite
from monitor.config.yaml_reader import Loc
from monitor.core.providers import NO_CHARGE, PROVIDERS, Provider
from monitor.core.records import JUDGE_TARGET, Suite
from monitor.core.settings import Endpoint, Judge, Target

_GIVE_PRICE: Final = "add it to its provider's 'prices', or set 'free: true' there"


def run(c: Checks) -> None:
    """Check the judge, the targets and their suites, and unused providers."""
    targets = {name: target for name, target in (c.settings.targets or {}).items() if target}
    for loc, endpoint in endpoints(c):
        _endpoint(c, loc, endpoint)
    _suites(c, targets)
    for name, target in targets.items():
        _target(c, ("targets", name), target)
    _judge(c, targets)
    if c.settings.judge:
        _anchors(c, c.settings.judge)
    _unused(c)


def endpoints(c: Checks) -> Iterator[tuple[Loc, Endpoint]]:
    """Every endpoint in the configuration, with its location."""
    for name, target in (c.settings.targets or {}).items():
        if target.subject:
            yield ("targets", name, "subject"), target.subject
        if target.base:
            yield ("targets", name, "base"), target.base
        if target.snapshot:
            yield ("targets", name, "snapshot"), target.snapshot
    if c.settings.judge:
        yield ("judge",), c.settings.judge


def _endpoint(c: Checks, loc: Loc, endpoint: Endpoint) -> None:
    provider = provider_of(c, loc, endpoint.provider)
    if provider is None or not provider.kind:
        return
    config_identity.retires(c, loc, endpoint)
    config_identity.floats(c, loc, endpoint)
    _has_price(c, loc, endpoint, provider)
    if not PROVIDERS[provider.kind].loads_weights:
        kinds = ", ".join(kind for kind, entry in PROVIDERS.items() if entry.loads_weights)
        for key in ("adapter", "revision"):
            if getattr(endpoint, key) is not None:
                c.problem((*loc, key), f"only for providers of kind {kinds}; '{endpoint.provider}' is {provider.kind}")
        return
    if endpoint.model:
        pinned(c, loc, endpoint.model, endpoint.revision)
    if endpoint.adapter is not None:
        folder = c.at(endpoint.adapter)
        if not os.path.isdir(folder):
            c.problem((*loc, "adapter"), "folder not found")
        elif not os.path.isfile(folder / "adapter_config.json"):
            c.problem((*loc, "adapter"), "is not a PEFT adapter: it has no adapter_config.json")


def _has_price(c: Checks, loc: Loc, endpoint: Endpoint, provider: Provider) -> None:
    """A kind without a price list fails closed, with or without a budget, because the cost of a call is unknown."""
    if PROVIDERS[provider.kind].price_list is not None or provider.free or not endpoint.model:
        return
    if endpoint.model not in provider.prices:
        model = f"'{endpoint.model}' (provider '{endpoint.provider}')"
        text = f"no price is known for {model}, and kind {provider.kind} has no price list: {_GIVE_PRICE}"
        c.problem((*loc, "model"), text)


def _suites(c: Checks, targets: dict[str, Target]) -> None:
    """Read each suite once. Rejects two files of the same name, because they would share answers."""
    found: dict[str, tuple[str, Any]] = {}
    for target, settings in targets.items():
        seen: set[str] = set()
        for index, reference in enumerate(settings.suites):
            loc: Loc = ("targets", target, "suites", index)
            if reference in seen:
                c.problem(loc, f"'{reference}' is listed twice")
            seen.add(reference)
            _suite(c, loc, reference, found)
    if c.settings.judge and c.settings.judge.anchors is not None:
        _suite(c, ("judge", "anchors"), str(c.settings.judge.anchors), found)


def _suite(c: Checks, loc: Loc, reference: str, found: dict[str, tuple[str, Any]]) -> None:
    """Read a suite, or the anchors. ``found``: suite name -> first reference to it, and its file."""
    if reference in c.suites:
        return  # already read for another target
    path = find_suite(reference, c.folder)
    if path is None or not os.path.isfile(path):
        known = hint(reference, known_suites(c.folder), "probes/ is empty")
        c.problem(loc, "file not found" if is_path(reference) else f"unknown suite '{reference}'; {known}")
        return
    name, real = path.stem, os.path.realpath(path)
    first, other = found.setdefault(name, (reference, real))
    if other != real:
        c.problem(loc, f"another file has the suite name '{name}' ('{first}'); rename one of them")
    elif reference not in c.suites:
        suite, problems = read_suite(path)
        c.problems += problems
        if suite:
            c.suites[reference] = suite


def _target(c: Checks, loc: Loc, target: Target) -> None:
    if loc[-1] == JUDGE_TARGET:
        c.problem(loc, f"'{JUDGE_TARGET}' is reserved for the judge; rename the target")
    unclear = c.has_unknown_key(loc, Target)
    if not target.suites and target.production is None and not _stands(c, loc, "suites", "production") and not unclear:
        c.problem(loc, "requires 'suites' or 'production'")
    if target.base is None and not _stands(c, loc, "base") and not unclear:
        c.warn(loc, "no 'base': Cliffwatch cannot detect the loss of a fine-tune (signal adapter_loss)")
    if target.subject and target.base and _same(c, target.subject, target.base):
        c.problem((*loc, "base"), "is the same model as the subject; name the model under the fine-tune")
    if target.subject and target.snapshot and _same(c, target.subject, target.snapshot):
        c.problem((*loc, "snapshot"), "is the same model as the subject; name the version to roll back to")
    if target.production:
        check_production(c, (*loc, "production"), target.production)
    unsent_sampling(c, loc, target)
    config_identity.run(c, loc, target)
    _budget(c, loc, target)


def _stands(c: Checks, loc: Loc, *keys: str) -> bool:
    """Whether one of ``keys`` has a value in the file, valid or not."""
    data: Any = c.document.data
    for part in loc:
        data = data[part]
    return any(data.get(key) not in (None, []) for key in keys)


def _same(c: Checks, one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints are the same model, independent of the providers' names."""

    def served(endpoint: Endpoint) -> tuple[object, ...] | None:
        provider = (c.settings.providers or {}).get(endpoint.provider)
        if provider is None or not endpoint.model:
            return None
        files = PROVIDERS[provider.kind].yaml_files if provider.kind else ()
        place = (provider.kind, provider.server.rstrip("/"), *(getattr(provider, key) for key in files))
        return (*place, endpoint.model, endpoint.revision, endpoint.adapter)

    return served(one) is not None and served(one) == served(other)


def _budget(c: Checks, loc: Loc, target: Target) -> None:
    if target.budget.usd_per_day is not None:
        for model in _unpriced(c, target):
            text = f"no price is known for {model}: {_GIVE_PRICE}"
            c.problem((*loc, "budget", "usd_per_day"), text)
    limit, needed = target.budget.requests_per_day, _requests(c, target)
    if limit is not None and limit < needed:
        text = f"one run of all suites takes up to {needed} requests; the questions over the budget are unmeasured"
        c.warn((*loc, "budget", "requests_per_day"), text)


def _asked(c: Checks, target: Target) -> list[Suite]:
    return [c.suites[reference] for reference in target.suites if reference in c.suites]


def _is_judged(c: Checks, suite: Suite) -> int:
    """Number of the suite's probes with a rubric. Cached, because targets share suites."""
    found = c.judged.get(suite.digest)
    if found is None:
        found = c.judged[suite.digest] = sum(1 for probe in suite.probes if probe.rubric or suite.rubric)
    return found


def _requests(c: Checks, target: Target) -> int:
    judged = 1 if c.settings.judge else 0
    spare = (sys.maxsize if target.snapshot.compare else SNAPSHOT_PROBES) if target.snapshot else 0
    return sum(
        (suite.replicates + (suite.base_replicates if target.base else 0))
        * (len(suite.probes) + judged * _is_judged(c, suite))
        + min(spare, len(suite.probes))
        for suite in _asked(c, target)
    )


def _unpriced(c: Checks, target: Target) -> list[str]:
    """The target's models without a known price, as ``'model' (provider 'name')``."""
    judged = any(_is_judged(c, suite) for suite in _asked(c, target)) or bool(
        target.production and target.production.rubric
    )
    unpriced = []
    for endpoint in (target.subject, target.base, target.snapshot, c.settings.judge if judged else None):
        provider = (c.settings.providers or {}).get(endpoint.provider) if endpoint else None
        if endpoint is None or not endpoint.model or provider is None or not provider.kind:
            continue
        if provider.free or PROVIDERS[provider.kind].price_list in (NO_CHARGE, None):
            continue  # costs nothing, or was rejected with its endpoint
        from monitor.ask.prices import price_of

        if price_of(provider, endpoint.model) is None:
            unpriced.append(f"'{endpoint.model}' (provider '{endpoint.provider}')")
    return unpriced


def _judge(c: Checks, targets: dict[str, Target]) -> None:
    judged = any(_is_judged(c, suite) for suite in c.suites.values())
    judged = judged or any(target.production and target.production.rubric for target in targets.values())
    if judged and c.settings.judge is None and "judge" not in c.document.data:
        c.warn((), "no 'judge': rubrics are not used, and there is no judge_score")
    if c.settings.judge and not judged:
        used = "scores only its anchors" if c.settings.judge.anchors else "is never used"
        c.warn(("judge",), f"{used}: no suite and no production sample has a rubric")
    if c.settings.judge and judged and not _stands(c, ("judge",), "anchors"):
        c.warn(("judge",), "no 'anchors': drift of the judge looks like drift of the targets that it scores")
    for name, target in targets.items():
        if c.settings.judge and target.subject and _same(c, target.subject, c.settings.judge):
            c.warn(
                ("judge",),
                f"is the subject of target '{name}', too: both drift together, and it prefers its own answers",
            )


def _anchors(c: Checks, judge: Judge) -> None:
    """Check the judge's anchors: they show drift only if they are many and have both verdicts."""
    loc: Loc = ("judge", "anchors")
    if judge.anchors is None:
        if _stands(c, ("judge",), "budget") and not _stands(c, ("judge",), "anchors"):
            c.warn(("judge", "budget"), "has no effect without 'anchors': the scored target's budget pays for scoring")
        return
    suite = c.suites.get(str(judge.anchors))
    if suite is None:
        return
    if not anchors.is_anchors(suite):
        c.problem(loc, "is a suite of probes; a file of anchors has 'anchors' instead of 'probes'")
        return
    given, count = anchors.verdicts(suite), len(suite.probes)
    if count < anchors.FEWEST:
        text = f"has {count} anchors; with fewer than {anchors.FEWEST}, drift of the judge may go undetected"
        c.warn(loc, text)
    if len(set(given)) == 1:
        c.warn(loc, f"every verdict is '{given[0]}', so a judge that always says so agrees; add the other verdict")
    _budget(c, ("judge",), anchors.as_target(judge))


def _unused(c: Checks) -> None:
    used, names = {endpoint.provider for _, endpoint in endpoints(c)}, c.names("providers")
    for name in names:
        if name not in used and used and used <= set(names):
            c.warn(("providers", name), "is not used by any target or judge")
