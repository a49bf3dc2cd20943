"""The answers of the API have the form that its OpenAPI document says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from lamina.ui.openapi import openapi_document
from lamina.ui.routes import ROUTES

if TYPE_CHECKING:
    from tests.ui.server import UiServer


def check(document: dict[str, Any], route: str, answer: object) -> None:
    """Check an answer against the schema of its route."""
    operation = document["paths"][route]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(answer)


def test_each_answer_matches_the_document(server: UiServer) -> None:
    document = server.get("/api/openapi.json")
    Draft202012Validator.check_schema(document["components"]["schemas"]["Build"])
    refs = [row["ref"] for row in server.get("/api/builds")["builds"]]
    assert len(refs) == 3
    image = server.get("/api/images")["images"][0]["digest"]
    checked = set()
    for ref in refs:
        build = server.get(f"/api/builds/{ref}")
        step = next((s["digest"] for s in build["steps"] if s["logLines"]), "sha256:none")
        digest = build["attachments"][0]["digest"] if build["attachments"] else ""
        values = {"ref": ref, "before": refs[2], "after": ref, "digest": digest}
        for route in ROUTES:
            if route.method != "GET":
                continue
            if route.path.startswith("/api/images/"):
                values["digest"] = image
            path = route.path.format(**values)
            if path.endswith("/attachments/"):
                continue
            query = f"?step={step}&text=package&count=10"
            check(document, route.path, server.get(path + query))
            checked.add(route.path)
    assert checked == {route.path for route in ROUTES if route.method == "GET"}


def test_problems_match_the_document(server: UiServer) -> None:
    document = openapi_document(ROUTES)
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    for path, status in (
        ("/api/builds/none", 404),
        ("/api/builds/none/log", 404),
        ("/api/builds?limit=many", 400),
        ("/api/compare/a/b", 404),
    ):
        answer = server.request(path)
        assert answer.status == status, path
        Draft202012Validator(schema).validate(answer.json)


def test_the_builds_and_their_steps(server: UiServer) -> None:
    failed, second, first = server.get("/api/builds")["builds"]
    assert [row["status"] for row in (failed, second, first)] == ["error", "completed", "completed"]
    assert second["images"] == ["example.com/app:2"]
    assert "exit code: 3" in failed["error"]
    build = server.get(f"/api/builds/{second['ref']}")
    states = {step["text"]: step["state"] for step in build["steps"]}
    assert states["COPY busybox /bin/busybox"] == "cached"
    assert states["COPY src /assets"] == "ran"
    why = server.get(f"/api/builds/{second['ref']}/explain")
    texts = {step["text"] for step in why["steps"]}
    assert "src/b.txt added" in texts
    assert "build argument VERSION changed from 1 to 2" in texts
    saved = server.get(f"/api/builds/{second['ref']}/savings")
    assert saved["seconds"] > 0
    assert saved["costliest"] in {step["digest"] for step in build["steps"]}
    assert server.get(f"/api/builds/{failed['ref']}")["failure"]["sources"]


def test_lines_of_a_log(server: UiServer) -> None:
    ref = server.get("/api/builds")["builds"][1]["ref"]
    build = server.get(f"/api/builds/{ref}")
    step = next(s for s in build["steps"] if s["logLines"] == 300)
    page = server.get(f"/api/builds/{ref}/log/lines?step={step['digest']}&first=298")
    assert page["total"] == 300
    assert [(line["number"], line["text"]) for line in page["lines"]] == [
        (298, "package 299"),
        (299, "package 300"),
    ]
    found = server.get(f"/api/builds/{ref}/log/search?text=PACKAGE%20300")
    assert found == {"matches": [{"step": step["digest"], "line": 299}], "more": False}
    text = server.request(f"/api/builds/{ref}/log/text?step={step['digest']}")
    assert text.headers["content-type"].startswith("text/plain")
    assert text.body.count(b"\n") == 300


def test_a_comparison(server: UiServer) -> None:
    _, second, first = (row["ref"] for row in server.get("/api/builds")["builds"])
    compared = server.get(f"/api/compare/{first}/{second}")
    assert {"name": "build argument VERSION", "before": None, "after": "2"} in compared["inputs"]
    assert compared["files"] == [{"path": "src/b.txt", "change": "added"}]
