"""`dockerfile.v0`: the Dockerfile frontend for clients that lend their files.

Unlike a build in this process, nothing lies where it can simply be opened: the Dockerfile, the
ignore files and the contexts are sources of the build's own graph, and what is read of them is
read from their results.
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.events import WarningEvent
from lamina.base.reference import parse_reference
from lamina.dockerfile.attributes import read_attributes
from lamina.dockerfile.contract import DockerfileText, MainContext, ResolvedImage
from lamina.dockerfile.source_ops import local_source
from lamina.dockerfile.syntax import OURSELVES, find_syntax, syntax_location
from lamina.engine.build_result import BuildResult
from lamina.engine.caching.build_caches import client_import
from lamina.engine.definition_graph import internal_digest
from lamina.engine.frontends.base_image import resolve_base
from lamina.engine.frontends.contexts import Contexts, define, read_if_there
from lamina.engine.frontends.conversion import converted
from lamina.engine.frontends.table import GATEWAY
from lamina.engine.steps import step
from lamina.llb.codec import encode_definition
from lamina.llb.state import Vertex
from lamina.sources.image import ResolveMode
from lamina.sources.layout import parse_location
from lamina.sources.local import folder_request
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.dockerfile.attributes import DockerfileOptions
    from lamina.dockerfile.contract import Warned
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import Definition, Op


def run_dockerfile(
    build: FrontendBuild, call: FrontendCall, inputs: Mapping[str, Definition]
) -> BuildResult:
    """Convert what the call's attributes describe, or answer the question that they ask.

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
    options: DockerfileOptions,
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
    context = MainContext(contexts.main, contexts.session_of("context"))
    named = contexts.named()
    requests = [
        request._replace(named_contexts=named, context=context) for request in options.requests()
    ]
    if options.subrequest:
        from lamina.dockerfile.calls import answer

        answered = answer(options.subrequest, requests[0], bridge)
        return BuildResult((), metadata=answered.metadata())
    return converted(build, requests, bridge)._replace(several=options.several)


class ContextBridge:
    """Implements `lamina.dockerfile.contract.Bridge`."""

    def __init__(
        self, build: FrontendBuild, options: DockerfileOptions, contexts: Contexts
    ) -> None:
        self._build = build
        self._options = options
        self.contexts = contexts
        self._images = build.resolver(ResolveMode(options.resolve_mode))
        self._text: DockerfileText | None = None
        self._reading: Digest = internal_digest("load build definition")

    def read_dockerfile(self) -> DockerfileText:
        if self._text is None:
            self._text = self._read()
        return self._text

    def resolve_image(self, reference: Reference, platform: Platform, title: str) -> ResolvedImage:
        return resolve_base(self._build, self._images, reference, platform, title)

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        store, _, digest = parse_location(location)  # the tag is for people
        attrs = (("oci.session", self._build.session.id), ("oci.store", store))
        if not digest:
            raise InvalidInput(f'oci-layout reference "{location}" has no digest')
        # Names of stages are of any case; of one for each platform, the platform follows.
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
        # What is found in the text is shown with the step that reads it.
        self._build.events(
            WarningEvent(
                self._reading,
                warning.short,
                (warning.description,),
                warning.url,
                warning.location,
            )
        )

    def _read(self) -> DockerfileText:
        contexts = self.contexts
        name = contexts.filename
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
            raise NotFound(
                f"failed to read dockerfile: open {name}: no such file or directory",
                hint="name it with -f, or build where it lies",
            )
        ignore = read_if_there(tree, f"{name}.dockerignore")
        if ignore is None and contexts.main is None:
            ignore = self._ignore()
        return DockerfileText(name, data, ignore, source)

    def _ask_for_ignore(self) -> None:
        """Have the client send it while it sends the Dockerfile: most builds want both."""
        asked = self._ignore_source.source
        if asked is not None:
            with suppress(LaminaError, OSError):  # it may never be wanted
                self._build.session.folder(
                    "context", folder_request(dict(asked.attrs)), self._build.cancel
                )

    def _ignore(self) -> bytes | None:
        source = define(self._ignore_source, "[internal] load .dockerignore")
        try:
            tree = self.contexts.tree(source)
        except NotFound:
            return None  # no context is lent: a Dockerfile may do without
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
