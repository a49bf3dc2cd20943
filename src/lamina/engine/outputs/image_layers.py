"""The layers of an exported image, for statements about it."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from typing import TYPE_CHECKING

from lamina.layers.stack import is_whiteout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.exporters.contract import ExportedImage
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.system.cancel import Cancellation


class ExportedImageLayers:
    """Implements `lamina.attest.contract.DescribedImage`.

    Args:
        ref: what the image was made of.
        names: the full references of the image.
    """

    def __init__(
        self,
        refs: RefManager,
        ref: Ref,
        image: ExportedImage,
        names: Sequence[str],
        cancel: Cancellation,
    ) -> None:
        self._refs = refs
        self._ref = ref
        self._cancel = cancel
        self.name = names[0] if names else ""
        self.digest = str(image.target.digest)
        self.layers = tuple(str(layer.digest) for layer in image.layers)

    def layer_of(self, path: str) -> str:
        relative = os.path.normpath(f"/{path}").lstrip("/")
        folders = self._folders
        if not relative or len(folders) != len(self.layers):
            return ""
        for folder, digest in zip(reversed(folders), reversed(self.layers), strict=True):
            if _has(folder, relative):
                return digest
        return ""

    @cached_property
    def _folders(self) -> list[str]:
        return self._refs.differences(self._ref, self._cancel)


def _has(folder: str, path: str) -> bool:
    """Whether a layer's directory has a file that is no whiteout. No link is followed."""
    at = folder
    *parents, name = path.split("/")
    try:
        for parent in parents:
            at = f"{at}/{parent}"
            if not stat.S_ISDIR(os.lstat(at).st_mode):
                return False
        status = os.lstat(f"{at}/{name}")
    except OSError:
        return False
    return not is_whiteout(status)
