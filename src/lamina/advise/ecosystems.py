"""The table of package managers and compilers: their caches, and settings that disable them."""

from __future__ import annotations

from lamina.base.named_tuple import NamedTuple


class CacheTarget(NamedTuple):
    """A directory to mount a cache at; `keeps` describes its content.

    `path` may begin with `~/`. `variables` are (name, suffix): a variable that sets the directory,
    and a suffix to its value. `bases` are (regular expression for the base image, path): images
    with another path. A `store` is read by later steps, not only by the package manager.
    """

    path: str
    keeps: str
    variables: tuple[tuple[str, str], ...] = ()
    bases: tuple[tuple[str, str], ...] = ()
    sharing: str = ""
    store: bool = False


class Use(NamedTuple):
    """Subcommands that use cache directories.

    "" stands for a command without one, `*` for any, and no subcommands for any or none.
    """

    subcommands: frozenset[str]
    targets: tuple[CacheTarget, ...]


class Ecosystem(NamedTuple):
    """One package manager or compiler.

    Args:
        programs: names of its commands.
        valued: flags before the subcommand that have a separate value.
        unwanted_flags: flags that turn the cache off.
        unwanted_variables: environment variables that turn it off, if they have a value.
        added_flags: flags that are needed to fill the cache, behind the program's name.
        assignments: variables that are needed for that, before the program's name.
        clearing: subcommands that empty the cache, as words.
        first: a command that is needed once, before the first use.
        first_mark: a text that shows that the command is present.
        bases: a regular expression for the base images that it is for.
        file, containing: a file of the context that is needed, and a text in it.
        without_file: a file of the context that must not be there.
    """

    name: str
    programs: frozenset[str]
    uses: tuple[Use, ...]
    valued: frozenset[str] = frozenset()
    unwanted_flags: frozenset[str] = frozenset()
    unwanted_variables: frozenset[str] = frozenset()
    added_flags: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    clearing: tuple[tuple[str, ...], ...] = ()
    first: str = ""
    first_mark: str = ""
    bases: str = ""
    file: str = ""
    containing: str = ""
    without_file: str = ""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INSTALL = "install add"
_RPM = (
    "install upgrade update groupinstall reinstall builddep swap distro-sync makecache localinstall"
)
_RPM_CLEARING = (("clean",),)
_GO_BASE = (r"(?:^|/)(?:golang|go-toolset)\b", "/go/pkg/mod")
_GO_MODULES = CacheTarget(
    "~/go/pkg/mod", "modules", (("GOMODCACHE", ""), ("GOPATH", "/pkg/mod")), (_GO_BASE,), store=True
)
_GO_BUILDS = CacheTarget(
    "~/.cache/go-build", "compiled packages", (("GOCACHE", ""), ("XDG_CACHE_HOME", "/go-build"))
)
_RUST_BASE = r"(?:^|/)(?:rust|cargo-chef|rust-musl-cross)\b"
_CARGO = (
    CacheTarget(
        "~/.cargo/registry",
        "crates",
        (("CARGO_HOME", "/registry"),),
        ((_RUST_BASE, "/usr/local/cargo/registry"),),
        store=True,
    ),
    CacheTarget(
        "~/.cargo/git",
        "crates from git",
        (("CARGO_HOME", "/git"),),
        ((_RUST_BASE, "/usr/local/cargo/git"),),
        store=True,
    ),
)
_DNF5 = r"(?:^|/)fedora(?::(?:4[1-9]|[5-9]\d|latest|rawhide|branched)\b|$)"

_APT = (
    Use(
        _words("install update upgrade dist-upgrade full-upgrade build-dep satisfy"),
        (
            CacheTarget("/var/cache/apt", "packages", sharing="locked"),
            CacheTarget("/var/lib/apt/lists", "package lists", sharing="locked"),
        ),
    ),
)
_APT_VALUED = _words("-o --option -t --target-release -c --config-file")
_APT_CLEARING = (("clean",), ("autoclean",), ("distclean",))

ECOSYSTEMS = (
    Ecosystem(
        "apt",
        _words("apt-get"),
        _APT,
        valued=_APT_VALUED,
        clearing=_APT_CLEARING,
        first="rm -f /etc/apt/apt.conf.d/docker-clean",
        first_mark="docker-clean",
    ),
    Ecosystem(
        "apt",
        _words("apt"),
        _APT,
        valued=_APT_VALUED,
        clearing=_APT_CLEARING,
        # Other than apt-get, apt deletes packages after their installation.
        first="rm -f /etc/apt/apt.conf.d/docker-clean"
        " && echo 'Binary::apt::APT::Keep-Downloaded-Packages \"true\";'"
        " > /etc/apt/apt.conf.d/keep-cache",
        first_mark="Keep-Downloaded-Packages",
    ),
    Ecosystem(
        "apk",
        _words("apk"),
        (
            Use(
                _words("add update upgrade fix fetch"),
                (CacheTarget("/var/cache/apk", "the package index"),),
            ),
        ),
        valued=_words("-X --repository -p --root --keys-dir --repositories-file"),
        unwanted_flags=_words("--no-cache"),
        clearing=(("cache", "clean"), ("cache", "purge")),
    ),
    Ecosystem(
        "dnf",
        _words("dnf dnf5"),
        (
            Use(
                _words(_RPM),
                (CacheTarget("/var/cache/libdnf5", "packages and metadata", sharing="locked"),),
            ),
        ),
        added_flags=("--setopt=keepcache=1",),
        clearing=_RPM_CLEARING,
        bases=_DNF5,
    ),
    Ecosystem(
        "dnf",
        _words("dnf"),
        (
            Use(
                _words(_RPM),
                (CacheTarget("/var/cache/dnf", "packages and metadata", sharing="locked"),),
            ),
        ),
        added_flags=("--setopt=keepcache=1",),
        clearing=_RPM_CLEARING,
    ),
    Ecosystem(
        "microdnf",
        _words("microdnf"),
        (
            Use(
                _words(_RPM),
                (CacheTarget("/var/cache/yum", "packages and metadata", sharing="locked"),),
            ),
        ),
        added_flags=("--setopt=keepcache=1",),
        clearing=_RPM_CLEARING,
    ),
    Ecosystem(
        "yum",
        _words("yum"),
        (
            Use(
                _words(_RPM),
                (CacheTarget("/var/cache/yum", "packages and metadata", sharing="locked"),),
            ),
        ),
        added_flags=("--setopt=keepcache=1",),
        clearing=_RPM_CLEARING,
    ),
    Ecosystem(
        "pip",
        _words("pip pip3"),
        (
            Use(
                _words("install download wheel"),
                (
                    CacheTarget(
                        "~/.cache/pip",
                        "packages",
                        (("PIP_CACHE_DIR", ""), ("XDG_CACHE_HOME", "/pip")),
                    ),
                ),
            ),
        ),
        unwanted_flags=_words("--no-cache-dir"),
        unwanted_variables=_words("PIP_NO_CACHE_DIR"),
        clearing=(("cache", "purge"), ("cache", "remove")),
    ),
    Ecosystem(
        "uv",
        _words("uv"),
        (
            Use(
                _words("sync pip add lock build tool run export venv"),
                (
                    CacheTarget(
                        "~/.cache/uv", "packages", (("UV_CACHE_DIR", ""), ("XDG_CACHE_HOME", "/uv"))
                    ),
                ),
            ),
        ),
        unwanted_flags=_words("--no-cache --no-cache-dir -n"),
        unwanted_variables=_words("UV_NO_CACHE"),
        clearing=(("cache", "clean"), ("cache", "prune"), ("clean",)),
    ),
    Ecosystem(
        "poetry",
        _words("poetry"),
        (
            Use(
                _words("install update add sync lock self"),
                tuple(
                    # Not the whole directory: virtual environments are in it, too.
                    CacheTarget(
                        f"~/.cache/pypoetry/{name}",
                        keeps,
                        (
                            ("POETRY_CACHE_DIR", f"/{name}"),
                            ("XDG_CACHE_HOME", f"/pypoetry/{name}"),
                        ),
                    )
                    for name, keeps in (("cache", "metadata"), ("artifacts", "packages"))
                ),
            ),
        ),
        valued=_words("-C --directory -P --project"),
        unwanted_flags=_words("--no-cache"),
        clearing=(("cache", "clear"),),
    ),
    Ecosystem(
        "npm",
        _words("npm"),
        (
            Use(
                _words("ci install i add clean-install install-clean update"),
                (
                    CacheTarget(
                        "~/.npm", "packages", (("npm_config_cache", ""), ("NPM_CONFIG_CACHE", ""))
                    ),
                ),
            ),
        ),
        valued=_words("--prefix -C"),
        clearing=(("cache", "clean"), ("cache", "rm")),
    ),
    Ecosystem(
        "pnpm",
        _words("pnpm"),
        (
            Use(
                _words("install i add fetch update up deploy import"),
                (
                    CacheTarget(
                        "~/.local/share/pnpm/store",
                        "packages",
                        (("PNPM_HOME", "/store"), ("XDG_DATA_HOME", "/pnpm/store")),
                    ),
                ),
            ),
        ),
        valued=_words("--filter -F -C --dir --store-dir"),
        clearing=(("store", "prune"),),
    ),
    Ecosystem(
        "yarn",
        _words("yarn yarnpkg"),
        (
            Use(
                frozenset(("", *_INSTALL.split())),
                (
                    CacheTarget(
                        "~/.yarn/berry/cache",
                        "packages",
                        (("YARN_CACHE_FOLDER", ""), ("YARN_GLOBAL_FOLDER", "/cache")),
                    ),
                ),
            ),
        ),
        clearing=(("cache", "clean"),),
        file=".yarnrc.yml",
        # With Plug'n'Play, programs load packages from this cache when they run.
        containing="node-modules",
    ),
    Ecosystem(
        "yarn",
        _words("yarn yarnpkg"),
        (
            Use(
                frozenset(("", *_INSTALL.split())),
                (
                    # For root, version 1 takes /usr/local/share as the home directory.
                    CacheTarget(
                        "~/.cache/yarn",
                        "packages",
                        (("YARN_CACHE_FOLDER", ""), ("XDG_CACHE_HOME", "/yarn")),
                        (("", "/usr/local/share/.cache/yarn"),),
                    ),
                ),
            ),
        ),
        valued=_words("--cwd --network-timeout --registry --modules-folder"),
        clearing=(("cache", "clean"),),
        without_file=".yarnrc.yml",
    ),
    Ecosystem(
        "Go",
        _words("go"),
        (
            Use(_words("mod get"), (_GO_MODULES,)),
            Use(
                _words("build install test run vet generate tool"),
                (_GO_MODULES, _GO_BUILDS),
            ),
        ),
        valued=_words("-C"),
        clearing=(("clean", "-cache"), ("clean", "-modcache")),
    ),
    Ecosystem(
        "Cargo",
        _words("cargo"),
        (
            Use(
                _words("build b install test t check c fetch run r bench clippy chef vendor doc"),
                _CARGO,
            ),
        ),
        valued=_words("-C --config --color"),
    ),
    Ecosystem(
        "Maven",
        _words("mvn mvnw mvnd"),
        (
            Use(
                _words("*"), (CacheTarget("~/.m2/repository", "artifacts and plugins", store=True),)
            ),
        ),
    ),
    Ecosystem(
        "Gradle",
        _words("gradle gradlew"),
        (
            Use(
                frozenset(),
                (
                    CacheTarget(
                        "~/.gradle",
                        "artifacts and plugins",
                        (("GRADLE_USER_HOME", ""),),
                        sharing="locked",
                        store=True,
                    ),
                ),
            ),
        ),
    ),
    Ecosystem(
        "Composer",
        _words("composer composer.phar"),
        (
            Use(
                _words("install i update u upgrade require r create-project global"),
                (
                    CacheTarget(
                        "~/.composer/cache",
                        "packages",
                        (("COMPOSER_CACHE_DIR", ""), ("COMPOSER_HOME", "/cache")),
                        ((r"(?:^|/)composer\b", "/tmp/cache"),),
                    ),
                ),
            ),
        ),
        valued=_words("-d --working-dir"),
        unwanted_flags=_words("--no-cache"),
        unwanted_variables=_words("COMPOSER_NO_CACHE"),
        clearing=(("clear-cache",), ("clearcache",), ("cc",)),
    ),
    Ecosystem(
        "Bundler",
        _words("bundle bundler"),
        (
            Use(
                _words("install update package cache") | {""},
                (
                    CacheTarget(
                        "~/.bundle/cache",
                        "gems",
                        (("BUNDLE_USER_CACHE", ""), ("BUNDLE_USER_HOME", "/cache")),
                    ),
                ),
            ),
        ),
        assignments=("BUNDLE_GLOBAL_GEM_CACHE=true",),
    ),
)

CCACHE = CacheTarget(
    "~/.ccache", "compiled objects", (("CCACHE_DIR", ""), ("XDG_CACHE_HOME", "/ccache"))
)
"""The cache of ccache. If `~/.ccache` exists, all versions use it."""
