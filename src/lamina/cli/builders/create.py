"""`lamina create`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lamina.base.errors import AlreadyExists, InvalidInput, NotFound, Unsupported
from lamina.base.platform import parse_platform
from lamina.cli.builders.named import timeout
from lamina.cli.builders.nodes import wait_until_running
from lamina.cli.opening import default_root
from lamina.cli.values import parse_fields, parse_platforms
from lamina.client.builders.builder_files import BuilderFiles
from lamina.client.builders.endpoint import endpoint_of
from lamina.client.builders.node_group import (
    DEFAULT,
    EMBEDDED,
    IN_DOCKER,
    REMOTE,
    Node,
    NodeGroup,
    check_name,
)

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.cli.flags import Parsed


def run(parsed: Parsed) -> int:
    """Create a builder, or add, change or remove a node. Prints the builder's name."""
    files = BuilderFiles(os.environ)
    seconds = timeout(parsed)
    with files.locked():
        group = _without_node(parsed, files) if parsed.switch("leave") else _changed(parsed, files)
        files.save(group)
        if parsed.switch("use"):
            files.use(group.name)
    if parsed.switch("bootstrap"):
        wait_until_running(group, seconds)
    print(group.name)
    return 0


def _without_node(parsed: Parsed, files: BuilderFiles) -> NodeGroup:
    name, node = parsed.text("name"), parsed.text("node")
    if not name or not node:
        raise InvalidInput("--leave requires the names of the builder and the node: --name, --node")
    return _existing(files, name).without_node(check_name(node))


def _changed(parsed: Parsed, files: BuilderFiles) -> NodeGroup:
    """The builder with the new or changed node. Raises AlreadyExists, InvalidInput, NotFound,
    Unsupported."""
    name = parsed.text("name")
    append = parsed.switch("append")
    if name == DEFAULT:
        raise InvalidInput(f'"{DEFAULT}" is the name of the builder in this process')
    if append:
        if not name:
            raise InvalidInput("--append requires the name of a builder: --name")
        group = _existing(files, name)
    else:
        name = check_name(name) if name else _free_name(files)
        found = files.find(name)
        if found is not None and not parsed.text("node"):
            raise AlreadyExists(
                f"there is a builder {name}",
                hint="add a node with --append, or name the node to change with --node",
            )
        group = found or NodeGroup(name, "")
    driver = _driver(parsed, group)
    if group.driver not in ("", driver):
        raise InvalidInput(f'builder {name} has the driver "{group.driver}"')
    group = group._replace(driver=driver)
    return group.with_node(_node(parsed, group))


def _existing(files: BuilderFiles, name: str) -> NodeGroup:
    group = files.find(name)
    if group is None:
        raise NotFound(f'there is no builder "{name}"', hint="`lamina ls` lists the builders")
    return group


def _free_name(files: BuilderFiles) -> str:
    while files.find(name := f"builder-{os.urandom(3).hex()}") is not None:
        continue
    return name


def _driver(parsed: Parsed, group: NodeGroup) -> str:
    wanted = parsed.text("driver")
    if wanted in IN_DOCKER:
        print(
            f"WARNING: the driver {wanted} runs BuildKit in Docker; lamina builds in its own"
            " process instead",
            file=sys.stderr,
        )
        return EMBEDDED
    if wanted not in ("", EMBEDDED, REMOTE):
        raise Unsupported(
            f'lamina does not have the driver "{wanted}"', hint=f"use {EMBEDDED} or {REMOTE}"
        )
    if wanted or group.driver:
        return wanted or group.driver
    return REMOTE if "://" in _endpoint(parsed) else EMBEDDED


def _endpoint(parsed: Parsed) -> str:
    if parsed.arguments:
        return parsed.arguments[0]
    return "" if parsed.text("driver") == EMBEDDED else os.environ.get("BUILDKIT_HOST", "")


def _node(parsed: Parsed, group: NodeGroup) -> Node:
    name = parsed.text("node")
    old = group.node(check_name(name)) if name else None
    if name and old is None and group.nodes and not parsed.switch("append"):
        raise NotFound(
            f'builder {group.name} has no node "{name}"', hint="add a node with --append"
        )
    node = old or Node(check_name(name or group.next_node_name()), "")
    endpoint = _endpoint(parsed) if parsed.arguments or old is None else old.endpoint
    platforms = _platforms(parsed.all("platform"))
    options = [
        pair for text in parsed.all("driver-opt") for pair in parse_fields(text, "driver-opt")
    ]
    node = node._replace(
        endpoint=_checked_endpoint(endpoint, group.driver),
        platforms=platforms or node.platforms,
        options=tuple(options) or node.options,
    )
    _check_settings(parsed, group.driver, node)
    return node


def _checked_endpoint(endpoint: str, driver: str) -> str:
    if driver == REMOTE:
        if not endpoint:
            raise InvalidInput(
                "the driver remote requires an address",
                hint="for example unix:///run/buildkit/buildkitd.sock or tcp://host:1234",
            )
        from lamina.wire.address import split_address

        split_address(endpoint)
        return endpoint
    if "://" in endpoint:
        raise InvalidInput(f"{endpoint} is no directory", hint=f"use --driver {REMOTE}")
    return os.path.abspath(endpoint) if endpoint else default_root(os.environ)


def _check_settings(parsed: Parsed, driver: str, node: Node) -> None:
    """Refuse settings that have no effect, and warn of those for BuildKit in Docker."""
    given = [
        f"--{name}"
        for name in ("buildkitd-config", "config", "buildkitd-flags")
        if parsed.given(name)
    ]
    if driver == REMOTE:
        if given:
            raise InvalidInput(
                f"{given[0]} is not supported with the driver {REMOTE}",
                hint="configure the daemon where it runs",
            )
        endpoint_of(node)
        return
    if node.options and parsed.text("driver") not in IN_DOCKER:
        raise InvalidInput(f"the driver {EMBEDDED} has no options", hint="remove --driver-opt")
    for name in given:
        print(f"WARNING: {name} has no effect: there is no daemon", file=sys.stderr)


def _platforms(texts: list[str]) -> tuple[Platform, ...]:
    return tuple(map(parse_platform, parse_platforms(texts)))
