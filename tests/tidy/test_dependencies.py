"""What the project stands on: what is imported is declared, what is declared is imported and pinned."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OURS = {"gameserver", "gameserver_client", "tests"}
BROUGHT = {"pytest"}  # by who reads gameserver/pytest_plugin.py: nobody else does


def project(folder: str = ".") -> dict[str, list[Requirement]]:
    """The declared dependencies by group; "" are those of the running server."""
    table = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    groups = {"": table["dependencies"], **table.get("optional-dependencies", {})}
    return {group: [Requirement(line) for line in lines] for group, lines in groups.items()}


def names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def imported(folder: Path) -> set[str]:
    """The distributions from which a folder imports, also late and for type checking."""
    modules = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import(names=found):
                    modules |= {alias.name.partition(".")[0] for alias in found}
                case ast.ImportFrom(module=str(module), level=0):
                    modules.add(module.partition(".")[0])
    owners = metadata.packages_distributions()
    foreign = modules - OURS - sys.stdlib_module_names
    return {canonicalize_name(owners.get(module, [module])[0]) for module in foreign}


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_what_the_server_imports_is_declared_and_nothing_else() -> None:
    groups = project()
    declared = names([*groups[""], *groups["otel"]])
    # API and exporter come with each other, and are told apart by nobody: one namespace holds them all.
    found = {name for name in imported(ROOT / "gameserver") if not name.startswith("opentelemetry")}
    assert found - BROUGHT == {name for name in declared if not name.startswith("opentelemetry")}


def test_what_tests_import_is_declared() -> None:
    groups = project()
    declared = names([*groups[""], *groups["test"], *groups["fuzz"], *groups["deploy"]])
    declared.add("helm-python")  # as its module is called, for who has not installed that extra
    assert imported(ROOT / "tests") <= declared


def all_needed(requirements: Iterable[Requirement], seen: set[str]) -> Iterator[str]:
    """The distributions that requirements bring along, as those that are installed say."""
    for requirement in requirements:
        for extra in requirement.extras or {""}:
            name = canonicalize_name(requirement.name)
            environment = default_environment() | {"extra": extra}
            if f"{name}[{extra}]" in seen or not (
                requirement.marker is None or requirement.marker.evaluate(environment)  # type: ignore[arg-type]
            ):
                continue
            seen.add(f"{name}[{extra}]")
            yield name
            lines = [Requirement(line) for line in metadata.requires(name) or ()]
            wanted = [
                each
                for each in lines
                if each.marker is None or each.marker.evaluate(environment)  # type: ignore[arg-type]
            ]
            for each in wanted:
                each.marker = None
            yield from all_needed(wanted, seen)


def test_constraints_pin_all_that_is_installed() -> None:
    declared = [*project()[""], *project()["test"], *project("clients/python")[""]]
    assert set(all_needed(declared, set())) == pins().keys()


@pytest.mark.parametrize("requirement", [*project()[""], *project()["test"]], ids=str)
def test_pins_are_within_what_is_declared(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_the_readme_installs_what_is_pinned() -> None:
    lines = [
        line for line in (ROOT / "README.md").read_text().splitlines() if "venv/bin/pip install -q" in line
    ]
    assert lines
    assert all("-c constraints.txt" in line for line in lines)
