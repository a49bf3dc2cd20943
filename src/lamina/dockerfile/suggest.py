"""Did you mean …?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word; "" if nothing is near."""
    import difflib

    spelled = {name.lower(): name for name in known if name}
    near = difflib.get_close_matches(word.lower(), list(spelled), n=1)
    if not near or spelled[near[0]] == word:
        return ""
    return f"did you mean {spelled[near[0]]}?"
