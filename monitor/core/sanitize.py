"""Makes control characters in hostile text, such as model answers, visible for terminals, pages and mail."""

import unicodedata


def visible(text: str, limit: int | None = None) -> str:
    """``text`` with control, bidirectional and other invisible characters written as ``\\u{...}``.

    Keeps newlines and tabs, and at most ``limit`` characters of the original. A cut is marked with an ellipsis and the
    number of removed characters.
    """
    kept = text if limit is None or len(text) <= limit else text[:limit]
    plain = kept.isprintable()  # nearly always true, and a cheap check
    shown = kept if plain else "".join(c if _harmless(c) else f"\\u{{{ord(c):x}}}" for c in kept)
    return shown if len(kept) == len(text) else f"{shown}… (+{len(text) - len(kept)} characters)"


def _harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
