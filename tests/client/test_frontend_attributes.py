"""The Dockerfile frontend reads the frontend attributes that the client writes."""

from __future__ import annotations

import pytest

from lamina.base.errors import InvalidInput
from lamina.base.platform import parse_platform
from lamina.client.contract import BuildRequest, ContextSpec
from lamina.client.frontend_attributes import check_text, frontend_attributes
from lamina.client.served_files import ServedRequest
from lamina.dockerfile.attributes import read_attributes
from lamina.dockerfile.options import FrontendOptions
from lamina.llb.op import Ulimit


def attributes(options: FrontendOptions) -> dict[str, str]:
    request = BuildRequest(ContextSpec("/folder"), frontend=options)
    return frontend_attributes(request, ServedRequest({}, "my.Dockerfile"))


def test_every_option_is_read_back() -> None:
    options = FrontendOptions(
        target="stage",
        build_args=(("A", "x=y,z"), ("B", "")),
        labels=(("l", 'a "quoted", value'),),
        no_cache_filter=("one", "two"),
        resolve_mode="pull",
        platforms=("linux/amd64", "linux/arm64"),
        network="none",
        extra_hosts=(("v6", "::1"), ("v4", "10.0.0.1")),
        shm_size=1 << 20,
        ulimits=(Ulimit("nofile", 10, 20), Ulimit("core", -1, -1)),
        cgroup_parent="/a,b",
        hostname="host",
    )
    found = read_attributes(attributes(options))
    assert found.request.options == options
    assert found.filename == "my.Dockerfile"
    assert found.platforms == tuple(map(parse_platform, options.platforms))
    assert found.several


def test_defaults_are_read_back() -> None:
    options = FrontendOptions(no_cache=True)
    found = read_attributes(attributes(options))
    assert found.request.options == options
    assert not found.several


def test_only_a_daemon_needs_text() -> None:
    written = attributes(FrontendOptions(build_args=(("A", "\udcff"),)))
    assert read_attributes(written).request.options.build_args == (("A", "\udcff"),)
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        check_text(written)
