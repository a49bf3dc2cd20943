"""The frontend's door into the build."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, from_os_error
from lamina.base.events import WarningEvent
from lamina.dockerfile.contract import DockerfileText, ResolvedImage
from lamina.engine.definition_graph import internal_digest
from lamina.engine.frontends.base_image import resolve_base
from lamina.engine.steps import step
from lamina.session.contract import FolderRequest
from lamina.sources.material import LocalMaterial
from lamina.system.regular import read_regular

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.dockerfile.contract import Warned
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import Definition

_LIMIT = 16 << 20


class DockerfileBridge:
    """Implements `lamina.dockerfile.contract.Bridge`.

    Args:
        dockerfile: path of the Dockerfile, or "" for the context's own.
        data: its content, if it does not come from a file.
    """

    def __init__(
        self,
        build: FrontendBuild,
        *,
        dockerfile: str,
        data: bytes | None,
    ) -> None:
        self._build = build
        self._session = build.session
        self._images = build.resolver(build.resolve_mode)
        self._events = build.events
        self._cancel = build.cancel
        self._dockerfile = dockerfile
        self._data = data
        self._text: DockerfileText | None = None
        self._reading = internal_digest("load build definition")

    def read_dockerfile(self) -> DockerfileText:
        if self._text is None:
            self._text = self._find_text()
        return self._text

    def _find_text(self) -> DockerfileText:
        name = os.path.basename(self._dockerfile) or "Dockerfile"
        with step(f"[internal] load build definition from {name}", self._events) as shown:
            # What is found in the text is shown with the step that reads it.
            self._reading = shown.digest
            data = self._data
            path = self._dockerfile
            if data is None:
                if not path:
                    path = os.path.join(
                        self._session.folder("context", FolderRequest(), self._cancel).path,
                        "Dockerfile",
                    )
                data = _read(path, "Dockerfile")
                if data is None and not self._dockerfile:
                    lower = os.path.join(os.path.dirname(path), "dockerfile")
                    data = _read(lower, "Dockerfile")
                if data is None:
                    raise NotFound(
                        f"failed to read dockerfile: {path}: no such file",
                        hint="name it with -f, or run lamina where it lies",
                    )
            shown.status(f"transferring dockerfile: {len(data)}B")
            self._build.note(LocalMaterial("dockerfile"))
        with step("[internal] load .dockerignore", self._events) as shown:
            ignore = self._read_ignore(path)
            self._build.note(LocalMaterial("context"))
            shown.status(f"transferring context: {len(ignore or b'')}B")
        return DockerfileText(name, data, ignore)

    def resolve_image(self, reference: Reference, platform: Platform, title: str) -> ResolvedImage:
        return resolve_base(self._build, self._images, reference, platform, title)

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        source = self._build.sources.layout(location, {}, platform, self._session)
        with step(f"[context {name}] load metadata for {location}", self._events):
            resolved = source.resolve(self._cancel)
        return ResolvedImage(resolved.digest, resolved.config)

    def made_at(self, source: Definition) -> int | None:
        from lamina.engine.frontends.source_time import source_time

        return source_time(self._build, source)

    def warn(self, warning: Warned) -> None:
        self._events(
            WarningEvent(
                self._reading,
                warning.short,
                (warning.description,),
                warning.url,
                warning.location,
            )
        )

    def _context(self) -> str:
        return self._session.folder("context", FolderRequest(), self._cancel).path

    def _read_ignore(self, dockerfile: str) -> bytes | None:
        """`<name>.dockerignore` beside the Dockerfile, else the context's `.dockerignore`."""
        if dockerfile:
            own = _read(f"{dockerfile}.dockerignore", ".dockerignore")
            if own is not None:
                return own
        try:
            context = self._context()
        except NotFound:
            return None
        return _read(os.path.join(context, ".dockerignore"), ".dockerignore")


def _read(path: str, what: str) -> bytes | None:
    try:
        return read_regular(path, _LIMIT, follow=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"read the {what}") from error
