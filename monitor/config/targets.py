"""What targets and the judge must be beyond their types: endpoints, suites, production samples, budgets."""

import os
from collections.abc import Iterator
from glob import iglob
from typing import Any

from monitor.config import anchors
from monitor.config import identity as config_identity
from monitor.config.checks import Checks, pinned, provider_of
from monitor.config.problems import Loc, hint
from monitor.config.suites import SNAPSHOT_PROBES, find_suite, is_path, known_suites, read_suite
from monitor.core.records import JUDGE_TARGET, Suite
from monitor.core.settings import Endpoint, Judge, Production, Target


def run(c: Checks) -> None:
    """Check the judge, the targets and their suites, and what no one uses."""
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
    """Every endpoint in the configuration with its place."""
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
    if provider.kind != "local":
        for key in ("adapter", "revision"):
            if getattr(endpoint, key) is not None:
                c.problem((*loc, key), f"only for providers of kind local; '{endpoint.provider}' is {provider.kind}")
        return
    if endpoint.model:
        pinned(c, loc, endpoint.model, endpoint.revision)
    if endpoint.adapter is not None:
        folder = c.at(endpoint.adapter)
        if not os.path.isdir(folder):
            c.problem((*loc, "adapter"), "no such folder")
        elif not os.path.isfile(folder / "adapter_config.json"):
            c.problem((*loc, "adapter"), "is not a PEFT adapter: it holds no adapter_config.json")


def _suites(c: Checks, targets: dict[str, Target]) -> None:
    """Read each suite once; two files of one name would share their answers."""
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
    """Read a suite, or the anchors; ``found``: suite name -> who named it first and its file."""
    if reference in c.suites:
        return  # as another target named it
    path = find_suite(reference, c.folder)
    if path is None or not os.path.isfile(path):
        known = hint(reference, known_suites(c.folder), "probes/ is empty")
        c.problem(loc, "no such file" if is_path(reference) else f"no suite '{reference}'; {known}")
        return
    name, real = path.stem, os.path.realpath(path)
    first, other = found.setdefault(name, (reference, real))
    if other != real:
        c.problem(loc, f"another file is the suite '{name}' already ('{first}'); rename one")
    elif reference not in c.suites:
        suite, problems = read_suite(path)
        c.problems += problems
        if suite:
            c.suites[reference] = suite


def _target(c: Checks, loc: Loc, target: Target) -> None:
    if loc[-1] == JUDGE_TARGET:
        c.problem(loc, f"'{JUDGE_TARGET}' is kept for the judge, watched by its anchors; give the target another name")
    unclear = c.has_unknown_key(loc, Target)
    if not target.suites and target.production is None and not _stands(c, loc, "suites", "production") and not unclear:
        c.problem(loc, "nothing to ask: give it 'suites' or 'production'")
    if target.base is None and not _stands(c, loc, "base") and not unclear:
        c.warn(loc, "no 'base': whether a fine-tune was lost cannot be told (signal adapter_loss)")
    if target.subject and target.base and _same(c, target.subject, target.base):
        c.problem((*loc, "base"), "is the same model as the subject; name the model under the fine-tune")
    if target.subject and target.snapshot and _same(c, target.subject, target.snapshot):
        c.problem((*loc, "snapshot"), "is the same model as the subject; name the version to roll back to")
    if target.production:
        _production(c, (*loc, "production"), target.production)
    config_identity.run(c, loc, target)
    _budget(c, loc, target)


def _stands(c: Checks, loc: Loc, *keys: str) -> bool:
    """Whether one of ``keys`` holds something in the file, valid or not."""
    data: Any = c.document.data
    for part in loc:
        data = data[part]
    return any(data.get(key) not in (None, []) for key in keys)


def _same(c: Checks, one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints are one model, whatever their providers are called."""

    def served(endpoint: Endpoint) -> tuple[object, ...] | None:
        provider = (c.settings.providers or {}).get(endpoint.provider)
        if provider is None or not endpoint.model:
            return None
        place = (provider.kind, (provider.base_url or "").rstrip("/"), provider.script)
        return (*place, endpoint.model, endpoint.revision, endpoint.adapter)

    return served(one) is not None and served(one) == served(other)


def _production(c: Checks, loc: Loc, production: Production) -> None:
    source = production.source
    paths: list[tuple[Loc, str | None]] = [(("stratify",), production.stratify)]
    if source:
        paths += [(("source", key), getattr(source, key)) for key in ("messages", "prompt", "time")]
        paths += [(("source", "where", key), key) for key in source.where]
        if source.path and "**" not in source.path and next(iglob(str(c.at(source.path))), None) is None:
            c.warn((*loc, "source", "path"), "no file matches now; a run without inputs is unmeasured")
    for key, path in paths:
        if path is not None and not all(path.split(".")):
            c.problem((*loc, *key), "must be keys with dots between them, such as request.messages")


def _budget(c: Checks, loc: Loc, target: Target) -> None:
    if target.budget.usd_per_day is not None:
        for model in _unpriced(c, target):
            text = f"no price is known for {model}: add it to its provider's 'prices', or say 'free: true' there"
            c.problem((*loc, "budget", "usd_per_day"), text)
    limit, needed = target.budget.requests_per_day, _requests(c, target)
    if limit is not None and limit < needed:
        text = f"one pass over the suites takes up to {needed} requests: the rest of each day is unmeasured"
        c.warn((*loc, "budget", "requests_per_day"), text)


def _asked(c: Checks, target: Target) -> list[Suite]:
    return [c.suites[reference] for reference in target.suites if reference in c.suites]


def _is_judged(c: Checks, suite: Suite) -> int:
    """How many of the suite's probes have a rubric; counted once, since a fleet shares its suites."""
    found = c.judged.get(suite.digest)
    if found is None:
        found = c.judged[suite.digest] = sum(1 for probe in suite.probes if probe.rubric or suite.rubric)
    return found


def _requests(c: Checks, target: Target) -> int:
    arms = 2 if target.base else 1
    judged = 1 if c.settings.judge else 0
    spare = SNAPSHOT_PROBES if target.snapshot else 0
    return sum(
        arms * suite.replicates * (len(suite.probes) + judged * _is_judged(c, suite)) + min(spare, len(suite.probes))
        for suite in _asked(c, target)
    )


def _unpriced(c: Checks, target: Target) -> list[str]:
    """The target's models whose calls may cost what no one can say, as ``'model' (provider 'name')``."""
    judged = any(_is_judged(c, suite) for suite in _asked(c, target)) or bool(
        target.production and target.production.rubric
    )
    unpriced = []
    for endpoint in (target.subject, target.base, target.snapshot, c.settings.judge if judged else None):
        provider = (c.settings.providers or {}).get(endpoint.provider) if endpoint else None
        if endpoint is None or not endpoint.model or provider is None or not provider.kind:
            continue
        if provider.free or provider.kind in ("local", "scripted"):
            continue
        from monitor.ask.prices import price_of

        if price_of(provider, endpoint.model) is None:
            unpriced.append(f"'{endpoint.model}' (provider '{endpoint.provider}')")
    return unpriced


def _judge(c: Checks, targets: dict[str, Target]) -> None:
    judged = any(_is_judged(c, suite) for suite in c.suites.values())
    judged = judged or any(target.production and target.production.rubric for target in targets.values())
    if judged and c.settings.judge is None and "judge" not in c.document.data:
        c.warn((), "no 'judge': the rubrics are not used, and there is no judge_score")
    if c.settings.judge and not judged:
        asked = "scores nothing but its anchors" if c.settings.judge.anchors else "is never asked"
        c.warn(("judge",), f"{asked}: no suite and no production sample has a rubric")
    if c.settings.judge and judged and not _stands(c, ("judge",), "anchors"):
        c.warn(("judge",), "no 'anchors': a judge that moves looks as if what it judges had moved")
    for name, target in targets.items():
        if c.settings.judge and target.subject and _same(c, target.subject, c.settings.judge):
            c.warn(("judge",), f"is the subject of target '{name}' itself: both drift together, and it favours itself")


def _anchors(c: Checks, judge: Judge) -> None:
    """The judge as a target of its own: anchors tell whether it moved where they are many and of both kinds."""
    loc: Loc = ("judge", "anchors")
    if judge.anchors is None:
        if _stands(c, ("judge",), "budget") and not _stands(c, ("judge",), "anchors"):
            c.warn(("judge", "budget"), "has no effect without 'anchors': judging is paid by the target that is judged")
        return
    suite = c.suites.get(str(judge.anchors))
    if suite is None:
        return
    if not anchors.is_anchors(suite):
        c.problem(loc, "is a suite of probes; a file of anchors has 'anchors' in place of 'probes'")
        return
    given, count = anchors.verdicts(suite), len(suite.probes)
    if count < anchors.FEWEST:
        text = f"holds {count} anchors: with fewer than {anchors.FEWEST} a judge that moved may long go unseen"
        c.warn(loc, text)
    if len(set(given)) == 1:
        c.warn(
            loc, f"every verdict is '{given[0]}': a judge that says nothing else agrees; add answers of the other kind"
        )
    _budget(c, ("judge",), anchors.as_target(judge))


def _unused(c: Checks) -> None:
    used, names = {endpoint.provider for _, endpoint in endpoints(c)}, c.names("providers")
    for name in names:
        if name not in used and used and used <= set(names):
            c.warn(("providers", name), "no target and no judge uses it")
