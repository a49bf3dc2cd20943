"""Layouts that a client provides, under the names of buildctl's `--oci-layout`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from lamina.api import control
from lamina.api.message import unary
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.session.layouts import content_service
from lamina.session.opening import new_session_id, open_session
from lamina.session.services import health_service, session_services
from lamina.wire.address import dial
from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("store", ["base", "localhost:5000/base", "host.example:5000/a/Base:tag"])
def test_a_store_whose_name_has_a_port(tmp_path: Path, store: str) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    layout = tmp_path / "layout"
    with DaemonProcess(tmp_path / "store") as daemon:
        RemoteLamina(tmp_path, daemon.address).build(
            folder, "-o", f"type=oci,tar=false,dest={layout}"
        )
        (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
        (folder / "Dockerfile").write_text("FROM base\nCOPY Dockerfile /second\n")
        session = EmbeddedSession(
            {"context": str(folder), "dockerfile": str(folder)}, SessionProviders()
        )
        session_id = new_session_id()
        offered = store.removesuffix(":tag")
        handlers = {
            **session_services(session),
            **health_service(),
            **content_service({f"oci:{offered}": str(layout)}),
        }
        request = control.SolveRequest(
            ref=os.urandom(8).hex(),
            session=session_id,
            frontend="dockerfile.v0",
            frontend_attrs=(("context:base", f"oci-layout://{store}@{entry['digest']}"),),
        )
        with dial(daemon.address) as channel, open_session(channel, handlers, session_id):
            unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
