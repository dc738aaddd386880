"""Model answers are hostile text: what a terminal, a page or a mail would obey is made visible instead."""

import unicodedata


def visible(text: str, limit: int | None = None) -> str:
    """``text`` with control, bidirectional and other invisible characters written as ``\\u{...}``.

    Newlines and tabs stay. At most ``limit`` characters of the original are kept; a cut is marked with an ellipsis
    and the number of characters left out.
    """
    kept = text if limit is None or len(text) <= limit else text[:limit]
    plain = kept.isprintable()  # nearly always, and quick to see
    shown = kept if plain else "".join(c if _harmless(c) else f"\\u{{{ord(c):x}}}" for c in kept)
    return shown if len(kept) == len(text) else f"{shown}… (+{len(text) - len(kept)} characters)"


def _harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
