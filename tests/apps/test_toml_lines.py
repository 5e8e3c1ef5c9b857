import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.apps.toml_lines import KeyPath, key_lines, nearest_line


def test_every_form_of_a_key_is_found() -> None:
    text = """\
# a comment with [brackets] and = signs
plain = 1
dotted.inner = 'it''s not a quote'
"quoted \\" key" = '#'
multi = \"\"\"
[not.a.table]
not_a_key = 1\\
\"\"\"\"\"
'literal' = '''
also = 2 '''
inline = { a = 1, b.c = [ 2, { d = "x" } ] }
list = [ # with a comment, and a comma
  1,
  [ 2,
    3 ],
]

[table]
key = 2024-01-01T00:00:00Z
[ table . "sub table" ]
key = 1
[[rows]]
name = 1
[rows.child]
x = 1
[[rows.inner]]
y = 1
[[rows]]
name = 2
[[rows.inner]]
y = 2
"""
    text = text.replace("'it''s not a quote'", '"it\'s # not a comment"')
    tomllib.loads(text)
    expected: dict[KeyPath, int] = {
        ("plain",): 2,
        ("dotted", "inner"): 3,
        ('quoted " key',): 4,
        ("multi",): 5,
        ("literal",): 9,
        ("inline", "a"): 11,
        ("inline", "b", "c", 1, "d"): 11,
        ("list", 1, 0): 14,
        ("list", 1, 1): 15,
        ("table",): 18,
        ("table", "key"): 19,
        ("table", "sub table"): 20,
        ("table", "sub table", "key"): 21,
        ("rows",): 22,
        ("rows", 0, "child", "x"): 25,
        ("rows", 0, "inner", 0, "y"): 27,
        ("rows", 1): 28,
        ("rows", 1, "name"): 29,
        ("rows", 1, "inner", 0, "y"): 31,
    }
    found = key_lines(text)
    assert {path: found.get(path) for path in expected} == expected


def test_a_key_that_is_not_there_is_placed_at_its_table() -> None:
    lines = key_lines("id = 1\n\n[session]\nmost = 1\n")
    assert nearest_line(lines, ("session", "life_seconds")) == 3
    assert nearest_line(lines, ("secret",)) == 1


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
scalars = st.one_of(
    st.integers(-9, 9), st.booleans(), texts, st.sampled_from(["multi\nline", "''", '"', "#]}"])
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


class Writer:
    """Writes tables as TOML in ways that chance picks, and remembers the line of every key."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def note(self, path: KeyPath) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def key(self, key: str) -> str:
        bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
        if bare and self.draw(st.booleans()):
            return key
        return (
            f"'{key}'" if "'" not in key and self.draw(st.booleans()) else json.dumps(key, ensure_ascii=False)
        )

    def blank(self) -> None:
        self.text += self.draw(st.sampled_from(["", "\n", "# key = [\n", "\n\t# '''\n"]))

    def value(self, path: KeyPath, value: Any) -> None:
        if isinstance(value, list):
            self.text += "["
            for index, item in enumerate(value):
                self.blank()
                self.note((*path, index))
                self.value((*path, index), item)
                self.blank()
                self.text += ","
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{ "
            for index, (key, item) in enumerate(value.items()):
                self.text += ", " if index else ""
                self.note((*path, key))
                self.text += self.key(key) + " = "
                self.value((*path, key), item)
            self.text += " }"
        elif isinstance(value, str) and "'" not in value and self.draw(st.booleans()):
            self.text += f"'''{value}'''"
        elif isinstance(value, str) and "\n" in value and self.draw(st.booleans()):
            self.text += f'"""{value}"""'
        else:
            self.text += json.dumps(value, ensure_ascii=False)

    def table(self, path: KeyPath, table: dict[str, Any]) -> None:
        later = []
        for key, value in table.items():
            if isinstance(value, dict) and self.draw(st.booleans()):
                later.append((key, value))
                continue
            self.blank()
            self.note((*path, key))
            self.text += f"{self.key(key)} = "
            self.value((*path, key), value)
            self.text += "\n"
        for key, value in later:
            self.blank()
            self.note((*path, key))
            self.text += "[" + ".".join(self.key(str(part)) for part in (*path, key)) + "]\n"
            self.table((*path, key), value)


@given(st.data(), st.dictionaries(texts, values, max_size=4))
def test_any_text_of_keys_and_tables(data: Any, table: dict[str, Any]) -> None:
    writer = Writer(data.draw)
    writer.table((), table)
    try:
        parsed = tomllib.loads(writer.text)
    except tomllib.TOMLDecodeError:
        pytest.fail(f"the writer of this test wrote no TOML:\n{writer.text}")
    assert parsed == table
    assert key_lines(writer.text) == writer.lines
