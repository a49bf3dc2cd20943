"""Every subcommand and its flags. Names, shorthands and meanings are docker's."""

from __future__ import annotations

from lamina.cli.advise_flags import ADVISE_FLAGS
from lamina.cli.bake_flags import BAKE_FLAGS
from lamina.cli.builder_flags import BUILDER_FLAGS
from lamina.cli.daemon_flags import DAEMON_FLAGS
from lamina.cli.diff_flags import DIFF_FLAGS
from lamina.cli.explain_flags import EXPLAIN_FLAGS, TEXT_FORMAT
from lamina.cli.flags import Command, Flag
from lamina.cli.frontend_flags import FRONTEND_FLAGS
from lamina.cli.history_flags import HISTORY_FLAGS
from lamina.cli.run_flags import RUN_FLAGS

ROOT = Flag("root", "Store directory (default: $LAMINA_ROOT)", value="DIR", complete="directory")
DEBUG = Flag("debug", "Show a traceback when a command fails", short="D")
_BUILD_DEBUG = Flag(
    "debug",
    "Open a shell in steps: on-error, always, step:N or step:TEXT; show tracebacks",
    short="D",
    value="WHEN",
    choices=("on-error", "always", "step:", "true", "false"),
    open=True,
    optional="true",
)

_FORMAT = Flag(
    "format",
    "Output format, or a Go template",
    value="FORMAT",
    choices=("table", "json"),
    default="table",
    open=True,
)
_FILTER = Flag(
    "filter",
    "Select records: until=24h, id=…, type=…, description~=…, inuse, shared, private",
    value="FILTER",
    repeat=True,
)

_PROGRESS = Flag(
    "progress",
    "Progress display",
    value="MODE",
    choices=("auto", "tty", "plain", "rawjson", "quiet"),
    default="auto",
)
_INSECURE = Flag("insecure", "Allow plain HTTP and untrusted certificates")

_BUILD = (
    *FRONTEND_FLAGS,
    Flag(
        "allow",
        "Grant an extra privilege (entitlement)",
        value="ENTITLEMENT",
        repeat=True,
        choices=("security.insecure", "network.host", "device"),
        open=True,  # device=NAME
    ),
    Flag(
        "annotation",
        "Add an annotation, for example manifest:org.opencontainers.image.title=…",
        value="[TYPE:]NAME=VALUE",
        repeat=True,
    ),
    Flag(
        "attest",
        "Add an attestation: type=provenance[,mode=min|max][,version=v1|v0.2]",
        value="ATTESTATION",
        repeat=True,
    ),
    Flag(
        "build-context",
        "Add a named context: a directory, oci-layout://DIR[:tag], docker-image://ref or a URL",
        value="NAME=CONTEXT",
        repeat=True,
    ),
    Flag(
        "call",
        "Evaluate instead of building: check, outline, targets or convertllb[,format=json]",
        value="METHOD",
        default="build",
    ),
    Flag("check", "Check the Dockerfile (short for --call=check)"),
    Flag(
        "cache-from",
        "Import a build cache: type=registry,ref=… or type=local,src=…[,mounts=true]",
        value="CACHE",
        repeat=True,
    ),
    Flag(
        "cache-to",
        "Export the build cache: type=registry,ref=…, type=local,dest=… or type=inline[,mode=max]",
        value="CACHE",
        repeat=True,
    ),
    Flag(
        "file",
        "Dockerfile, or - for standard input (default: PATH/Dockerfile)",
        short="f",
        value="FILE",
        complete="file",
    ),
    Flag("iidfile", "Write the image ID to a file", value="FILE", complete="file"),
    Flag("load", "Load the image into Docker or Podman on this machine (short for -o type=docker)"),
    Flag("metadata-file", "Write build metadata to a JSON file", value="FILE", complete="file"),
    Flag(
        "output",
        "Output: type=image|registry|oci|docker|tar|local[,dest=…]",
        short="o",
        value="OUTPUT",
        repeat=True,
    ),
    Flag(
        "output-on-failure",
        "Output of the failed step's files: type=local,dest=…[,path=/app/reports]",
        value="OUTPUT",
        repeat=True,
    ),
    _PROGRESS,
    Flag("plan", "Show what would run, without running it (lamina plan)"),
    Flag(
        "provenance",
        "Short for --attest=type=provenance: true, false, or attributes like mode=max",
        value="ATTRIBUTES",
    ),
    Flag("push", "Push the image to its registries (short for -o type=registry)"),
    Flag("quiet", "Show no progress; print the image ID", short="q"),
    Flag("sbom", "Short for --attest=type=sbom", value="ATTRIBUTES"),
    Flag(
        "secret",
        "Expose a secret to the build: id=…[,src=FILE|,env=NAME]",
        value="SECRET",
        repeat=True,
    ),
    Flag(
        "source-policy-file",
        "Source policy file (JSON)",
        value="FILE",
        complete="file",
    ),
    Flag(
        "ssh", "Expose an SSH agent to the build: default or id=SOCKET", value="AGENT", repeat=True
    ),
    Flag("tag", "Image name", short="t", value="NAME[:TAG]", repeat=True),
    Flag("verify", "Build again in an empty store, and fail if the image differs"),
)

_PRUNE = (
    Flag("all", "Also remove cache that local images use", short="a"),
    _FILTER,
    Flag("force", "Do not ask for confirmation", short="f"),
    Flag("keep-storage", "Same as --reserved-space", value="BYTES"),
    Flag("max-used-space", "Remove until the cache is at most this large", value="BYTES"),
    Flag("min-free-space", "Remove until the disk has this much free space", value="BYTES"),
    Flag("reserved-space", "Amount of cache that is always kept", value="BYTES"),
    Flag("verbose", "Show all details of removed records"),
)

_COMMANDS = (
    Command(
        "build",
        "Build an image from a Dockerfile",
        "[OPTIONS] PATH | -",
        "build_command:run",
        (*_BUILD, *BUILDER_FLAGS, ROOT, _BUILD_DEBUG),
        least=1,
        most=1,
        complete="directory",
        examples=(
            "lamina build -t demo .",
            "lamina build -f app.Dockerfile --target test --build-arg VERSION=1.2 .",
            "lamina build -o type=oci,dest=demo.tar . ; lamina build -o out .",
            "lamina build - < Dockerfile ; tar -c . | lamina build -",
            "lamina build --builder unix:///run/buildkit/buildkitd.sock -o out .",
        ),
    ),
    Command(
        "bake",
        "Build targets of a bake file",
        "[OPTIONS] [URL] [TARGET…]",
        "bake_command:run",
        (*BAKE_FLAGS, *BUILDER_FLAGS, ROOT, DEBUG),
        most=None,
        examples=("lamina bake", "lamina bake --set '*.platform=linux/arm64' --print app"),
    ),
    Command(
        "images",
        "List the images of the local store",
        "[OPTIONS] [NAME…]",
        "image_commands:list_images",
        (
            Flag(
                "format",
                "Output format, or a Go template",
                value="FORMAT",
                choices=("table", "json", "names"),
                default="table",
                open=True,
            ),
            Flag("no-trunc", "Do not truncate digests"),
            Flag("quiet", "Print only image IDs", short="q"),
            ROOT,
            DEBUG,
        ),
        most=None,
        complete="image",
    ),
    Command(
        "rmi",
        "Remove images from the local store",
        "[OPTIONS] IMAGE…",
        "image_commands:remove_images",
        (Flag("force", "Ignore images that do not exist", short="f"), ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
    ),
    Command(
        "run",
        "Run a command in a container of an image",
        "[OPTIONS] IMAGE [COMMAND [ARG…]]",
        "run_command:run",
        (*RUN_FLAGS, ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
        passes_on=True,
        examples=("lamina run demo", "lamina run -it -v $PWD:/src demo sh"),
    ),
    Command(
        "inspect",
        "Show images as JSON",
        "[OPTIONS] IMAGE…",
        "image_commands:inspect_images",
        (ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
    ),
    Command(
        "diff",
        "Compare two images, or two builds",
        "[OPTIONS] IMAGE IMAGE | BUILD BUILD",
        "diff_command:run",
        (*DIFF_FLAGS, _INSECURE, *BUILDER_FLAGS, ROOT, DEBUG),
        least=2,
        most=2,
        complete="image",
        examples=(
            "lamina diff app:1 app:2",
            "lamina diff app docker://registry.example/app:1",
            "lamina diff --times oci-layout://old:1 ./new.tar",
            "lamina diff ^1 ^",
        ),
        failure=2,
    ),
    Command(
        "push",
        "Push images of the local store to registries",
        "[OPTIONS] IMAGE…",
        "transfer:push",
        (_PROGRESS, _INSECURE, Flag("quiet", "Show no progress", short="q"), ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
    ),
    Command(
        "pull",
        "Pull images from registries into the local store",
        "[OPTIONS] IMAGE…",
        "transfer:pull",
        (
            Flag("platform", "Platform to pull (default: that of this machine)", value="PLATFORM"),
            _PROGRESS,
            Flag("quiet", "Show no progress", short="q"),
            ROOT,
            DEBUG,
        ),
        least=1,
        most=None,
    ),
    Command(
        "login",
        "Log in to a registry",
        "[OPTIONS] [SERVER]",
        "login:login",
        (
            Flag("username", "User name", short="u", value="NAME"),
            Flag("password", "Password or token", short="p", value="TEXT"),
            Flag("password-stdin", "Read the password from standard input"),
            _INSECURE,
            DEBUG,
        ),
        most=1,
        examples=("lamina login -u me --password-stdin ghcr.io < token",),
    ),
    Command("logout", "Log out from a registry", "[SERVER]", "login:logout", (DEBUG,), most=1),
    Command(
        "imagetools",
        "Inspect images in registries, or create image indexes there",
        "inspect NAME | create -t NAME… SOURCE…",
        "imagetools:run",
        (
            Flag(
                "annotation",
                "Add an annotation to the index",
                value="[TYPE:]NAME=VALUE",
                repeat=True,
            ),
            Flag("append", "create: keep the manifests of the existing index"),
            Flag("dry-run", "create: print the index without pushing it"),
            Flag(
                "file",
                "create: read a source descriptor from a file",
                short="f",
                value="FILE",
                repeat=True,
            ),
            Flag(
                "format", "inspect: Go template, for example {{json .Manifest}}", value="TEMPLATE"
            ),
            Flag("prefer-index", "create: create an index even for a single source"),
            Flag("raw", "inspect: print the raw manifest"),
            Flag("tag", "create: name of the index", short="t", value="NAME", repeat=True),
            _INSECURE,
            DEBUG,
        ),
        least=1,
        most=None,
        choices=("inspect", "create"),
        examples=(
            "lamina imagetools inspect alpine",
            "lamina imagetools create -t host/app:1 host/app:amd64 host/app:arm64",
        ),
    ),
    Command(
        "du",
        "Show the disk usage of the build cache",
        "[OPTIONS]",
        "disk_usage:disk_usage",
        (
            *(_FILTER, _FORMAT, Flag("verbose", "Show all details of each record")),
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
    ),
    Command(
        "history",
        "Show and remove the records of builds",
        "ls | inspect [attachment] | logs | trace [BUILD] | export [BUILD…] | import | rm BUILD…",
        "history.command:run",
        (*HISTORY_FLAGS, *BUILDER_FLAGS, ROOT, DEBUG),
        least=1,
        most=None,
        choices=("ls", "inspect", "logs", "trace", "export", "import", "rm"),
        examples=(
            "lamina history ls --filter status=error",
            "lamina history inspect ^1",
            "lamina history inspect attachment --type provenance",
            "lamina history logs --step 'RUN make'",
            "lamina history trace --format chrome -o trace.json",
        ),
    ),
    Command(
        "prune",
        "Remove build cache",
        "[OPTIONS]",
        "disk_usage:prune",
        (*_PRUNE, *BUILDER_FLAGS, ROOT, DEBUG),
        examples=("lamina prune --filter until=24h", "lamina prune -af --max-used-space 10gb"),
    ),
    Command(
        "plan",
        "Show which steps a build would run, and why, without running it",
        "[OPTIONS] PATH | -",
        "build_command:plan",
        (*(f for f in _BUILD if f.name != "plan"), TEXT_FORMAT, *BUILDER_FLAGS, ROOT, DEBUG),
        least=1,
        most=1,
        complete="directory",
        examples=("lamina plan .", "lamina plan --target test --format json ."),
    ),
    Command(
        "explain",
        "Explain why steps of a build missed the cache",
        "[OPTIONS] [BUILD]",
        "explain:run",
        (
            *EXPLAIN_FLAGS,
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
        most=1,
        examples=("lamina explain", "lamina explain ^1 --step 'RUN make'"),
    ),
    Command(
        "check",
        "Verify the store: blobs, snapshots, database, leases",
        "[OPTIONS]",
        "check:check",
        (
            Flag("repair", "Remove damaged data that can be rebuilt or fetched again"),
            *BUILDER_FLAGS,
            ROOT,
            DEBUG,
        ),
        examples=("lamina check --repair",),
    ),
    Command(
        "advise",
        "Suggest changes to a Dockerfile that make its builds faster or smaller",
        "[OPTIONS] [PATH]",
        "advise:run",
        (*ADVISE_FLAGS, ROOT, DEBUG),
        most=1,
        complete="directory",
        examples=(
            "lamina advise",
            "lamina advise --kind cache-mount --apply .",
            "lamina advise --prove .",
        ),
    ),
    Command(
        "daemon",
        "Serve BuildKit's API to buildctl and docker buildx",
        "[OPTIONS]",
        "daemon:run",
        (*DAEMON_FLAGS, ROOT, DEBUG),
        examples=(
            "lamina daemon",
            "lamina daemon --addr tcp://0.0.0.0:1234"
            " --tlscert c.pem --tlskey k.pem --tlscacert ca.pem",
        ),
    ),
    Command(
        "cache",
        "List, export, import and remove cache mounts",
        "ls | export [NAME…] --to CACHE | import NAME… --from CACHE | rm NAME…",
        "cache:run",
        (
            Flag("all", "rm: remove all cache mounts", short="a"),
            Flag(
                "format",
                "ls: output format",
                value="FORMAT",
                choices=("table", "json", "names"),
                default="table",
            ),
            Flag("from", "import: type=registry,ref=… or type=local,src=…", value="CACHE"),
            Flag("to", "export: type=registry,ref=… or type=local,dest=…", value="CACHE"),
            _PROGRESS,
            Flag("quiet", "Show no progress", short="q"),
            ROOT,
            DEBUG,
        ),
        least=1,
        most=None,
        choices=("ls", "export", "import", "rm"),
        complete="mount",
        examples=(
            "lamina cache ls",
            "lamina cache export go-build --to type=registry,ref=host/app:cache",
            "lamina cache import go-build --from type=registry,ref=host/app:cache",
        ),
    ),
    Command("version", "Show the version", "", "about:version", (DEBUG,)),
    Command(
        "completion",
        "Print a shell completion script",
        "bash | zsh | fish",
        "completion:run",
        (DEBUG,),
        least=1,
        most=1,
        choices=("bash", "zsh", "fish"),
        examples=("source <(lamina completion bash)",),
    ),
)

COMMANDS = {command.name: command for command in _COMMANDS}
