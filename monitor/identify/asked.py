"""What the answers to earlier requests say about a model's identity, where its server's metadata does not decide.

A model that answers is served, whatever a list says. A model that no list has and whose every request is refused as
unknown is not served. Everything between the two is unknown.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monitor.identify.checks import Absence, Checked, quoted
from monitor.identify.names import contradicts, parsed, serves

STILL: Final = timedelta(days=35)
"""How long an answer shows that a model is served: a little more than a monthly schedule."""
UNKNOWN_MODEL: Final = frozenset((400, 404, 410, 422))
"""HTTP statuses with which servers refuse a model that they do not have."""
_UNKNOWN: Final = re.compile(
    r"model[_ ]not[_ ](?:found|exist)|unknown[_ ](?:model|deployment)|deployment ?not ?found|not_found_error|"
    r"(?:model|deployment|adapter|lora).{0,200}?(?:not (?:be )?(?:found|exist|exists|available|loaded|supported|valid|"
    r"a valid)|does(?:n't| not) exist|unknown|is invalid)|"
    r"(?:invalid|no such|unknown|unsupported|not a valid|could not find|cannot find) (?:the )?(?:model|deployment)",
    re.IGNORECASE | re.DOTALL,
)
"""How servers say that they do not have a model."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the last run that asked this model."""

    at: datetime
    answered: bool
    """Whether the model replied, if only with an answer that a limit cut before any text."""
    status: int | None = None
    detail: str = ""
    """For a refused request: what the server said."""
    said: str | None = None
    """The model id in the reply."""

    def unknown(self, model: str) -> bool:
        """Whether the server refused it because it does not know the model."""
        if self.answered or self.status not in UNKNOWN_MODEL:
            return False
        return bool(_UNKNOWN.search(self.detail)) or (self.status in (404, 410) and model in self.detail)


@dataclass(frozen=True, slots=True)
class Asked:
    """The requests of the last run that asked a model, and when its server last listed it."""

    requests: Sequence[Request] = ()
    listed_at: datetime | None = None
    """``None``: the server was never seen to list it."""


def listed(model: str, absence: Absence, asked: Asked, now: datetime) -> Checked:
    """The check ``listed`` of a model that its server does not list."""
    expected = f"{quoted(model)} is served"
    answers = [one for one in asked.requests if one.answered and now - one.at <= STILL and _since(one, asked)]
    if answers:
        at = max(one.at for one in answers)
        return Checked("listed", True, expected, f"it answers (last {at:%Y-%m-%d %H:%M} UTC); {absence.found}")
    refused = [one for one in asked.requests if one.unknown(model) and _since(one, asked)]
    if refused and not any(one.answered for one in asked.requests):
        every = len(refused) == len(asked.requests)
        told = "every request is refused" if every else f"{len(refused)} of {len(asked.requests)} requests are refused"
        found = f"the endpoint does not know the model {quoted(model)}; {told}; {absence.found}"
        return Checked("listed", False, expected, found)
    if absence.sure:
        return Checked("listed", False, f"{quoted(model)} is listed", f"it is not; {absence.found}")
    return Checked("listed", None, expected, f"{_open_question(asked)}; {absence.found}")


def _since(one: Request, asked: Asked) -> bool:
    """Whether the request was made after the server last listed the model."""
    return asked.listed_at is None or one.at > asked.listed_at


def _open_question(asked: Asked) -> str:
    """Why neither the list nor the requests decide."""
    if not asked.requests:
        return "cannot tell: it is not listed, and no run has asked it yet"
    if any(one.answered for one in asked.requests):
        return "cannot tell: it is not listed any more, and no later request shows whether it still answers"
    return "cannot tell: it is not listed, and the requests of the last run have no usable answer"


def is_pinned(model: str) -> bool:
    """Whether a model's name names a version of it."""
    return parsed(model).version is not None


def answered_as(model: str, requests: Sequence[Request]) -> Checked | None:
    """Whether replies name the declared version of the model; ``None`` if they, or the declaration, name none.

    Only another version of the same model is a difference. Replies with another name altogether are compared with
    those of the baseline, by the signal ``contract``.
    """
    if not is_pinned(model):
        return None
    said = list(dict.fromkeys(one.said for one in requests if one.answered and one.said))
    other = [name for name in said if contradicts(model, name)]
    expected = f"replies of {quoted(model)}, the declared version"
    if other:
        return Checked("answered_as", False, expected, f"replies name {quoted(other[0])}")
    same = next((name for name in said if serves(name, model)), None)
    return None if same is None else Checked("answered_as", True, expected, f"replies name {quoted(same)}")


def served_root(
    model: str, now: Mapping[str, str], approved: Sequence[str], at: datetime | None, adapter: str | None
) -> Checked | None:
    """Whether the server loads the model from where it did when a person approved the baseline.

    ``approved``: that root and later accepted ones; empty if none was seen. ``at``: when it was approved. ``adapter``:
    the declared folder, which can have another path where the server runs. ``None`` if the server names no root, or
    there is nothing to compare it with.
    """
    root = now.get("root")
    if root is None or root == model:
        return None
    found = f"{quoted(model)} is loaded from {quoted(root)}"
    note = _other_folder(root, adapter)
    if approved:
        expected = f"loaded from {quoted(approved[0])}, as when the baseline was approved ({at:%Y-%m-%d})"
        same = any(root.rstrip("/") == one.rstrip("/") for one in approved)
        return Checked("served_root", same, expected, f"{found}{note}")
    if adapter is None:
        return None
    matches = None if note else True
    return Checked("served_root", matches, f"loaded from a folder named {quoted(_folder(adapter))}", f"{found}{note}")


def _other_folder(root: str, adapter: str | None) -> str:
    """A note that the folder has another name than the declared one; empty if it has the same, or none is declared."""
    if adapter is None or _folder(root) == _folder(adapter) or serves(root, _folder(adapter)):
        return ""
    return f"; the declared adapter's folder is {quoted(_folder(adapter))} (cannot tell whether they are the same)"


def _folder(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path
