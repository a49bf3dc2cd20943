"""Chooses a file of the context for a harmless edit: one that steps read, but no manifest."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.advise.context_size import ReadPaths
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from lamina.advise.context_files import ContextFiles
    from lamina.advise.stages import Plan

_TEXT = "edited by lamina advise --prove"
_HASH, _SLASHES = f"# {_TEXT}", f"// {_TEXT}"
COMMENTS = {
    **dict.fromkeys(("go", "rs", "java", "kt", "scala", "c", "cc", "cpp", "h", "cs"), _SLASHES),
    **dict.fromkeys(("ts", "tsx", "js", "jsx", "mjs", "cjs", "swift", "dart"), _SLASHES),
    **dict.fromkeys(("py", "rb", "ex", "exs", "pl", "sh"), _HASH),
    "css": f"/* {_TEXT} */",
    **dict.fromkeys(("vue", "svelte", "html", "md"), f"<!-- {_TEXT} -->"),
    "txt": _TEXT,
}
"""A comment by the ending of a file's name, the languages of programs first."""
_CONFIGURATION = ("setup.py", "conftest.py", "requirements.txt", "constraints.txt")


def choose_file(plan: Plan, files: ContextFiles) -> str:
    """The path of a file to edit. Raises InvalidInput if there is none."""
    read = ReadPaths(plan, plan.needed())
    order = list(COMMENTS)
    found = [
        (order.index(ending), path.count("/"), path)
        for path in files.sizes
        if (ending := path.rpartition(".")[2]) in COMMENTS
        and posixpath.basename(path) not in _CONFIGURATION
        and ".config." not in path
        and read.reads(path)
    ]
    if not found:
        raise InvalidInput(
            "no source file that a COPY reads could be found",
            hint="name a file of the context with --edit",
        )
    return min(found)[2]


def comment_for(path: str) -> str:
    """A line for the end of a file that changes nothing; "" if its language is not known."""
    return COMMENTS.get(path.rpartition(".")[2], "")
