from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.registry.hosts import Endpoint, Hosts, Tls, is_local, load_hosts, parse_hosts
from lamina.registry.url import Url, make_url, parse_url

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults() -> None:
    hosts = Hosts()
    assert hosts.endpoints("docker.io") == (Endpoint("registry-1.docker.io", ("https",)),)
    assert hosts.endpoints("ghcr.io") == (Endpoint("ghcr.io", ("https",)),)
    for name in ("localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "127.1.2.3"):
        assert hosts.endpoints(name) == (Endpoint(name, ("http",)),)
    for name in ("localhost.example", "127.example.com", "128.0.0.1", "[::2]:5000"):
        assert not is_local(name)


def test_configuration(tmp_path: Path) -> None:
    for name in ("a.crt", "b.cert", "b.key", "other"):
        (tmp_path / name).touch()
    path = tmp_path / "buildkitd.toml"
    path.write_text(f"""
        debug = true
        [worker.oci]
          enabled = true
        [registry."docker.io"]
          mirrors = ["mirror.example:5000", "https://proxy.example/hub/"]
          ca = ["/ca.pem"]
          [[registry."docker.io".keypair]]
            key = "/k.pem"
            cert = "/c.pem"
        [registry."mirror.example:5000"]
          http = true
        [registry."odd.example"]
          insecure = true
          tlsconfigdir = ["{tmp_path}", "/does/not/exist"]
        [registry."localhost:5001"]
          http = false
    """)
    hosts = load_hosts(str(path))
    assert hosts.endpoints("docker.io") == (
        Endpoint("mirror.example:5000", ("http",), "/v2", Tls(), True),
        Endpoint("proxy.example", ("https",), "/v2/hub", Tls(), True),
        Endpoint(
            "registry-1.docker.io", ("https",), "/v2", Tls(("/ca.pem",), (("/c.pem", "/k.pem"),))
        ),
    )
    (odd,) = hosts.endpoints("odd.example")
    assert odd.schemes == ("https", "http")
    assert odd.tls == Tls(
        (f"{tmp_path}/a.crt",), ((f"{tmp_path}/b.cert", f"{tmp_path}/b.key"),), False
    )
    assert hosts.endpoints("localhost:5001")[0].schemes == ("https",)


@pytest.mark.parametrize(
    "section",
    [
        {"mirrors": "one"},
        {"mirrors": [1]},
        {"http": "yes"},
        {"insecure": 1},
        {"keypair": [{"key": "x"}]},
        {"mirror": ["x"]},
        "text",
    ],
)
def test_bad_configuration(section: object) -> None:
    with pytest.raises(InvalidInput, match=r'registry\."x"'):
        parse_hosts({"registry": {"x": section}})


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_hosts(str(tmp_path / "none"))
    (tmp_path / "bad").write_text("[registry")
    with pytest.raises(InvalidInput, match="bad"):
        load_hosts(str(tmp_path / "bad"))


def test_urls() -> None:
    assert make_url("http", "[::1]:5000", "/v2/") == Url("http", "::1", 5000, "/v2/")
    assert str(make_url("http", "[::1]", "/v2/")) == "http://[::1]/v2/"
    base = parse_url("https://Reg.example/v2/a?x=1")
    assert base == Url("https", "reg.example", 443, "/v2/a?x=1")
    assert str(parse_url("/b c", base)) == "https://reg.example/b%20c"
    assert parse_url("http://[::1]:81", base).authority == "[::1]:81"
    for bad in ("ftp://x/", "https:///x", "https://u:p@x/", "https://x:99999/", "nothing"):
        with pytest.raises(InvalidInput):
            parse_url(bad)
    for host in ("", ":5", "x:", "x:0", "x:y"):
        with pytest.raises(InvalidInput):
            make_url("http", host, "/")


@given(st.text())
def test_no_location_header_injects(text: str) -> None:
    try:
        url = parse_url(text, make_url("https", "reg.example", "/v2/a"))
    except LaminaError:
        return
    assert url.target.isascii()
    assert not set(url.target) & set(" \r\n\t\0")
