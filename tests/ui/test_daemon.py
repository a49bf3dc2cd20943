"""The UI of a daemon, with its own address or through the API."""

from __future__ import annotations

import re
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ui.conftest import Serve


def test_both_ways(
    context: Callable[..., Path], tmp_path: Path, serve: Serve, static: None
) -> None:
    root = tmp_path / "store"
    with DaemonProcess(root, "--ui-addr", "127.0.0.1:0") as daemon:
        lamina = RemoteLamina(root, daemon.address)
        lamina.build(context("FROM base\nRUN echo hello\n"))
        with serve(lamina) as server:
            server.login()
            assert server.get("/api/info")["store"] == daemon.address
            (row,) = server.get("/api/builds")["builds"]
            assert row["status"] == "completed"
            build = server.get(f"/api/builds/{row['ref']}")
            assert [s["logLines"] for s in build["steps"] if "hello" in s["name"]] == [1]
            assert server.get("/api/store")["records"]
        pattern = r"the UI is at (http://127\.0\.0\.1:\d+/\?token=[\w-]+)"
        match = re.search(pattern, daemon.read_log())
        assert match is not None
        jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with jar.open(match[1]) as page:
            assert b'<div id="app">' in page.read()
        with jar.open(f"{match[1].partition('?')[0]}api/builds") as answer:
            assert row["ref"].encode() in answer.read()


def test_tls_with_a_token(tmp_path: Path, serve: Serve, builds: Lamina) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-keyout",
                key,
                "-out",
                certificate,
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    flags = ("--addr", "0.0.0.0:0", "--servercert", str(certificate), "--serverkey", str(key))
    done = builds("ui", *flags)
    assert "LAMINA_UI_TOKEN" in done.err  # everyone could read it
    with serve(builds, *flags, LAMINA_UI_TOKEN="secret") as server:
        tls = ssl.create_default_context(cafile=str(certificate))
        url = f"https://localhost:{server.port}/api/info"
        for token, status in (("secret", 200), ("wrong", 403), ("", 403)):
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
            try:
                with urllib.request.urlopen(request, context=tls) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                with error:
                    assert error.code == status
