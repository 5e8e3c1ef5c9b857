"""The prose of `protocol/`: its worked example is right, its links lead somewhere, its JSON is JSON."""

import ast
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from gameserver.protocol_export import general_errors

FOLDER = Path(__file__).parents[2] / "protocol"
PAGES = sorted(FOLDER.rglob("*.md"))
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


def test_the_worked_signature_is_right() -> None:
    text = (FOLDER / "signature.md").read_text("utf-8")
    facts = dict(re.findall(r"^\| (secret|body|bytes|X-SIG) \| `(.+)` \|$", text, re.MULTILINE))
    body = facts["body"].encode()
    assert len(body) == int(facts["bytes"])
    assert hashlib.md5(body + facts["secret"].encode()).hexdigest() == facts["X-SIG"]
    assert json.loads(body)["messages"]
    [tailed] = re.findall(r"With CR LF CR LF behind the body the signature is `(\w+)`", text)
    assert hashlib.md5(body + b"\r\n\r\n" + facts["secret"].encode()).hexdigest() == tailed


def test_the_worked_gzip_is_right() -> None:
    text = (FOLDER / "signature.md").read_text("utf-8")
    [packed] = re.findall(r"^gzip, as hex: `([0-9a-f]+)`$", text, re.MULTILINE)
    [body] = re.findall(r"^\| body \| `(.+)` \|$", text, re.MULTILINE)
    assert gzip.decompress(bytes.fromhex(packed)).decode() == body


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(FOLDER)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_every_page_is_linked_from_the_first() -> None:
    first = (FOLDER / "README.md").read_text("utf-8")
    for page in PAGES[1:]:
        assert f"({page.relative_to(FOLDER)})" in first or page.name == "README.md", page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(FOLDER)))
def test_examples_in_json_are_json(page: Path) -> None:
    for example in re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        json.loads(example)


def texts_of_the_server() -> set[str]:
    """The text constants of the sources, and the fixed parts of those that are put together."""
    found = set()
    for path in (FOLDER.parent / "gameserver").rglob("*.py"):
        if "migrations" not in path.parts:
            tree = ast.parse(path.read_text("utf-8"))
            found |= {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


def test_the_texts_that_are_explained_are_those_of_the_server() -> None:
    page = (FOLDER.parent / "docs" / "troubleshooting.md").read_text("utf-8")
    [part] = re.findall(r"^## By what it says$(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    explained = re.findall(r"^\| `(.+?)` \|", part, re.MULTILINE)
    assert len(explained) > 10
    texts = texts_of_the_server()
    strange = [
        fixed
        for text in explained
        for fixed in text.split("…")
        if fixed.strip() and not any(fixed in known for known in texts)
    ]
    assert strange == []


def test_there_is_advice_for_every_general_reason_code() -> None:
    page = (FOLDER.parent / "docs" / "troubleshooting.md").read_text("utf-8")
    rows = re.findall(r"^\| ((?:\d{5}(?:, )?)+) \|", page, re.MULTILINE)
    advised = {int(code) for row in rows for code in row.split(", ")}
    codes = {kind.reason_code for kind in general_errors()}
    assert codes <= advised, "docs/troubleshooting.md says what to do"
    of_services = {
        error["code"]
        for method in json.loads((FOLDER / "operations.json").read_text("utf-8"))["methods"]
        for error in method["errors"]
    }
    assert advised <= codes | of_services | {90001, 90200}
