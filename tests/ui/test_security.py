"""Who may use the UI, and what its answers allow a browser to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.ui.server import is_loopback

if TYPE_CHECKING:
    from tests.commands import Lamina
    from tests.ui.conftest import Serve
    from tests.ui.server import UiServer

PATHS = ("/", "/api/info", "/api/builds", "/api/openapi.json", "/api/events", "/api/store")


def test_nothing_is_shown_without_a_session(server: UiServer) -> None:
    for path in (*PATHS, "/?token=", f"/?token={'x' * 43}"):
        for cookie in ("", "a=b", f"lamina-{server.port}=guessed", "\x01;;=,"):
            assert server.request(path, headers={"Cookie": cookie}).status == 403, path


def test_a_token_starts_one_session(server: UiServer) -> None:
    path = server.use_login()
    answer = server.request(path, headers={"Cookie": ""})
    assert answer.status == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    server.renew_login()
    assert server.use_login() != path
    assert server.request(path, headers={"Cookie": ""}).status == 403
    session = {"Cookie": cookie.split(";")[0]}
    assert server.request("/api/info", headers=session).json["changes"] is False


def test_a_request_for_another_host_is_refused(server: UiServer) -> None:
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", ""):
        assert server.request("/api/builds", headers={"Host": host}).status == 403, host
    assert server.request("/", headers={"Host": f"localhost:{server.port}"}).status == 200


def test_a_request_from_another_site_is_refused(server: UiServer) -> None:
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{server.port}"},
        {"Origin": f"http://127.0.0.1:{server.port + 1}"},
    ):
        assert server.request("/api/builds", headers=headers).status == 403, headers
        assert server.request("/api/store/prune", "POST", headers).status == 403, headers
    assert server.request("/api/store/prune", "POST").status == 403  # no origin
    own = {"Origin": server.origin}
    assert server.request("/api/builds", headers=own).status == 200


def test_the_policy_forbids_other_origins_and_inline_scripts(server: UiServer) -> None:
    for path in ("/", "/api/builds", "/missing"):
        headers = server.request(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert b"<script>" not in server.request("/").body


def test_changes_need_a_flag(server: UiServer) -> None:
    answer = server.request("/api/store/prune", "POST", {"Origin": server.origin})
    assert answer.status == 403
    assert "--allow-changes" in answer.json["hint"]
    assert server.get("/api/store")["removable"] > 0  # it is still there


def test_pruning(lamina: Lamina, serve: Serve) -> None:
    with serve(lamina, "--allow-changes") as server:
        server.login()
        answer = server.request("/api/store/prune", "POST", {"Origin": server.origin})
        assert answer.status == 200
        assert answer.json["records"] == 0


def test_paths_do_not_leave_the_page(server: UiServer) -> None:
    for path in ("/../api.py", "/%2e%2e/api.py", "/static/index.html", "//etc/passwd", "/assets/"):
        assert server.request(path).status == 404, path


def test_only_attachments_of_a_build_are_shown(server: UiServer) -> None:
    builds = server.get("/api/builds")["builds"]
    build = server.get(f"/api/builds/{builds[1]['ref']}")
    digests = [attachment["digest"] for attachment in build["attachments"]]
    assert digests
    for digest in digests:
        server.get(f"/api/builds/{builds[1]['ref']}/attachments/{digest}")
        assert server.request(f"/api/builds/{builds[0]['ref']}/attachments/{digest}").status == 404


def test_another_address_needs_tls_and_a_check(lamina: Lamina) -> None:
    done = lamina("ui", "--addr", "0.0.0.0:0")
    assert done.code == 1
    assert "without TLS" in done.err
    assert "--servercert" in done.err
    done = lamina("ui", "--addr", "nonsense")
    assert 'invalid address "nonsense"' in done.err


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1", "builder.example", "")))
