"""Lines for the ignore file."""

from __future__ import annotations

from lamina.advise.advice import Kind
from lamina.advise.advisor import Request, advise, improve
from lamina.advise.context_files import ContextFiles, read_context

LARGE = 2 << 20


def lines(dockerfile: str, sizes: dict[str, int], texts: dict[str, str] | None = None) -> list[str]:
    """The lines that are added, the largest first."""
    files = ContextFiles(sizes, texts=texts)
    request = Request("Dockerfile", files, kinds=(Kind.CONTEXT,))
    improved = improve(dockerfile, request)
    assert improved.dockerfile == dockerfile
    assert [item.saving.size for item in advise(dockerfile, request)] == sorted(
        (item.saving.size or 0 for item in advise(dockerfile, request)), reverse=True
    )
    return improved.ignore_file.splitlines()


def test_what_tools_make() -> None:
    sizes = {
        ".git/HEAD": 1,
        ".git/objects/a": 5,
        "node_modules/a/index.js": 9,
        "package.json": 1,
        "index.js": 100,
        "a/__pycache__/x.pyc": 2,
        ".venv/bin/python": 3,
    }
    assert lines("FROM node\nCOPY . .\nRUN npm ci\n", sizes) == [
        "node_modules",
        ".git",
        ".venv",
        "**/__pycache__",
    ]


def test_what_the_build_does_not_make_itself_stays() -> None:
    sizes = {"node_modules/a.js": 1, "package.json": 1, "target/a.jar": 1, "pom.xml": 1}
    assert lines("FROM node\nCOPY . .\n", sizes) == []
    assert lines("FROM maven\nCOPY . .\nCOPY target/*.jar /\nRUN mvn package\n", sizes) == []
    assert lines("FROM maven\nCOPY . .\nRUN mvn package\n", sizes) == ["target"]


def test_a_repository_that_a_step_may_read_stays() -> None:
    sizes = {".git/HEAD": 1, "pyproject.toml": 1}
    assert lines("FROM x\nCOPY . .\nRUN git describe > v\n", sizes) == []
    assert lines("FROM x\nCOPY . .\nRUN make\n", sizes) == []
    assert lines("FROM x\nCOPY .git .git\nRUN a\n", sizes) == []
    texts = {"pyproject.toml": "setuptools_scm"}
    assert lines("FROM x\nCOPY . .\nRUN pip install .\n", sizes, texts) == []


def test_large_files_that_no_step_reads() -> None:
    sizes = {"src/a": 1, "data/b": LARGE, "data/c": LARGE, "video[1].mp4": LARGE, "small": 9}
    assert lines("FROM x\nCOPY src /src\n", sizes) == ["data", "video\\[1].mp4"]
    assert lines("FROM x\nCOPY src data/b /src\n", sizes) == ["video\\[1].mp4"]
    assert lines("FROM x\nRUN --mount=type=bind,source=data,target=/d a\nCOPY v* /\n", sizes) == []
    assert lines("FROM x\nCOPY . /src\n", sizes) == []
    assert lines("FROM x\nRUN a\n", sizes) == []


def test_lines_are_added_to_the_file() -> None:
    for text, expected in (
        ("a", "a\n.git\n"),
        ("# x\r\na\r\n", "# x\r\na\r\n.git\r\n"),
        ("", ".git\n"),
    ):
        files = ContextFiles({".git/HEAD": 3}, ignore_text=text)
        request = Request("Dockerfile", files, kinds=(Kind.CONTEXT,))
        improved = improve("FROM x\nCOPY . .\n", request)
        assert improved.ignore_file == expected
        assert improved.items == 1


def test_a_folder_is_read(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    for name in ("a/b/c", "a/d", "e", ".git/HEAD"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("12345")
    (folder / "link").symlink_to("a")
    files = read_context(str(folder), b"# x\na/b\n.git\n", ".dockerignore")
    assert sorted(files.sizes) == ["a/d", "e", "link"]
    assert files.sizes["a/d"] == 5
    assert files.text("e") == "12345"
    assert files.text("missing") == ""
    files = read_context(str(folder), b"*\n!a/b/c\n", ".dockerignore")
    assert sorted(files.sizes) == ["a/b/c"]
