"""Files that are either the old ones or whole."""

from __future__ import annotations

import os

from lamina.base.errors import NotFound, from_os_error


def check_folder(path: str, flag: str) -> None:
    """Fail early if a file could not be written later. Raises NotFound."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise NotFound(f"--{flag} {path}: there is no folder {folder}")


def write_file(path: str, text: str) -> None:
    """Replace a file's content in one step; write straight to a pipe or a device.

    Raises what the system's refusal translates to.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        _write(path, text)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        _write(temporary, text)
        os.replace(temporary, path)
    except OSError as error:
        raise from_os_error(error, "write") from error
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise from_os_error(error, "write") from error
