"""The files of a build context, for advice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.patterns import PatternMatcher
from lamina.dockerfile.ignore import read_patterns

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_TEXT = 1 << 20


class ContextFiles:
    """Files by their path, with sizes in bytes; those that the ignore file excludes are left out.

    `folder` is where they are, "" if there is no context. `ignore_text` is the text of the ignore
    file, `ignore_name` its name. `texts` are the contents of files that need not be read.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        folder: str = "",
        ignore_text: str = "",
        ignore_name: str = ".dockerignore",
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self.sizes = sizes
        self.folder = folder
        self.ignore_text = ignore_text
        self.ignore_name = ignore_name
        self._texts = dict(texts or {})

    def __contains__(self, path: str) -> bool:
        return path in self.sizes

    def text(self, path: str) -> str:
        """The content of a file; "" if it cannot be read."""
        if path not in self._texts and not self.folder:
            return ""
        if path not in self._texts:
            try:
                with open(os.path.join(self.folder, path), "rb") as file:
                    data = file.read(_LONGEST_TEXT)
            except OSError:
                data = b""
            self._texts[path] = data.decode("utf-8", "replace")
        return self._texts[path]

    def below(self, folder: str) -> list[str]:
        """The paths below a directory of the context; all for ""."""
        return [path for path in self.sizes if not folder or path.startswith(f"{folder}/")]

    def with_ignore_text(self, text: str) -> ContextFiles:
        """The files that another ignore file leaves."""
        matcher = PatternMatcher(read_patterns(text.encode("utf-8", "surrogateescape")))
        sizes = {path: size for path, size in self.sizes.items() if not matcher.matches(path)}
        return ContextFiles(sizes, self.folder, text, self.ignore_name, self._texts)


def read_context(folder: str, ignore_data: bytes, ignore_name: str) -> ContextFiles:
    """List the files of a directory. Directories that cannot be read are skipped. Raises
    InvalidInput for a malformed pattern."""
    matcher = PatternMatcher(read_patterns(ignore_data))
    sizes: dict[str, int] = {}
    for path, names, files in os.walk(folder):
        relative = os.path.relpath(path, folder)
        prefix = "" if relative == "." else f"{relative}/"
        if not matcher.has_exceptions:
            names[:] = [name for name in names if not matcher.matches(prefix + name)]
        names.sort()
        links = [name for name in names if os.path.islink(os.path.join(path, name))]
        for name in sorted((*files, *links)):
            if not matcher.matches(prefix + name):
                sizes[prefix + name] = _size(os.path.join(path, name))
    text = ignore_data.decode("utf-8", "surrogateescape")
    return ContextFiles(sizes, folder, text, ignore_name)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
