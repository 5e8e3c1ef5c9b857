"""What docs/deploy brings is what the programs that read it accept, and speaks of what the server really has.

The image, the chart and compose.yaml are linted, rendered and checked against schemas. Nothing here starts a
container or a cluster.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gameserver import __version__
from tests.processes import serve
from tests.servers import missing

if find_spec("helm_python") is None and os.environ.get("CI") != "true":
    pytest.skip("the extra `deploy` is not installed", allow_module_level=True)

import helm_python
import kubernetes_validate

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
CHART = DEPLOY / "helm" / "gameserver"
KUBERNETES = "1.31"
NOT_OF_KUBERNETES = {"ServiceMonitor"}  # a kind of the Prometheus Operator
METRIC = re.compile(r"\b(gameserver_\w+|process_\w+)")

EVERYTHING = {
    "autoscaling": {"packetsPerSecond": 2000},
    "apps": {"racer": {"configMap": "racer"}},
    "secretEnvironment": ["RACER_SECRET"],
    "publicUrl": "https://game.example.com",
    "extraEnvironment": [{"name": "A", "value": "b"}],
    "imagePullSecrets": [{"name": "registry"}],
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "game-tls", "annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True},
    "nodeSelector": {"pool": "game"},
    "tolerations": [{"key": "game", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}
LITTLE = {"autoscaling": {"enabled": False}, "networkPolicy": {"enabled": False}, "replicas": 3}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def program(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        missing(name)
    return found


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that a cluster is given."""
    files = helm_python.Chart.load(str(CHART)).render(values, name="live", namespace="game")
    return [
        document
        for name, text in files.items()
        if not name.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


def test_the_image_is_built_by_the_rules() -> None:
    done = subprocess.run(
        [program("hadolint"), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_from_files_that_are_there() -> None:
    wanted = [
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    ]
    assert [name for name in wanted if not (ROOT / name).exists()] == []
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert [name for name in ("README.md", "LICENSE") if name in project and name not in wanted] == []


def test_the_chart_has_no_mistake() -> None:
    told = helm_python.lint(str(CHART), EVERYTHING, strict=True)
    worst = [message for message in told["messages"] if message["severity"] not in ("INFO", 0, 1)]
    assert worst == []


@pytest.mark.parametrize("values", [{}, EVERYTHING, LITTLE], ids=["default", "everything", "little"])
def test_a_cluster_would_take_the_chart(values: dict[str, Any]) -> None:
    objects = rendered(values)
    for each in objects:
        if each["kind"] not in NOT_OF_KUBERNETES:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    kinds = {each["kind"] for each in objects}
    assert {"Deployment", "Service", "Job", "PodDisruptionBudget"} <= kinds
    assert ("HorizontalPodAutoscaler" in kinds) == (values is not LITTLE)


def test_values_that_are_misspelt_are_refused() -> None:
    with pytest.raises(helm_python.HelmError):
        rendered({"replicaCount": 3})


def test_settings_are_those_of_the_server() -> None:
    """What the image, the chart, compose and systemd set is what `serve` reads."""
    texts = [
        (ROOT / "Dockerfile").read_text("utf-8"),
        (ROOT / "compose.yaml").read_text("utf-8"),
        (DEPLOY / "gameserver.service").read_text("utf-8"),
        *(path.read_text("utf-8") for path in CHART.rglob("*.yaml")),
    ]
    used = {name for text in texts for name in re.findall(r"\bGAMESERVER_[A-Z_]+", text)} - {"GAMESERVER_"}
    known = set(re.findall(r"GAMESERVER_[A-Z_]+", _help("serve")))
    assert used - known == set()


def _help(command: str) -> str:
    done = subprocess.run(
        [program("gameserver"), command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200"},
    )
    return done.stdout


def test_compose_names_what_it_declares() -> None:
    told = read(ROOT / "compose.yaml")
    for name, service in told["services"].items():
        for other in service.get("depends_on", []):
            assert other in told["services"], name
        for secret in service.get("secrets", []):
            assert secret in told["secrets"], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in told["volumes"] or source == "./apps" or (ROOT / source).exists(), volume
    # On its socket PostgreSQL answers also while it makes its data, and is not there for the migration yet.
    assert "-h" in told["services"]["postgres"]["healthcheck"]["test"]
    assert told["services"]["server"]["environment"]["GAMESERVER_PROXIES"] in [
        net["subnet"] for net in told["networks"]["default"]["ipam"]["config"]
    ]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of metrics that a server tells."""
    with serve(tmp_path_factory.mktemp("metrics"), "--ephemeral") as server:
        text = httpx.get(f"{server.url}/metrics").text
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    names = {name for name, _ in families}
    return names | {f"{name}_bucket" for name, kind in families if kind == "histogram"}


def test_alerts_and_dashboard_speak_of_metrics_that_are_there(told: set[str]) -> None:
    rules = [rule for group in read(DEPLOY / "prometheus-alerts.yaml")["groups"] for rule in group["rules"]]
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for expression in expressions for name in METRIC.findall(expression)}
    assert len(used) > 10
    assert used - told == set()
    assert all(
        rule["labels"]["severity"] in ("page", "warn") and rule["annotations"]["summary"] for rule in rules
    )
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    text = (DEPLOY / "gameserver.service").read_text("utf-8")
    unit = tmp_path / "gameserver.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program('true')}", text))
    command = [analyze, "verify", "--man=no", "--generators=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "gameserver.service" not in done.stderr, done.stderr


def test_nginx_takes_the_sample(tmp_path: Path) -> None:
    nginx = program("nginx")
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    made = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=game.example.com -days 1"
    files = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run([*made.split(), *files], check=True, capture_output=True)
    text = text.replace("/etc/ssl/gameserver", str(tmp_path)).replace("listen [::]:443 ssl;", "")
    whole = tmp_path / "whole.conf"
    whole.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
    )
    done = subprocess.run(
        [nginx, "-t", "-c", str(whole), "-p", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_caddy_takes_the_sample(tmp_path: Path) -> None:
    caddy = program("caddy")
    done = subprocess.run(
        [caddy, "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path), "DOMAIN": "game.example.com"},
    )
    assert done.returncode == 0, done.stderr


def test_a_release_is_built_where_everything_says_the_same_version(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    for name in (".ci/release", "pyproject.toml", "clients/python/pyproject.toml"):  # as they are here
        shutil.copy(ROOT / name, clone / name)
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "as it is", "--allow-empty"], check=True)
    (clone / ".venv" / "bin").mkdir(parents=True)
    for tool in ("python", "pip"):
        script = f'#!/bin/sh\nexec "{sys.executable}" {"-m pip" if tool == "pip" else ""} "$@"\n'
        (clone / ".venv" / "bin" / tool).write_text(script)
        (clone / ".venv" / "bin" / tool).chmod(0o755)
    release = str(clone / ".ci" / "release")
    told = subprocess.run(release, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert [line.split("./")[1].partition(f"-{__version__}")[0] for line in told.stdout.splitlines()] == [
        "gameserver",
        "gameserver-client",
        "gameserver_client",
    ]
    file = clone / "clients" / "csharp" / "package.json"
    file.write_text(file.read_text().replace('"version": "', '"version": "9.'))
    told = subprocess.run(release, capture_output=True, text=True, check=False)
    assert (told.returncode, "not committed" in told.stderr) == (1, True)
    subprocess.run([*git, "commit", "-qam", "another version"], check=True)
    told = subprocess.run(release, capture_output=True, text=True, check=False)
    assert (told.returncode, "package.json says 9." in told.stderr) == (1, True)
