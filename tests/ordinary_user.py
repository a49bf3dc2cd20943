"""An ordinary user of the machine, and lamina as this user runs it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import shutil
import site
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.commands import Lamina

if TYPE_CHECKING:
    from collections.abc import Iterator

_PR_SET_DUMPABLE = 4
_SOURCES = Path(__file__).parents[1] / "src"
# The interpreter, packages and sources may be below directories of root. They are mounted where the
# user can read them, in a mount namespace that ends with the command. Devices get the modes that
# distributions give them.
_AS_USER = """
shown=$1 python=$2 packages=$3 sources=$4 user=$5 work=$6; shift 6
mount --bind "$python" "$shown/python" && mount --bind "$packages" "$shown/packages" &&
mount --bind "$sources" "$shown/src" || exit 70
mount -t tmpfs -o mode=755 devices "$shown/devices" || exit 70
for device in fuse:10:229 net/tun:10:200; do
    IFS=: read -r name major minor <<END
$device
END
    [ -e /dev/$name ] || continue
    node=$shown/devices/$major-$minor
    mknod -m 666 "$node" c $major $minor && mount --bind "$node" /dev/$name
done
cd "$work" && exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
"""


class OrdinaryUser(NamedTuple):
    """`home` is the home directory, `shown` a directory for what the user can read."""

    name: str
    uid: int
    home: Path
    shown: Path

    def command(self, *args: str, work: Path | None = None) -> list[str]:
        """The command that runs `args` as this user."""
        return [
            *("unshare", "--mount", "--propagation", "private"),
            *("bash", "-c", _AS_USER, "sh", str(self.shown), sys.base_prefix),
            *(site.getsitepackages()[0], str(_SOURCES), self.name, str(work or self.home)),
            *args,
        ]

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "USER": self.name,
            "LANG": "C.UTF-8",
            "LAMINA_CONFIG": os.devnull,
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{self.shown}/src:{self.shown}/packages",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_LIBRARY_PATH": f"{self.shown}/python/lib",
        }

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, and check that it succeeds."""
        done = subprocess.run(
            self.command(*args),
            env={**self.environment(), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done

    def own(self, path: Path) -> Path:
        """Give a file or a tree to this user, with its modes: chown(2) clears set-id bits."""
        group = pwd.getpwnam(self.name).pw_gid
        below = (
            os.path.join(folder, name)
            for folder, folders, names in os.walk(path)
            for name in (*folders, *names)
        )
        for each in (str(path), *below):
            status = os.lstat(each)
            os.lchown(each, self.uid, group)
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(each, stat.S_IMODE(status.st_mode))
        return path

    def become(self) -> None:
        """Turn this process into one of this user. For a child that then runs lamina."""
        os.initgroups(self.name, pwd.getpwnam(self.name).pw_gid)
        os.setgid(pwd.getpwnam(self.name).pw_gid)
        os.setuid(self.uid)
        # After a change of users the files in /proc/self are root's.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        os.environ.update(HOME=str(self.home), XDG_RUNTIME_DIR=str(self.home / "run"))


class UserLamina(Lamina):
    """The command as an ordinary user, on a store of this user."""

    def __init__(self, user: OrdinaryUser, store: str = "store") -> None:
        super().__init__(user.home / store)
        self.user = user

    def command(self, *args: str) -> list[str]:
        python = f"{self.user.shown}/python/bin/{Path(sys.executable).resolve().name}"
        command = [python, "-m", "lamina", "--root", str(self.root), *args]
        return self.user.command(*command)

    def environment(self) -> dict[str, str]:
        return self.user.environment()


@contextmanager
def ordinary_user(*, ranges: bool) -> Iterator[OrdinaryUser]:
    """Create a user for the block, with or without ranges in /etc/subuid and /etc/subgid."""
    name = f"lamina-{os.urandom(4).hex()}"
    folder = Path("/var/tmp") / name
    home, shown = folder / "home", folder / "shown"
    folder.mkdir(mode=0o755)
    for made in ("python", "packages", "src", "devices"):
        (shown / made).mkdir(parents=True)
    none = () if ranges else ("-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")
    _change_users("useradd", "-m", "--home-dir", str(home), "--shell", "/bin/sh", *none, name)
    try:
        user = OrdinaryUser(name, pwd.getpwnam(name).pw_uid, home, shown)
        (home / "run").mkdir(mode=0o700)
        user.own(home / "run")
        yield user
    finally:
        _change_users("userdel", "--force", name)
        shutil.rmtree(folder)


def _change_users(*command: str) -> None:
    """Run a command that changes /etc/passwd: it fails while another one runs."""
    fd = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        subprocess.run(command, check=True, capture_output=True)
    finally:
        os.close(fd)
