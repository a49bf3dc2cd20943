"""The frontend itself: reads the build file, runs the target, and returns its states.

It speaks gRPC on standard input and output, as BuildKit's `frontend/gateway` expects of an image.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.api.failures import to_status
from lamina.api.gateway import Ref, Result
from lamina.base.errors import LaminaError, NotFound
from lamina.dockerfile.attributes import read_attributes
from lamina.frontend.module import GatewayModules, located_error
from lamina.frontend.session import Session, in_session
from lamina.frontend.targets import choose_target, find_targets
from lamina.gateway.client import GatewayClient
from lamina.states.node import Evaluation
from lamina.states.result import result_of
from lamina.states.sources import client_directory, definition_state, git, http
from lamina.wire.client import GrpcChannel
from lamina.wire.transport import PipeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.base.platform import Platform
    from lamina.states.state import State

_OPTION = "BUILDKIT_FRONTEND_OPT_"
_DEFAULT = "build.py"
_INPUT = "dockerfile"
"""The name of the build file's directory: in the session, or as an input of the frontend."""


def main() -> None:
    """Serve one call. Standard output belongs to gRPC: what the build file prints goes to
    standard error."""
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    with GrpcChannel(PipeTransport(reading, writing)) as channel:
        gateway = GatewayClient(channel)
        status = _serve(gateway)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads of the build file may still run


def _serve(gateway: GatewayClient) -> int:
    """Answer one call. Returns the exit status."""
    try:
        result = run(gateway, _attributes(os.environ))
    except LaminaError as error:
        gateway.fail(to_status(error))
    except BaseException as error:  # SystemExit, too: it is the build file's
        gateway.fail(to_status(located_error(error)))
    else:
        try:
            gateway.finish(result)
        except LaminaError as error:
            print(f"the result cannot be returned: {error}", file=sys.stderr)
            return 1
    return 0


def _attributes(environ: Mapping[str, str]) -> dict[str, str]:
    """The attributes of the call, from `BUILDKIT_FRONTEND_OPT_<n>` (`NAME=VALUE`)."""
    found = {}
    for key, value in environ.items():
        if key.startswith(_OPTION):
            name, _, text = value.partition("=")
            found[name] = text
    return found


def run(gateway: GatewayClient, attributes: Mapping[str, str]) -> Result:
    """The result of a call. Raises LaminaError, with the line of the build file."""
    options = read_attributes(attributes)
    inputs = gateway.inputs()
    filename = attributes.get("filename", "") or _DEFAULT
    first = Session(gateway, options.platforms[0], attributes, inputs)
    read = _reader(first, filename)
    with in_session(first):
        namespace = GatewayModules(read, filename).main()
    targets = find_targets(namespace)
    name = attributes.get("target", "")
    if options.subrequest:
        from lamina.frontend.answers import answer

        found = answer(
            options.subrequest, targets, name, first.build_args, filename, read(filename)
        )
        return Result(ref=Ref(), metadata=tuple(sorted(found.metadata().items())))
    target = choose_target(targets, name, filename)
    states: dict[Platform, State] = {}
    for platform in options.platforms:
        with in_session(first._replace(platform=platform)):
            try:
                states[platform] = target()
            except BaseException as error:
                raise located_error(error) from error
    return result_of(states, gateway, attributes, several=options.several)


def _reader(session: Session, filename: str) -> Callable[[str], bytes]:
    """Reads Python files of the directory with the build file. They are read once, all of them."""
    evaluation = Evaluation(session.gateway, session.platform, session.attributes)
    gateway = session.gateway
    ref = gateway.solve(evaluation.definition(_directory(session, filename).node)).id
    known: dict[str, bytes | None] = {}

    def read(path: str) -> bytes:
        if path not in known:
            try:
                known[path] = gateway.read_file(ref, path)
            except NotFound:
                known[path] = None
        data = known[path]
        if data is None:
            raise NotFound(f"no file {path} beside the build file")
        return data

    return read


def _directory(session: Session, filename: str) -> State:
    """The directory with the build file."""
    if (given := session.main_input(_INPUT)) is not None:
        return definition_state(given, b"")
    address = session.attributes.get("context", "")
    key = session.attributes.get("dockerfilekey", "")
    if address and not key:
        archive = address.startswith("http") and ".git" not in address
        return http(address) if archive else git(address)
    title = f"[internal] load {filename}"
    return client_directory(key or _INPUT, title=title, include=("**/*.py", filename))


if __name__ == "__main__":
    main()
