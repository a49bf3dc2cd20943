"""`dockerfile.v0`: the Dockerfile frontend.

For a remote client, the Dockerfile, the ignore files and the contexts are sources of the build's
own graph, and the frontend reads them from their results. A client in this process has directories,
and the frontend reads them in place.
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.attest.options import wanted_sbom
from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.events import WarningEvent
from lamina.base.reference import parse_reference
from lamina.dockerfile.attributes import read_attributes
from lamina.dockerfile.build import build as convert
from lamina.dockerfile.contract import DockerfileText, MainContext, ResolvedImage
from lamina.dockerfile.source_ops import local_source
from lamina.dockerfile.syntax import OURSELVES, find_syntax, syntax_location
from lamina.engine.build_result import BuildResult, PlatformResult
from lamina.engine.caching.build_caches import client_import
from lamina.engine.definition_graph import internal_digest
from lamina.engine.frontends.base_image import resolve_base
from lamina.engine.frontends.contexts import Contexts, define, read_if_there, read_in_place
from lamina.engine.frontends.table import GATEWAY
from lamina.engine.steps import step
from lamina.llb.codec import encode_definition
from lamina.llb.state import Vertex
from lamina.session.contract import FolderRequest
from lamina.sources.image import ResolveMode
from lamina.sources.local import folder_request
from lamina.sources.material import LocalMaterial
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.attest.options import SbomOptions
    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.dockerfile.attributes import DockerfileAttributes
    from lamina.dockerfile.contract import FrontendResult, Warned
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import Definition, Op


def run_dockerfile(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    """Convert the Dockerfile of a call, or answer its subrequest.

    Raises InvalidInput and NotFound, located in the Dockerfile.
    """
    options = read_attributes(call.attrs)
    build.import_caches([client_import(pairs) for pairs in options.cache_imports])
    contexts = Contexts(build, options, inputs)
    bridge = ContextBridge(build, options, contexts)
    text = bridge.read_dockerfile()
    try:
        return _run(build, call, inputs, options, bridge, text)
    except LaminaError as error:
        if error.location is not None and text.origin is not None:
            location = error.location._replace(origin=encode_definition(text.origin))
            raise error.with_context(location=location) from error
        raise


def _run(
    build: FrontendBuild,
    call: FrontendCall,
    inputs: Mapping[str, Definition],
    options: DockerfileAttributes,
    bridge: ContextBridge,
    text: DockerfileText,
) -> BuildResult:
    contexts = bridge.contexts
    if "cmdline" not in call.attrs:
        syntax = options.syntax or find_syntax(text.data)
        image = syntax.split(maxsplit=1)[0] if syntax.strip() else ""
        if image and parse_reference(image).name not in OURSELVES:
            wanted = {**call.attrs, "cmdline": syntax, "source": image}
            try:
                return build.run_frontend(GATEWAY, wanted, inputs, call)
            except LaminaError as error:
                raise error.at(syntax_location(text)) from None
    made_at = bridge.made_in_place()
    context = MainContext(contexts.main, contexts.session_of("context"), made_at)
    named = contexts.named()
    requests = [
        request._replace(named_contexts=named, context=context) for request in options.requests()
    ]
    if options.subrequest:
        from lamina.dockerfile.calls import answer

        answered = answer(options.subrequest, requests[0], bridge)
        return BuildResult((), metadata=answered.metadata())
    sbom = wanted_sbom(call.attrs)
    parts = tuple(_part(build, converted, sbom, call) for converted in convert(requests, bridge))
    return BuildResult(parts, options.several)


def _part(
    build: FrontendBuild, converted: FrontendResult, sbom: SbomOptions | None, call: FrontendCall
) -> PlatformResult:
    """The result for one platform, with its SBOM if one is wanted."""
    part = PlatformResult(
        converted.platform,
        build.solvable(converted.definition),
        converted.config,
        converted.base_config,
        epoch=converted.epoch,
    )
    if sbom is None or part.files.empty:
        return part
    from lamina.engine.frontends.sbom import make_scanner

    resolve = call.attrs.get("image-resolve-mode", "")
    scanner = make_scanner(build, sbom, resolve, ignore_cache=converted.ignore_cache)
    extras = {name: build.solvable(definition) for name, definition in converted.scanned}
    attestation = scanner.attestation(part.key, part.files, extras, part.epoch)
    return part._replace(attestations=(attestation,))


class ContextBridge:
    """Implements `lamina.dockerfile.contract.Bridge`."""

    def __init__(
        self, build: FrontendBuild, options: DockerfileAttributes, contexts: Contexts
    ) -> None:
        self._build = build
        self._options = options
        self.contexts = contexts
        self._images = build.resolver(_resolve_mode(build, options))
        self._text: DockerfileText | None = None
        self._reading: Digest = internal_digest("load build definition")

    def read_dockerfile(self) -> DockerfileText:
        if self._text is None:
            self._text = self._read()
        return self._text

    def resolve_image(self, reference: Reference, platform: Platform, title: str) -> ResolvedImage:
        return resolve_base(self._build, self._images, reference, platform, title)

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        from lamina.sources.layout import parse_location

        store, _, digest = parse_location(location)  # only for display
        attrs = (("oci.session", self._build.session.id), ("oci.store", store))
        if not digest:
            raise InvalidInput(f'oci-layout reference "{location}" has no digest')
        # Names of stages are case-insensitive. With several platforms the name ends with the
        # platform.
        shown = parse_reference(name.partition("::")[0].lower())._replace(tag="")
        source = self._build.sources.layout(
            f"{shown}@{digest}", dict(attrs), platform, self._build.session
        )
        with step(f"[context {name}] load metadata for {shown}@{digest}", self._build.events):
            found = source.resolve(self._build.cancel)
        return ResolvedImage(found.digest, found.config, store=str(shown), attrs=attrs)

    def made_at(self, source: Definition) -> int | None:
        from lamina.engine.frontends.source_time import source_time

        return source_time(self._build, source)

    def warn(self, warning: Warned) -> None:
        # Errors in the text are shown at the step that reads it.
        self._build.events(
            WarningEvent(
                self._reading,
                warning.short,
                (warning.description,),
                warning.url,
                warning.location,
            )
        )

    def made_in_place(self) -> int | None:
        """When the files of a local context were made, in seconds since 1970, if it is known."""
        session = self._build.session
        if self.contexts.main is not None or not session.in_process:
            return None
        return session.folder("context", FolderRequest(), self._build.cancel).made_at

    def _read(self) -> DockerfileText:
        contexts = self.contexts
        name = contexts.filename
        if contexts.dockerfile is None and self._build.session.in_process:
            return self._read_in_place(self._options.dockerfile_key or "dockerfile", name)
        lower = posixpath.join(posixpath.dirname(name), "dockerfile")
        default = posixpath.basename(name) == "Dockerfile"
        source = contexts.dockerfile
        if source is None:
            local = self._options.dockerfile_key or "dockerfile"
            wanted = [name, f"{name}.dockerignore", *([lower] if default else ())]
            session = contexts.session_of(local)
            op = local_source(local, local, session=session, followed=wanted, differ="none")
            source = define(op, f"[internal] load build definition from {name}")
            self._reading = Vertex(op).digest
        with WorkerPool(1, "ahead") as ahead:
            if contexts.main is None and contexts.session_of("context") == self._build.session.id:
                ahead.submit(self._ask_for_ignore)
            tree = contexts.tree(source)
        data = read_if_there(tree, name)
        if data is None and default:
            data = read_if_there(tree, lower)
        if data is None:
            raise _no_dockerfile(name)
        ignore = read_if_there(tree, f"{name}.dockerignore")
        if ignore is None and contexts.main is None:
            ignore = self._ignore()
        return DockerfileText(name, data, ignore, source)

    def _read_in_place(self, folder: str, name: str) -> DockerfileText:
        build = self._build
        with step(f"[internal] load build definition from {name}", build.events) as shown:
            self._reading = shown.digest
            provided = build.session.folder(folder, FolderRequest(), build.cancel).path
            path = posixpath.join(provided, name)
            data = read_in_place(path, "Dockerfile")
            if data is None and posixpath.basename(name) == "Dockerfile":
                lower = posixpath.join(posixpath.dirname(path), "dockerfile")
                data = read_in_place(lower, "Dockerfile")
            if data is None:
                raise _no_dockerfile(path)
            shown.status(f"transferring dockerfile: {len(data)}B")
            build.note(LocalMaterial("dockerfile"))
        ignore = None
        if self.contexts.main is None:
            with step("[internal] load .dockerignore", build.events) as shown:
                ignore = read_in_place(f"{path}.dockerignore", ".dockerignore")
                if ignore is None:
                    # there is no context: a Dockerfile may work without one
                    with suppress(NotFound):
                        context = build.session.folder("context", FolderRequest(), build.cancel)
                        ignore_path = posixpath.join(context.path, ".dockerignore")
                        ignore = read_in_place(ignore_path, ".dockerignore")
                build.note(LocalMaterial("context"))
                shown.status(f"transferring context: {len(ignore or b'')}B")
        else:
            ignore = read_in_place(f"{path}.dockerignore", ".dockerignore")
        return DockerfileText(name, data, ignore)

    def _ask_for_ignore(self) -> None:
        """Request the ignore file while the client sends the Dockerfile: most builds need both."""
        asked = self._ignore_source.source
        if asked is not None:
            with suppress(LaminaError, OSError):  # the build may never need it
                self._build.session.folder(
                    "context", folder_request(dict(asked.attrs)), self._build.cancel
                )

    def _ignore(self) -> bytes | None:
        source = define(self._ignore_source, "[internal] load .dockerignore")
        try:
            tree = self.contexts.tree(source)
        except NotFound:
            return None  # there is no context: a Dockerfile may work without one
        return read_if_there(tree, ".dockerignore")

    @property
    def _ignore_source(self) -> Op:
        return local_source(
            "context",
            "context-.dockerignore",
            session=self.contexts.session_of("context"),
            followed=[".dockerignore"],
            differ="none",
        )


def _no_dockerfile(path: str) -> NotFound:
    return NotFound(
        f"failed to read dockerfile: open {path}: no such file or directory",
        hint="name it with -f, or build in its directory",
    )


def _resolve_mode(build: FrontendBuild, options: DockerfileAttributes) -> ResolveMode:
    """The mode in the attributes, else the build's default."""
    mode = options.request.options.resolve_mode
    return ResolveMode(mode) if mode else build.resolve_mode
