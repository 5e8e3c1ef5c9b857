"""The Java client, compiled as its page says, against a server in a process of its own."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import APP_TOML
from tests.processes import serve

KIT = Path(__file__).parents[2] / "clients" / "java"
# As the sample app has it: who follows the page begins with that one.
PASSWORDS = "[login]\npassword_min_length = 8\nrefuse_common_passwords = true\n"


class Java(NamedTuple):
    """Where the classes are, and where the server is."""

    folder: Path
    url: str

    def run(self, name: str, *arguments: str) -> list[str]:
        """Run a program; return the lines that it prints. It ends by itself, callbacks or not."""
        places = os.pathsep.join(["build/gameserver-backendless.jar", "build"])
        done = subprocess.run(
            ["java", f"-Duser.home={self.folder}", "-Dfile.encoding=UTF-8", "-cp", places, name, *arguments],
            cwd=self.folder,
            env=os.environ | {"SERVER_URL": self.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()


@pytest.fixture(scope="module")
def java(
    tmp_path_factory: pytest.TempPathFactory, services: dict[str, str], migrated: object
) -> Iterator[Java]:
    """Compile the client by the lines of its page, and serve an app for it."""
    if shutil.which("javac") is None:
        if os.environ.get("CI"):
            raise RuntimeError("a JDK is needed")
        pytest.skip("no JDK is installed")
    folder = tmp_path_factory.mktemp("java")
    shutil.copytree(KIT, folder, dirs_exist_ok=True)
    page = (KIT / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [settings] = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    script = "\n".join(blocks[:2]).replace("javac ", "javac -Xlint:all -Werror ").partition("\njava ")[0]
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True)
    tests = Path(__file__).parent / "java" / "Scenario.java"
    classes = ["-cp", "build/gameserver-backendless.jar", "-d", "build", str(tests)]
    subprocess.run(["javac", "-Xlint:all", "-Werror", *classes], cwd=folder, check=True)
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(APP_TOML + PASSWORDS)
    (folder / "apps" / "test" / "backendless.toml").write_text(settings)
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with serve(folder, *options) as server:
        yield Java(folder, server.url)


def test_users_register_log_in_and_out(java: Java, tmp_path: Path) -> None:
    told = dict(line.split("=", 1) for line in java.run("Scenario", str(tmp_path)))
    away = told.pop("away")
    assert away.endswith("/0")
    assert re.fullmatch(r"[0-9a-f-]{36}", told.pop("still"))
    assert told == {
        "registered": "Integer",
        "again": "3033/409",
        "nobody": "[NotAuthenticatedUser] null false",
        "wrong": "3003/401",
        "unknown": "3003/401",
        "empty": "3006/400",
        "missing": "3038/400",
        "login": "true [a, {b=1.5}, null, true] null null true",
        "roles": "[AuthenticatedUser]",
        "updated": "Oslo Oslo",
        "kept": "null true Oslo",
        "elsewhere": "true",
        "ended": "true false",
        "deadLogout": "3064/401",
        "after": "'' null",
        "afterRestart": "''",
        "logoutOfNobody": "fine",
        "callbacks": "3003 bo@example.com null ''",
        "mistake": "0",
        "guest": "GUEST [NotAuthenticatedUser]",
        "unknownKey": "2002/400",
        "unknownKeyAtLogout": "2002/400",
    }
    assert list(tmp_path.glob("*.login")) == []


def test_what_is_kept_of_a_login_is_for_its_owner_alone(java: Java, tmp_path: Path) -> None:
    source = tmp_path / "Stay.java"
    source.write_text("""
        import gameserver.backendless.*;
        public class Stay {
            public static void main(String[] arguments) {
                Backendless.setUrl(System.getenv("SERVER_URL"));
                Backendless.initApp("demo", "java-key");
                Backendless.UserService.loginAsGuest(true);
            }
        }""")
    subprocess.run(
        [
            "javac",
            "-cp",
            java.folder / "build/gameserver-backendless.jar",
            "-d",
            java.folder / "build",
            source,
        ],
        check=True,
    )
    java.run("Stay")
    [kept] = (java.folder / ".gameserver").iterdir()
    assert (kept.name, kept.stat().st_mode & 0o077) == ("demo.login", 0)


def test_programs_of_the_guide_run(java: Java) -> None:
    assert java.run("LogOutAndCatch") == ["logged out"]
    assert java.run("LogOutInCallback") == ["logged in ada@example.com", "logged out"]
    assert java.run("LogOutAndCatch") == [
        "not registered: 3033 A user with this value of 'email' exists already.",
        "logged out",
    ]
