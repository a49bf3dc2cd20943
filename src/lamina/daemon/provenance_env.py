"""Fields that the administrator adds to all provenance: the files of `provenanceEnvDir`."""

from __future__ import annotations

import json
import os
from typing import Any

from lamina.base.errors import InvalidInput, from_os_error

_BUILT_IN = ("buildConfig", "builderPlatform", "platform")


def load_provenance_env(folder: str) -> dict[str, Any]:
    """The members of all `*.json` files in a directory, in the order of names; later ones win.

    A missing directory is empty. Raises InvalidInput.
    """
    found: dict[str, Any] = {}
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return found
    except OSError as error:
        raise from_os_error(error, "read provenanceEnvDir") from error
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".json") and not os.path.isdir(path):
            found.update(_load(path))
    for key in _BUILT_IN:
        if key in found:
            raise InvalidInput(
                f'key "{key}" is builtin and not allowed to be modified in provenance config'
            )
    return found


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except OSError as error:
        raise from_os_error(error, "read provenance environment") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"failed to parse {path}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"failed to parse {path}: it is not a JSON object")
    return document
