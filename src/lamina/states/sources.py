"""The sources of states: images, repositories, URLs, directories, Dockerfiles, other states."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.base.oci import IMAGE_CONFIG_KEY
from lamina.base.platform import parse_platform
from lamina.base.reference import parse_reference
from lamina.dockerfile.graph import Inputs, Step
from lamina.dockerfile.image_config import ImageConfig
from lamina.dockerfile.input_metadata import write_input_metadata
from lamina.llb.op import MergeInput, MergeOp, Op, SourceOp
from lamina.llb.platform import llb_platform
from lamina.llb.state import unmarshal
from lamina.states.arguments import (
    DATA,
    PAIRS,
    PATH,
    STATE,
    SWITCH,
    TEXT,
    checked,
    either,
    mapping_of,
    optional,
)
from lamina.states.node import Directory, Node, Value, key_of
from lamina.states.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.llb.op import Definition
    from lamina.states.caller import Caller
    from lamina.states.node import Evaluation


def scratch() -> State:
    """An empty file system."""
    return State(Node(lambda evaluation, _: Value(None, ImageConfig.empty(evaluation.platform))))


@checked(reference=TEXT, resolve=TEXT)
def image(reference: str, *, platform: str = "", resolve: str = "") -> State:
    """The file system and the configuration of an image.

    Args:
        reference: as in a `FROM` of a Dockerfile.
        platform: such as `linux/arm64`, by default the target platform.
        resolve: `pull` to ask the registry, `local` to prefer local images, "" for the builder's
            default.

    Raises InvalidInput.
    """
    name = parse_reference(reference)
    wanted = parse_platform(platform) if platform else None

    def evaluate(evaluation: Evaluation, _: tuple[Value, ...]) -> Value:
        chosen = wanted or evaluation.platform
        title = f"resolve image config for docker-image://{name}"
        found = evaluation.gateway.resolve_image_config(str(name), chosen, mode=resolve, name=title)
        pinned = parse_reference(found.reference)
        if found.digest and not pinned.digest:
            from lamina.base.digest import parse_digest

            pinned = pinned._replace(digest=parse_digest(found.digest))
        config = ImageConfig.parse(found.config)
        return _source(
            Op(source=SourceOp(f"docker-image://{pinned}"), platform=llb_platform(chosen)),
            f"FROM {pinned}",
            evaluation,
            node.caller,
            config,
        )

    node = Node(evaluate)
    return State(node)


def stored_image(name: str, digest: str, *, owner: object) -> State:
    """An image of a builder's store, for states that only this builder can build."""
    from lamina.base.digest import parse_digest

    reference = parse_reference(name)._replace(digest=parse_digest(digest))

    def evaluate(evaluation: Evaluation, _: tuple[Value, ...]) -> Value:
        found = evaluation.gateway.resolve_image_config(
            str(reference), evaluation.platform, mode="local", name=f"load {name}"
        )
        op = Op(
            source=SourceOp(f"docker-image://{reference}", (("image.resolvemode", "local"),)),
            platform=llb_platform(evaluation.platform),
        )
        config = ImageConfig.parse(found.config)
        return _source(op, f"FROM {name}", evaluation, node.caller, config)

    node = Node(evaluate, owner=owner)
    return State(node)


@checked(path=PATH)
def local(
    path: str | os.PathLike[str] = ".",
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    name: str = "",
) -> State:
    """The files of a directory of this machine, when the state is built.

    Args:
        path: relative to the current directory of now.
        include: patterns of the files to read, by default all.
        exclude: patterns of files to leave out, as in `.dockerignore`.
    """
    absolute = os.path.abspath(path)
    short = sha256(os.fsencode(absolute)).hexdigest()[:12]
    directory = Directory(f"{_printable(os.path.basename(absolute))}-{short}", absolute)

    def evaluate(evaluation: Evaluation, _: tuple[Value, ...]) -> Value:
        served = evaluation.address_of(directory).removeprefix("local:")
        op = _local_op(served, directory.name, include, exclude)
        return _source(op, name or f"load {_printable(absolute)}", evaluation, node.caller)

    node = Node(evaluate, directory=directory)
    return State(node)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() and c not in "/:@#" else "_" for c in text) or "root"


def client_directory(
    name: str, *, title: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> State:
    """A directory that the client of the build provides by name, such as `context`.

    For frontends.
    """

    def evaluate(evaluation: Evaluation, _: tuple[Value, ...]) -> Value:
        op = _local_op(name, name, include, exclude)
        return _source(op, title or f"load {name}", evaluation, node.caller)

    node = Node(evaluate)
    return State(node)


def _local_op(name: str, shared: str, include: Sequence[str], exclude: Sequence[str]) -> Op:
    chosen = sha256(json.dumps([list(include), list(exclude)]).encode()).hexdigest()[:12]
    attrs = {"local.sharedkeyhint": f"{shared}-{chosen}"}
    for key, patterns in (("local.includepattern", include), ("local.excludepatterns", exclude)):
        if patterns:
            attrs[key] = json.dumps(list(patterns), separators=(",", ":"))
    return Op(source=SourceOp(f"local://{name}", tuple(sorted(attrs.items()))))


def definition_state(definition: Definition, config: bytes) -> State:
    """A frontend's input as a state. `config` is its image configuration, b"" without one."""
    return State(Node(lambda evaluation, _: _solved(definition, config, evaluation)))


def _solved(definition: Definition | None, config: bytes, evaluation: Evaluation) -> Value:
    """The result of a frontend. Raises InvalidInput, Corrupt."""
    edge = None if definition is None else unmarshal(definition)
    return Value(
        None if edge is None else Step.given(edge),
        ImageConfig.parse(config) if config else ImageConfig.empty(evaluation.platform),
    )


@checked(url=TEXT, keep_git_dir=SWITCH)
def git(url: str, *, keep_git_dir: bool = False, name: str = "") -> State:
    """A commit of a git repository: `https://host/path.git#ref:directory`. Raises InvalidInput."""
    from lamina.base.git_url import parse_git_url
    from lamina.dockerfile.source_ops import git_source

    return _of(git_source(parse_git_url(url), keep_git_dir=keep_git_dir or None), name or url)


@checked(url=TEXT, filename=TEXT, checksum=TEXT)
def http(url: str, *, filename: str = "", checksum: str = "", name: str = "") -> State:
    """A file from a URL, called `filename` (by default the last part of the URL's path).

    Raises InvalidInput.
    """
    from lamina.base.digest import parse_digest
    from lamina.dockerfile.source_ops import http_source, name_of_url

    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f'"{url}" is not an http or https URL')
    digest = str(parse_digest(checksum)) if checksum else ""
    return _of(http_source(url, filename or name_of_url(url), checksum=digest), name or url)


@checked(path=PATH, tag=TEXT, digest=TEXT)
def oci_layout(
    path: str | os.PathLike[str], *, tag: str = "", digest: str = "", platform: str = ""
) -> State:
    """An image of an OCI layout on this machine.

    Args:
        tag: the image's name in the layout, by default `latest`.
        digest: of the manifest or index.

    Raises InvalidInput.
    """
    from lamina.base.digest import parse_digest

    location = os.path.abspath(path) + (f":{tag}" if tag else "")
    location += f"@{parse_digest(digest)}" if digest else ""
    wanted = parse_platform(platform) if platform else None
    short = sha256(os.fsencode(location)).hexdigest()[:12]
    directory = Directory(f"layout-{short}", location, "oci-layout")

    def evaluate(evaluation: Evaluation, _: tuple[Value, ...]) -> Value:
        chosen = wanted or evaluation.platform
        address = evaluation.address_of(directory).removeprefix("oci-layout://")
        store, pinned = address.partition(":")[0].partition("@")[0], address.rpartition("@")[2]
        found = evaluation.gateway.resolve_layout_config(
            f"{store}@{pinned}", store, chosen, name=f"resolve image config for {location}"
        )
        # BuildKit wants a reference with a host and a path. Only the digest counts.
        identifier = f"oci-layout://{parse_reference(directory.name).name}@{found.digest}"
        op = Op(
            source=SourceOp(identifier, (("oci.store", store),)),
            platform=llb_platform(chosen),
        )
        config = ImageConfig.parse(found.config)
        return _source(op, f"FROM {location}", evaluation, node.caller, config)

    node = Node(evaluate, directory=directory)
    return State(node)


@checked(states=STATE)
def merge(*states: State, name: str = "") -> State:
    """States on top of each other. The configuration is that of the first."""
    if not states:
        raise InvalidInput("merge: there are no states")

    def evaluate(_: Evaluation, values: tuple[Value, ...]) -> Value:
        first = values[0]
        # A tree that is there twice counts where it is last. BuildKit would take its first place.
        distinct = {key_of(value.tree): value.tree for value in reversed(values)}
        trees = [tree for tree in reversed(distinct.values()) if tree is not None]
        if len(trees) < 2:
            return first._replace(tree=trees[0] if trees else None)

        def merged(inputs: Inputs) -> Op:
            inputs_of = tuple(MergeInput(inputs.index(n)) for n in range(len(trees)))
            return Op(merge=MergeOp(inputs_of))

        step = Step(merged, tuple(trees), name=name or "merge", group=first.group)
        config = first.config.copy()
        config.note(name or "merge", layer=True)
        return Value(step, config, group=first.group)

    return State(Node(evaluate, tuple(state.node for state in states)))


@checked(
    context=either(PATH, STATE),
    dockerfile=PATH,
    text=optional(DATA),
    build_args=optional(PAIRS),
    contexts=optional(mapping_of(STATE)),
)
def from_dockerfile(
    context: str | os.PathLike[str] | State = ".",
    *,
    dockerfile: str | os.PathLike[str] = "Dockerfile",
    text: str | bytes | None = None,
    target: str = "",
    build_args: Mapping[str, str] | None = None,
    contexts: Mapping[str, State] | None = None,
) -> State:
    """The result of a Dockerfile, to build on.

    Args:
        context: a directory, or a state.
        dockerfile: the file, relative to the context.
        text: the Dockerfile itself, in place of a file.
        target: the stage, by default the last one.
        contexts: states in place of images, stages or contexts of these names.

    Raises InvalidInput, NotFound.
    """
    filename = os.fspath(dockerfile)
    if isinstance(context, State):
        main = context
    else:
        main = local(context, exclude=_ignored(os.path.abspath(context), filename))
    if text is not None:
        filename = "Dockerfile"
        source = scratch().write("/Dockerfile", text, name="[internal] Dockerfile")
    elif isinstance(context, State):
        source = context
    else:
        source = local(context, include=(filename,), name=f"load {filename}")
    attributes = _frontend_attributes(filename, target, build_args)
    return _of_frontend("dockerfile.v0", attributes, main, source, contexts)


@checked(
    path=PATH,
    context=optional(either(PATH, STATE)),
    build_args=optional(PAIRS),
    contexts=optional(mapping_of(STATE)),
)
def from_build_file(
    path: str | os.PathLike[str],
    *,
    target: str = "",
    context: str | os.PathLike[str] | State | None = None,
    build_args: Mapping[str, str] | None = None,
    contexts: Mapping[str, State] | None = None,
) -> State:
    """The result of a target of a build file (`lamina.frontend`). A buildkitd cannot build it.

    Args:
        target: its name, by default the default target.
        context: what `lamina.frontend.context()` returns, by default the directory of the file.
        contexts: states that `lamina.frontend.context(name)` returns.

    Raises InvalidInput, NotFound.
    """
    directory, filename = os.path.split(os.path.abspath(path))
    if not os.path.isfile(path):
        raise NotFound(f"{os.fspath(path)} is not a file")
    main = context if isinstance(context, State) else local(context or directory)
    source = local(directory, include=("**/*.py", filename), name=f"load {filename}")
    attributes = _frontend_attributes(filename, target, build_args)
    return _of_frontend("python.v0", attributes, main, source, contexts)


def _frontend_attributes(
    filename: str, target: str, build_args: Mapping[str, str] | None
) -> dict[str, str]:
    return {
        "filename": filename,
        **({"target": target} if target else {}),
        **{f"build-arg:{key}": value for key, value in (build_args or {}).items()},
    }


def _of_frontend(
    frontend: str,
    attributes: Mapping[str, str],
    main: State,
    source: State,
    contexts: Mapping[str, State] | None,
) -> State:
    """The result of a frontend that reads its text from `source`, and files from `main`."""
    named = dict(contexts or {})
    given = {
        **attributes,
        **{f"context:{key}": f"input:{key}" for key in named},
        "frontend.caps": "moby.buildkit.frontend.contexts+forward",
    }
    nodes = (main.node, source.node, *(state.node for state in named.values()))

    def evaluate(evaluation: Evaluation, values: tuple[Value, ...]) -> Value:
        names = ("context", "dockerfile", *named)
        inputs = {n: evaluation.definition(at) for n, at in zip(names, nodes, strict=True)}
        sent = {**given, "platform": str(evaluation.platform)}
        for key, value in zip(named, values[2:], strict=True):
            sent[f"input-metadata:{key}"] = write_input_metadata(value.config.to_bytes())
        result = evaluation.gateway.run_frontend(frontend, sent, inputs)
        definition = None if result.ref is None else result.ref.definition
        config = dict(result.metadata).get(IMAGE_CONFIG_KEY, b"")
        return _solved(definition, config, evaluation)

    return State(Node(evaluate, nodes))


def _ignored(directory: str, dockerfile: str) -> tuple[str, ...]:
    """The patterns of the ignore file of a Dockerfile."""
    from lamina.dockerfile.ignore import read_patterns

    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = os.path.join(directory, name)
        try:
            with open(path, "rb") as file:
                return read_patterns(file.read())
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            raise NotFound(f"the context {directory} is not a directory") from None
        except OSError as error:
            raise from_os_error(error, "read the ignore file") from error
    return ()


def _of(op: Op, name: str) -> State:
    def evaluate(evaluation: Evaluation, _: tuple[Value, ...]) -> Value:
        return _source(op, name, evaluation, node.caller)

    node = Node(evaluate)
    return State(node)


def _source(
    op: Op,
    name: str,
    evaluation: Evaluation,
    caller: Caller | None,
    config: ImageConfig | None = None,
) -> Value:
    step = evaluation.step(lambda _: op, (), caller, name=name)
    return Value(step, config or ImageConfig.empty(evaluation.platform))
