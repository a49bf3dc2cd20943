"""The result of a comparison, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.imagediff.files import File


class Options(NamedTuple):
    """What to compare besides content.

    `times` are modification and creation times, `history` the history. Without `layers` only the
    final file systems are compared.
    """

    times: bool = False
    history: bool = False
    layers: bool = True


class FileChange(NamedTuple):
    """A path that differs. `before` is None if it was added, `after` if it was removed.

    `differs` has the names that `lamina.imagediff.files.differences` gives. The layers are numbers
    from 1, 0 if the file is in no layer. `before_link` is, of the paths that are hard links to the
    same file, the first one that both images have, or if there is none the first one; "" for a file
    with one path. In the changes of a layer it is the target of an entry that is a hard link.
    """

    path: str
    before: File | None
    after: File | None
    differs: tuple[str, ...] = ()
    before_layer: int = 0
    after_layer: int = 0
    before_link: str = ""
    after_link: str = ""


class ConfigurationChange(NamedTuple):
    """A member of the configuration. `field` is its name in the OCI image specification; `key`
    names a variable, label, port, volume or annotation. None: the member does not exist."""

    field: str
    key: str
    before: Any
    after: Any


class PackageChange(NamedTuple):
    """A package with the versions that are installed, none if it is not."""

    manager: str
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class LayerSummary(NamedTuple):
    """`size` is the blob's, `content` the sum of its files', `files` the number of its entries.

    `content` and `files` are None if the layer was not read, since all layers are the same.
    """

    number: int
    digest: Digest
    diff_id: Digest | None
    size: int
    step: str
    files: int | None
    content: int | None


class LayerChange(NamedTuple):
    """Two layers that were compared, or one that only one image has.

    `same` is whether they have the same diff id. `changes` compares their entries.
    """

    before: LayerSummary | None
    after: LayerSummary | None
    same: bool
    changes: tuple[FileChange, ...]


class ImageSummary(NamedTuple):
    """`digest` is None for an image of an archive that has no manifest; `size` is the sum of the
    blobs of the layers."""

    name: str
    digest: Digest | None
    config_digest: Digest
    platform: str
    size: int


class ImageDiff(NamedTuple):
    """How two images differ.

    `time_only` is the number of files of which only the times differ, if times are not compared.
    `problems` are lists of packages that could not be read: (image's name, reason).
    """

    before: ImageSummary
    after: ImageSummary
    options: Options
    configuration: tuple[ConfigurationChange, ...]
    packages: tuple[PackageChange, ...]
    layers: tuple[LayerChange, ...]
    files: tuple[FileChange, ...]
    time_only: int = 0
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def equal(self) -> bool:
        """Whether no difference was found."""
        return not (
            self.configuration
            or self.packages
            or self.files
            or any(layer.changes or None in (layer.before, layer.after) for layer in self.layers)
        )
