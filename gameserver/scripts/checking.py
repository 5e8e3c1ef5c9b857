"""What keeps a text from being run as a script, and what is changed so that it runs as on Rhino."""

import re

import quickjs


def mistake_in(text: str) -> tuple[int, str] | None:
    """Return the line of a mistake that keeps the text from being run, and what is wrong; None for most."""
    late = _LATE_INCLUDE.search(_code(text))
    if late:
        line = text.count("\n", 0, late.start()) + 1
        return line, "bridge.include stands at the top, before all else, with the path as a text"
    try:
        # The first line ends the run before anything of the script has run.
        quickjs.Context().eval("(0, eval)")(f"throw 0;\n{text}")
    except (quickjs.JSException, quickjs.StackOverflow) as error:
        said = str(error)
        if said.startswith("0\n"):
            return None
        found = _PLACE.search(said)
        line = int(found[1]) - 1 if found else 1
        source = text.split("\n")[max(line - 1, 0)]
        rhino = next((told for form, told in _RHINO if form.search(source)), "")
        return line, said.partition("\n")[0] + rhino
    return None


_PLACE = re.compile(r"<input>:(\d+):\d+")
_LATE_INCLUDE = re.compile(r"\bbridge\s*\.\s*include\s*\(", re.IGNORECASE)
_RHINO = (
    (re.compile(r"\bfor\s+each\b"), ": write for (const x of Object.values(list)) for Rhino's `for each`"),
    (
        re.compile(r"\bcatch\s*\(\s*\w+\s+if\b"),
        ": write an `if` within the block for Rhino's `catch (e if …)`",
    ),
    (
        re.compile(r"\bfunction\b[^{]*\)\s*[^\s{]"),
        ": write `{ return … }` for Rhino's function without a block",
    ),
    (re.compile(r"\blet\s*\("), ": write a block with `let` for Rhino's `let (…)`"),
    (re.compile(r"\[[^\]]*\bfor\b"), ": write `map` and `filter` for Rhino's array comprehension"),
    (re.compile(r"\bconst\s+\w+\s*(;|$)"), ": a const needs a value, unlike Rhino's"),
    (re.compile(r"=\s*<"), ": write the XML as a text; Rhino's E4X is not JavaScript"),
)


def loosened(text: str) -> str:
    """Blank out "use strict" in functions: Rhino is as loose with it as without. At the top it does nothing.

    Texts and comments stay as they are.
    """
    found = list(_STRICT.finditer(text))
    if not found:
        return text
    code = _code(text)
    for match in found:
        if code[match.start()] == "{":  # and not within a text or a comment
            text = text[: match.start(1)] + " " * len(match[1]) + text[match.end(1) :]
    return text


_STRICT = re.compile(r"""\{\s*("use strict"|'use strict')""")


def _code(text: str) -> str:
    """Blank out comments, texts and regular expressions; lines stay."""
    return _NOT_CODE.sub(lambda found: _NOT_LINE_END.sub(" ", found[0]), text)


_NOT_LINE_END = re.compile(r"[^\n]")
_NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"""
    r"""|(?<=[=(,:;!&|?{}\[\n+*%~^<>-])[ \t]*/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/""",
    re.DOTALL,
)
