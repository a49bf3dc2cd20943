"""The CI integrations, run in an environment like the one that a runner provides."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.actions_server import running_server, token
from tests.e2e.test_caches import STAGES
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]


class Runner:
    """The environment, output and summary files of a job on one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output, self.summary = folder / "output", folder / "summary"
        programs = folder / "bin"
        programs.mkdir(parents=True)
        wrapper = programs / "lamina"
        wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lamina "$@"\n')
        wrapper.chmod(0o755)
        self._env = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LAMINA_ROOT": str(folder / "store"),
            "DOCKER_CONFIG": str(folder / "docker"),
            "RUNNER_TEMP": str(folder),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }

    def run(self, command: list[str], env: Mapping[str, str]) -> str:
        self.output.write_text("")
        self.summary.write_text("")
        done = subprocess.run(
            command, env={**self._env, **env}, capture_output=True, timeout=240, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def action(self, env: Mapping[str, str], **inputs: str) -> str:
        """Run the action as a runner does: each input is a variable, with its default."""
        action = yaml.safe_load((ROOT / "action.yml").read_text())
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert given.keys() <= action["inputs"].keys()
        values = {
            f"INPUT_{name.upper()}": given.get(name, str(described.get("default", "")))
            for name, described in action["inputs"].items()
        }
        values["INPUT_GITHUB-TOKEN"] = ""  # the server of the test is not GitHub
        node = shutil.which("node")
        assert node
        return self.run([node, str(ROOT / action["runs"]["main"])], {**values, **env})


def test_the_action_builds_with_the_cache_of_another_job(
    context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(STAGES + "ARG A\nRUN echo $A > /a\n", {"input": "one"})
    with running_server() as server, running_registry(tmp_path / "registry") as host:
        env = {
            "ACTIONS_RUNTIME_TOKEN": token(("refs/heads/main", 3)),
            "ACTIONS_RESULTS_URL": server.url + "/",
        }
        inputs = {
            "context": str(folder),
            "tags": f"{host}/app:1\n{host}/app:latest\n",
            "build_args": "A=b c\n",
            "push": "true",
            "cache_from": "type=gha,mounts=true",
            "cache_to": "type=gha,mode=max,mounts=true",
            "secrets": "s=hidden value",
        }
        first = Runner(tmp_path / "one")
        log = first.action(env, **inputs)
        assert "hidden value" not in log
        outputs = first.output.read_text()
        assert re.search(r"^digest=sha256:[0-9a-f]{64}$", outputs, re.MULTILINE)
        assert re.search(r"^imageid=sha256:[0-9a-f]{64}$", outputs, re.MULTILINE)
        metadata = outputs.partition("metadata<<LAMINA_END\n")[2].partition("\nLAMINA_END")[0]
        assert json.loads(metadata)["containerimage.digest"]
        (report,) = re.findall(r"^report=(.*)$", outputs, re.MULTILINE)
        assert Path(report).stat().st_size
        assert "### Image built" in first.summary.read_text()

        second = Runner(tmp_path / "two")
        log = second.action(env, **inputs)
        assert log.count("CACHED") == 7
        assert second.output.read_text().splitlines()[0] == outputs.splitlines()[0]


def test_the_component_of_gitlab(context: Callable[..., Path], tmp_path: Path) -> None:
    spec, job = yaml.safe_load_all((ROOT / "templates/build.yml").read_text())
    folder = context(STAGES, {"input": "one"})
    with running_registry(tmp_path / "registry") as host:
        values = {
            name: str(each.get("default", "")) for name, each in spec["spec"]["inputs"].items()
        }
        values |= {"source": "unused", "context": str(folder), "push": "true"}
        predefined = {
            "CI_REGISTRY_IMAGE": f"{host}/app",
            "CI_COMMIT_SHORT_SHA": "abc",
            "CI_REGISTRY": host,
            "CI_REGISTRY_USER": "",
            "CI_REGISTRY_PASSWORD": "",
        }

        def expanded(text: str) -> str:
            text = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: values[found[1]], text)
            return re.sub(r"\$(CI_\w+)", lambda found: predefined[found[1]], text)

        (described,) = job.values()
        env = {name: expanded(value) for name, value in described["variables"].items()}
        script = described["script"][0].replace("/tmp/lamina", str(ROOT))
        for name in ("one", "two"):
            runner = Runner(tmp_path / name)
            env["GITHUB_STEP_SUMMARY"] = str(runner.summary)
            log = runner.run(["sh", "-euc", script], env)
        assert log.count("CACHED") == 6
        assert "### Image built" in runner.summary.read_text()
