"""The table of dependency manifests: which files an installation of dependencies reads.

A command installs dependencies from the manifests alone, or it does with other arguments, or it
needs the whole source.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.advise.context_files import ContextFiles
    from lamina.advise.programs import Invocation


class Install(NamedTuple):
    """An installation of dependencies: `files` of the context, and the command for it.

    `command` is "" if the command as written can run before the source is copied; else it is one
    that prepares for the command as written.
    """

    files: tuple[str, ...]
    command: str = ""


class Manifest(NamedTuple):
    """One package manager.

    Args:
        programs: names of its commands.
        needed: files that must be in the context.
        more: files that are read if they exist.
        refused: regular expressions by file: content that refers to other files. The file may be
            missing.
        moved: subcommands that read nothing but the manifests.
        prepared: other subcommands, before which `preparation` can install the dependencies.
        only: flags with which a moved subcommand reads nothing else; without them they are added
            for a preparation.
        preparation: a command, with `{program}` for the program as written.
    """

    programs: frozenset[str]
    needed: tuple[str, ...]
    more: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    moved: frozenset[str] = frozenset()
    prepared: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()
    preparation: str = ""
    valued: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PACKAGE = ("package.json", r'"(?:file|link|workspace|portal|patch):|"workspaces"\s*:|"\.{1,2}/')
_SCRIPTS = ("preinstall", "install", "postinstall", "prepare", "prepublish", "preprepare")
_POM = ("pom.xml", r"<modules?>|<relativePath>\s*[^<\s]|\$\{basedir\}|<systemPath>")
_LIFECYCLE = _words(
    "package install verify compile test clean deploy test-compile spring-boot:repackage"
)
_RESOLVED = _words("dependency:go-offline dependency:resolve dependency:resolve-plugins")
_MVN_ELSEWHERE = _words(
    "-f --file -pl --projects -o --offline -s --settings -gs --global-settings -P"
)

MANIFESTS = (
    Manifest(
        _words("go"),
        ("go.mod",),
        ("go.sum",),
        (("go.mod", r"=>\s*\.{0,2}/"), ("go.work", "."), ("vendor/modules.txt", ".")),
        moved=_words("mod"),
        prepared=_words("build install test run vet"),
        preparation="{program} mod download",
        elsewhere=_words("-C"),
    ),
    Manifest(
        _words("npm"),
        ("package.json",),
        ("package-lock.json", "npm-shrinkwrap.json", ".npmrc"),
        (_PACKAGE,),
        moved=_words("ci install i clean-install"),
        elsewhere=_words("--prefix -C"),
    ),
    Manifest(
        _words("pnpm"),
        ("package.json",),
        ("pnpm-lock.yaml", ".npmrc", ".pnpmfile.cjs"),
        (_PACKAGE, ("package.json", '"patchedDependencies"'), ("pnpm-workspace.yaml", ".")),
        moved=_words("install i"),
        elsewhere=_words("-C --dir --filter -F -r --recursive"),
    ),
    Manifest(
        _words("yarn yarnpkg"),
        ("package.json",),
        ("yarn.lock", ".yarnrc", ".npmrc"),
        (_PACKAGE, (".yarnrc.yml", ".")),
        moved=frozenset(("", "install")),
        elsewhere=_words("--cwd"),
    ),
    Manifest(
        _words("poetry"),
        ("pyproject.toml",),
        ("poetry.lock", "poetry.toml"),
        (("pyproject.toml", r"\bpath\s*="),),
        moved=_words("install sync"),
        only=("--no-root",),
        elsewhere=_words("-C --directory -P --project"),
    ),
    Manifest(
        _words("uv"),
        ("pyproject.toml", "uv.lock"),
        (".python-version", "uv.toml"),
        (("pyproject.toml", r"\bpath\s*=|\[tool\.uv\.workspace\]|\bworkspace\s*="),),
        moved=_words("sync"),
        only=("--no-install-project",),
        elsewhere=_words("--directory --project --package --all-packages"),
    ),
    Manifest(
        _words("composer composer.phar"),
        ("composer.json",),
        ("composer.lock", "auth.json", "symfony.lock"),
        (("composer.json", r'"type"\s*:\s*"path"'),),
        moved=_words("install i"),
        only=("--no-scripts", "--no-autoloader"),
        elsewhere=_words("-d --working-dir"),
    ),
    Manifest(
        _words("bundle bundler"),
        ("Gemfile",),
        ("Gemfile.lock", ".ruby-version", ".tool-versions"),
        (("Gemfile", r"\bgemspec\b|\bpath:|:path\b|eval_gemfile|require_relative|File\."),),
        moved=frozenset(("", "install")),
        elsewhere=_words("--gemfile"),
    ),
    Manifest(
        _words("mvn"),
        ("pom.xml",),
        refused=(_POM,),
        moved=_RESOLVED,
        prepared=_LIFECYCLE,
        preparation="{program} -B dependency:go-offline",
        elsewhere=_MVN_ELSEWHERE,
    ),
    Manifest(
        _words("mvnw"),
        ("pom.xml", "mvnw", ".mvn/wrapper/maven-wrapper.properties"),
        refused=(_POM,),
        moved=_RESOLVED,
        prepared=_LIFECYCLE,
        preparation="{program} -B dependency:go-offline",
        elsewhere=_MVN_ELSEWHERE,
    ),
    Manifest(
        _words("cargo"),
        ("Cargo.toml", "Cargo.lock"),
        ("rust-toolchain", "rust-toolchain.toml"),
        (("Cargo.toml", r"\[workspace|\bpath\s*=|\[\[|\[lib\]|\bbuild\s*="),),
        prepared=_words("build b install test t"),
        # cargo requires a target.
        preparation="mkdir src && echo 'fn main() {{}}' > src/main.rs"
        " && {program} fetch --locked && rm -r src",
        elsewhere=_words("--manifest-path -C --offline"),
    ),
)


def install(found: Invocation, files: ContextFiles) -> Install | None:
    """The files that a command needs to install dependencies in the root of the context.

    None if it does not install any, or needs more than manifests.
    """
    special = _SPECIAL.get(found.program)
    if special is not None:
        return special(found, files)
    for row in MANIFESTS:
        if found.program in row.programs:
            return _from_table(row, found, files)
    return None


def is_preparation(found: Invocation) -> bool:
    """Whether a command may have installed dependencies already."""
    for row in MANIFESTS:
        if found.program in row.programs:
            subcommand = found.subcommand(row.valued)
            return subcommand in row.moved or subcommand in ("fetch", "chef", "get")
    return False


def _from_table(row: Manifest, found: Invocation, files: ContextFiles) -> Install | None:
    if found.has_flag(*row.elsewhere) or not all(name in files for name in row.needed):
        return None
    if _installs_another(found):
        return None
    if any(re.search(text, files.text(name)) for name, text in row.refused if name in files):
        return None
    if "package.json" in row.needed and _has_scripts(found, files.text("package.json")):
        return None
    subcommand = found.subcommand(row.valued)
    names = (*row.needed, *(name for name in row.more if name in files))
    if subcommand in row.moved and _moves(row, found, subcommand):
        missing = [flag for flag in row.only if not found.has_flag(flag)]
        if not missing:
            return Install(names)
        words = " ".join(w.text for w in (found.name, *found.arguments) if w.text != "\\")
        return Install(names, " ".join((words, *missing)))
    if subcommand in row.prepared and row.preparation:
        return Install(names, row.preparation.format(program=found.name.text))
    return None


def _installs_another(found: Invocation) -> bool:
    """Whether it installs another project: `go install PATH@VERSION`, `cargo install NAME`."""
    if found.program == "go":
        return any("@" in word.value for word in found.arguments)
    return (
        found.program == "cargo"
        and found.subcommand() == "install"
        and not found.has_flag("--path")
    )


def _moves(row: Manifest, found: Invocation, subcommand: str) -> bool:
    """Whether a command has no further arguments, which would be packages or paths."""
    rest = [w.value for w in found.arguments if not w.value.startswith("-")]
    if "go" in row.programs:
        return rest == ["mod", "download"]
    if found.has_flag("-g", "--global"):
        return False
    if row.programs & _RESOLVED or (rest[:1] == [subcommand] and subcommand in _RESOLVED):
        return set(rest) <= _RESOLVED
    # Values of flags look like packages, but packages are rare here.
    return len(rest) <= 1 or all(_is_value(found, value) for value in rest[1:])


def _is_value(found: Invocation, value: str) -> bool:
    """Whether an argument follows a long flag without `=`."""
    values = [word.value for word in found.arguments]
    at = values.index(value)
    return at > 0 and values[at - 1] in (
        *("--only", "--omit", "--include", "--without", "--with", "--extras", "-E", "--group"),
        *("--jobs", "-j", "--retry", "--network-timeout", "--registry", "--extra", "--loglevel"),
    )


def _has_scripts(found: Invocation, text: str) -> bool:
    """Whether package.json runs scripts after an installation, which may need the source."""
    if found.has_flag("--ignore-scripts"):
        return False
    try:
        document = json.loads(text)
    except ValueError:
        return True
    scripts = document.get("scripts", {}) if isinstance(document, dict) else {}
    return not isinstance(scripts, dict) or any(name in scripts for name in _SCRIPTS)


def _requirements(found: Invocation, files: ContextFiles) -> Install | None:
    """`pip install -r FILE`, with the files that the file refers to."""
    values = [word.value for word in found.arguments]
    values = values[1:] if found.program == "uv" else values
    if values[:1] != ["install"]:
        return None
    names: list[str] = []
    at = 1
    while at < len(values):
        flag, equals, value = values[at].partition("=")
        if flag in ("-r", "--requirement", "-c", "--constraint"):
            at += not equals
            names.append(value if equals else "".join(values[at : at + 1]))
        elif flag in ("-e", "--editable", "-t", "--target", "--prefix", "-f", "--find-links"):
            return None
        elif re.fullmatch(r"-[rc].+", values[at]):
            names.append(values[at][2:])
        elif not values[at].startswith("-") and _is_package_file(values[at], values[at - 1]):
            return None
        at += 1
    if not names:
        return None
    closed = _closure([posixpath.normpath(name) for name in names], files)
    return None if closed is None else Install(closed)


def _is_package_file(value: str, before: str) -> bool:
    """Whether an argument is the path of a package, not the URL that a flag has as its value."""
    path = re.search(r"[/\\]|^\.|\.whl$", value) is not None
    return path and not (before.startswith("--") and "://" in value)


def _closure(names: list[str], files: ContextFiles) -> tuple[str, ...] | None:
    """The files, and those that they include; None if one is missing or names a local package."""
    found: list[str] = []
    waiting = list(reversed(names))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in files:
            return None
        found.append(name)
        for line in files.text(name).splitlines():
            if re.match(
                r"\s*(?:-e|--editable|--find-links|-f|file:|\.{1,2}/|\S+\.whl|\S+ @ file:)", line
            ):
                return None
            match = re.match(r"\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", line)
            if match:
                waiting.append(
                    posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1]))
                )
    return tuple(found)


def _uv(found: Invocation, files: ContextFiles) -> Install | None:
    if found.subcommand() == "pip":
        return _requirements(found, files)
    (row,) = (row for row in MANIFESTS if "uv" in row.programs)
    return _from_table(row, found, files)


_SPECIAL: dict[str, Callable[[Invocation, ContextFiles], Install | None]] = {
    "pip": _requirements,
    "pip3": _requirements,
    "uv": _uv,
}
