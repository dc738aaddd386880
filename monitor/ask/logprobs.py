"""The log-probabilities of a Chat Completions reply."""

from typing import Final

from monitor.core.records import TokenLogprob

NO_PROBABILITY: Final = -9999.0
"""Value in the API for a token without a probability."""


def read_logprobs(raw: object) -> tuple[TokenLogprob, ...] | None:
    """The generated tokens' log-probabilities; ``None`` when the reply has none at all.

    Empty when it has some that cannot be used: a token without a probability would shift all that follow.
    """
    content = raw.get("content") if isinstance(raw, dict) else None
    if not isinstance(content, list) or not content:
        return None
    tokens = [token for token in map(_read_token, content) if token is not None]
    return tuple(tokens) if len(tokens) == len(content) else ()


def _read_token(entry: object) -> TokenLogprob | None:
    pair = _token_and_logprob(entry)
    if pair is None or pair[1] <= NO_PROBABILITY or not isinstance(entry, dict):
        return None
    alternatives = entry.get("top_logprobs")
    pairs = [_token_and_logprob(a) for a in alternatives] if isinstance(alternatives, list) else []
    top = {token: logprob for token, logprob in (p for p in pairs if p) if logprob > NO_PROBABILITY}
    return TokenLogprob(*pair, top)


def _token_and_logprob(entry: object) -> tuple[str, float] | None:
    if not isinstance(entry, dict):
        return None
    token, logprob = entry.get("token"), entry.get("logprob")
    return (token, float(logprob)) if isinstance(token, str) and isinstance(logprob, int | float) else None
