"""Every subcommand and its flags: names, shorthands and meanings are docker's."""

from __future__ import annotations

from lamina.cli.daemon_flags import DAEMON_FLAGS
from lamina.cli.flags import Command, Flag

ROOT = Flag("root", "The store's folder (default: $LAMINA_ROOT)", value="DIR", complete="directory")
DEBUG = Flag("debug", "Show more when something fails", short="D")

_BUILDER = (
    Flag(
        "builder",
        "The daemon that does the work: unix://PATH or tcp://HOST:PORT, of lamina or BuildKit"
        " (default: $LAMINA_HOST, $BUILDKIT_HOST, or none: this process)",
        value="ADDR",
    ),
    Flag("tlscacert", "The CA that the daemon's certificate is of", value="FILE", complete="file"),
    Flag("tlscert", "The certificate to show the daemon", value="FILE", complete="file"),
    Flag(
        "tlsdir",
        "A folder with ca.pem, cert.pem and key.pem (default: $LAMINA_TLS_DIR)",
        value="DIR",
        complete="directory",
    ),
    Flag("tlskey", "The key of that certificate", value="FILE", complete="file"),
    Flag("tlsservername", "Whom the daemon's certificate must name", value="NAME"),
)

_FORMAT = Flag("format", "How to print", value="FORMAT", choices=("table", "json"), default="table")
_FILTER = Flag(
    "filter",
    "Only what matches: until=24h, id=…, type=…, description~=…, inuse, shared, private",
    value="FILTER",
    repeat=True,
)

_PROGRESS = Flag(
    "progress",
    "How to show progress",
    value="MODE",
    choices=("auto", "tty", "plain", "rawjson", "quiet"),
    default="auto",
)
_INSECURE = Flag("insecure", "The registry may be plain HTTP or of an unknown certificate")

_BUILD = (
    Flag("add-host", "Add a line to /etc/hosts", value="HOST:IP", repeat=True),
    Flag(
        "allow",
        "Allow what steps may not do by default",
        value="ENTITLEMENT",
        repeat=True,
        choices=("security.insecure", "network.host", "device"),
        open=True,  # device=NAME
    ),
    Flag(
        "annotation",
        "Annotate the image, for example manifest:org.opencontainers.image.title=…",
        value="[TYPE:]NAME=VALUE",
        repeat=True,
    ),
    Flag(
        "attest",
        "Attest how the image was made: type=provenance[,mode=min|max][,version=v1|v0.2]",
        value="ATTESTATION",
        repeat=True,
    ),
    Flag("build-arg", "Set an ARG of the Dockerfile", value="NAME[=VALUE]", repeat=True),
    Flag(
        "build-context",
        "Name more contexts: a folder, oci-layout://folder[:tag], docker-image://ref; for a daemon"
        " also a URL",
        value="NAME=CONTEXT",
        repeat=True,
    ),
    Flag(
        "call",
        "Ask about the Dockerfile instead: check, outline, targets or convertllb[,format=json]",
        value="METHOD",
        default="build",
    ),
    Flag("cgroup-parent", "The control group that RUN steps run below", value="PATH"),
    Flag("check", "Only check the Dockerfile: --call=check"),
    Flag(
        "cache-from",
        "Use a cache of elsewhere: type=registry,ref=… or type=local,src=…[,mounts=true]",
        value="CACHE",
        repeat=True,
    ),
    Flag(
        "cache-to",
        "Write a cache: type=registry,ref=…, type=local,dest=… or type=inline[,mode=max]",
        value="CACHE",
        repeat=True,
    ),
    Flag(
        "file",
        "The Dockerfile, or - for standard input (default: PATH/Dockerfile)",
        short="f",
        value="FILE",
        complete="file",
    ),
    Flag("iidfile", "Write the image's ID to a file", value="FILE", complete="file"),
    Flag("label", "Add a label to the image", value="NAME=VALUE", repeat=True),
    Flag("load", "Put the image into the Docker or Podman that runs here: type=docker"),
    Flag(
        "metadata-file", "Write what the build made to a JSON file", value="FILE", complete="file"
    ),
    Flag(
        "network",
        "The network of RUN steps",
        value="MODE",
        choices=("default", "none", "host"),
        default="default",
    ),
    Flag("no-cache", "Do every step again"),
    Flag("no-cache-filter", "Do the steps of these stages again", value="STAGE", repeat=True),
    Flag(
        "output",
        "Where the result goes: type=image|registry|oci|docker|tar|local[,dest=…]",
        short="o",
        value="OUTPUT",
        repeat=True,
    ),
    Flag("platform", "What to build for (default: this machine)", value="PLATFORM", repeat=True),
    _PROGRESS,
    Flag(
        "provenance",
        "Short for --attest=type=provenance: true, false, or attributes like mode=max",
        value="ATTRIBUTES",
    ),
    Flag("pull", "Ask the registry whether base images are still what they were"),
    Flag("push", "Push the image to the registries that its names say: type=registry"),
    Flag("quiet", "Show no progress, print the image's ID", short="q"),
    Flag("sbom", "Short for --attest=type=sbom", value="ATTRIBUTES"),
    Flag("secret", "Lend a secret: id=…[,src=FILE|,env=NAME]", value="SECRET", repeat=True),
    Flag("shm-size", "The size of /dev/shm in RUN steps", value="BYTES"),
    Flag(
        "source-policy-file",
        "Rules about sources, as JSON",
        value="FILE",
        complete="file",
    ),
    Flag("ssh", "Lend an SSH agent: default or id=SOCKET", value="AGENT", repeat=True),
    Flag("tag", "Name the image", short="t", value="NAME[:TAG]", repeat=True),
    Flag("target", "The stage to build", value="STAGE"),
    Flag("ulimit", "Limits of RUN steps", value="NAME=SOFT[:HARD]", repeat=True),
)

_RUN = (
    Flag("entrypoint", 'Replace the image\'s ENTRYPOINT ("" for none)', value="COMMAND"),
    Flag("env", "Set a variable", short="e", value="NAME[=VALUE]", repeat=True),
    Flag("hostname", "The container's host name", value="NAME"),
    Flag("interactive", "Pass standard input on", short="i"),
    Flag(
        "network",
        "The network",
        value="MODE",
        choices=("default", "none", "host"),
        default="default",
    ),
    Flag("read-only", "Let the container write nothing"),
    Flag("rm", "Leave nothing of the container behind: what happens anyway"),
    Flag("tty", "Give the command a terminal", short="t"),
    Flag("user", "Who runs the command", short="u", value="NAME|UID[:GROUP|GID]"),
    Flag("volume", "Mount a folder or file", short="v", value="HOST:TARGET[:ro]", repeat=True),
    Flag("workdir", "The folder to start in", short="w", value="DIR"),
)

_PRUNE = (
    Flag("all", "Also drop the cache of what the store's images are made of", short="a"),
    _FILTER,
    Flag("force", "Do not ask", short="f"),
    Flag("keep-storage", "Another name of --reserved-space", value="BYTES"),
    Flag("max-used-space", "Remove until the cache is this small", value="BYTES"),
    Flag("min-free-space", "Remove until the disk has this much free", value="BYTES"),
    Flag("reserved-space", "Always keep this much cache", value="BYTES"),
    Flag("verbose", "Show everything about what was removed"),
)

_COMMANDS = (
    Command(
        "build",
        "Build an image from a Dockerfile",
        "[OPTIONS] PATH | -",
        "build_command:run",
        (*_BUILD, *_BUILDER, ROOT, DEBUG),
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
        "images",
        "List the images of the local store",
        "[OPTIONS] [NAME…]",
        "image_commands:list_images",
        (
            Flag(
                "format",
                "How to print",
                value="FORMAT",
                choices=("table", "json", "names"),
                default="table",
            ),
            Flag("no-trunc", "Whole digests"),
            Flag("quiet", "Only image IDs", short="q"),
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
        (Flag("force", "No error for an image that is not there", short="f"), ROOT, DEBUG),
        least=1,
        most=None,
        complete="image",
    ),
    Command(
        "run",
        "Run a command in a container of an image",
        "[OPTIONS] IMAGE [COMMAND [ARG…]]",
        "run_command:run",
        (*_RUN, ROOT, DEBUG),
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
        "Bring images from registries into the local store",
        "[OPTIONS] IMAGE…",
        "transfer:pull",
        (
            Flag("platform", "Which one of several (default: this machine's)", value="PLATFORM"),
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
            Flag("username", "Who you are", short="u", value="NAME"),
            Flag("password", "Your password or token", short="p", value="TEXT"),
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
        "Look at images in registries, or make indexes of them there",
        "inspect NAME | create -t NAME… SOURCE…",
        "imagetools:run",
        (
            Flag("annotation", "Annotate the index", value="[TYPE:]NAME=VALUE", repeat=True),
            Flag("append", "create: keep what the first name holds already"),
            Flag("dry-run", "create: print the index and push nothing"),
            Flag("file", "create: read a source from a file", short="f", value="FILE", repeat=True),
            Flag("format", "inspect: as a template, like {{json .Manifest}}", value="TEMPLATE"),
            Flag("prefer-index", "create: make an index of a single source too"),
            Flag("raw", "inspect: print the document's bytes"),
            Flag("tag", "create: the name to give", short="t", value="NAME", repeat=True),
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
        "Show what the build cache takes on disk",
        "[OPTIONS]",
        "disk_usage:disk_usage",
        (
            *(_FILTER, _FORMAT, Flag("verbose", "Show everything about each record")),
            *_BUILDER,
            ROOT,
            DEBUG,
        ),
    ),
    Command(
        "prune",
        "Remove build cache",
        "[OPTIONS]",
        "disk_usage:prune",
        (*_PRUNE, *_BUILDER, ROOT, DEBUG),
        examples=("lamina prune --filter until=24h", "lamina prune -af --max-used-space 10gb"),
    ),
    Command(
        "check",
        "Verify the store: blobs, states, database, leases",
        "[OPTIONS]",
        "check:check",
        (
            Flag("repair", "Remove what is damaged and can be made or fetched again"),
            *_BUILDER,
            ROOT,
            DEBUG,
        ),
        examples=("lamina check --repair",),
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
        "List, move and remove cache mounts",
        "ls | export [NAME…] --to CACHE | import NAME… --from CACHE | rm NAME…",
        "cache:run",
        (
            Flag("all", "rm: remove all of them", short="a"),
            Flag(
                "format",
                "ls: how to print",
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
        "Print a script that completes words in a shell",
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
