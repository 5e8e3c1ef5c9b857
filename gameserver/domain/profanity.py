"""Words that nobody wants to read: found in what players write, in time that grows with its length alone.

A word of a list is found where it stands by itself, and not within other words: `ass` is not in `class`.
With a star it is also found at the beginning of others (`fuck*`), at their end, or within them. Found as well
are the usual ways around: letters apart (`f u c k`, `fu-ck`), digits and signs for letters (`sh1t`, `a$$`),
letters that look alike in other alphabets, accents, letters that nobody sees, and letters that are repeated.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

WORD_MAX = 64  # letters of a word
_APART_LEAST = 4  # letters of a word that is found among single letters
_WHOLE_LEAST = 3  # of one that is all of them
_PARTS_MAX = 3  # signs within what is put together, so that a sentence without blanks is none

_ALIKE = {  # letters of other alphabets, and what most fonts draw them like
    # Cyrillic
    0x430: "a",
    0x435: "e",
    0x43E: "o",
    0x440: "p",
    0x441: "c",
    0x443: "y",
    0x445: "x",
    0x43A: "k",
    0x43C: "m",
    0x442: "t",
    0x432: "b",
    0x43D: "h",
    0x4CF: "l",
    0x456: "i",
    0x458: "j",
    0x455: "s",
    0x501: "d",
    0x51B: "q",
    0x51D: "w",
    0x4BB: "h",
    0x454: "e",
    # Greek
    0x3B1: "a",
    0x3B2: "b",
    0x3B5: "e",
    0x3BF: "o",
    0x3C1: "p",
    0x3B9: "i",
    0x3C5: "u",
    0x3BA: "k",
    0x3BD: "v",
    0x3C4: "t",
    0x3C7: "x",
    0x3B3: "y",
    0x3BC: "m",
    0x3B7: "n",
    # Latin
    0x142: "l",
    0xF8: "o",
    0x111: "d",
    0x131: "i",
    0x251: "a",
    0x261: "g",
    # Armenian
    0x585: "o",
    0x57D: "u",
    0x570: "h",
    0x581: "g",
}
_SIGNS = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g"}
_SIGNS |= {"@": "a", "$": "s", "!": "i", "|": "i", "€": "e", "£": "l", "¡": "i", "+": "t"}
_OTHER_SIGNS = _SIGNS | {"1": "l", "|": "l", "!": "l"}
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,8}")
_PHONE = re.compile(r"(?<![\w.])\+?\d(?:[ ().\-]{0,2}\d){6,14}(?![\w.])")
_URL = re.compile(
    r"(?:https?://|www\.)[^\s]{1,2048}"
    r"|(?<![\w@.\-])[A-Za-z0-9\-]{1,63}\.(?:com|net|org|info|io|gg|tv|me|co|de|fr|es|it|uk|ru|cn|jp)(?:/[^\s]{0,2048})?(?![\w.])",
    re.IGNORECASE,
)


class Span(NamedTuple):
    """A part of a text that was found."""

    start: int
    end: int


class _Letter(NamedTuple):
    """A letter as it is compared, and where it stands. `sign` is what it was written with, if no letter."""

    letter: str
    place: int
    sign: str


class _Pattern(NamedTuple):
    """A word: how often each letter stands in a row, and whether others may stand before or behind it."""

    counts: tuple[int, ...]
    open_start: bool
    open_end: bool


class _Node:
    __slots__ = ("children", "patterns")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.patterns: list[_Pattern] = []


@lru_cache(4096)
def _letters_of(character: str) -> str:
    """Return what a character is compared as: no accents, no case, Latin where it looks so."""
    if unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return ""
    plain = unicodedata.normalize("NFKD", character).casefold()
    return "".join(
        each for each in plain.translate(_ALIKE) if unicodedata.category(each) not in ("Cf", "Mn", "Me")
    )


def _runs(letters: Iterable[str]) -> tuple[list[str], list[int]]:
    """Return letters without repetitions, and how often each stood in a row."""
    found, counts = list[str](), list[int]()
    for letter in letters:
        if found and found[-1] == letter:
            counts[-1] += 1
        else:
            found.append(letter)
            counts.append(1)
    return found, counts


class WordFilter:
    """Finds the words of a list. `allowed` are words that are none of them, though they look like it."""

    def __init__(self, words: Iterable[str], allowed: Iterable[str] = ()) -> None:
        self._root = _Node()
        self._open = False  # whether a word may begin within another
        self._allowed = {"".join(map(_letters_of, word)) for word in allowed}
        self.is_empty = True
        for word in words:
            self._add(word)

    def _add(self, word: str) -> None:
        bare = "".join(map(_letters_of, word.strip("*")))[:WORD_MAX]
        letters, counts = _runs(each for each in bare if each.isalnum())
        if not letters:
            return
        node = self._root
        for letter in letters:
            node = node.children.setdefault(letter, _Node())
        pattern = _Pattern(tuple(counts), word.startswith("*"), word.endswith("*"))
        node.patterns.append(pattern)
        self._open = self._open or pattern.open_start
        self.is_empty = False

    def find(self, text: str) -> list[Span]:
        """Return where words of the list stand, in order, each part of the text at most once."""
        chunks = [list(_split(chunk)) for chunk in _chunks(text)]
        spans = [span for words in chunks for span in self._in_chunk(words)]
        spans += self._apart(word for words in chunks for word in words)
        return merged(spans)

    # Words

    def _in_chunk(self, words: list[list[_Letter]]) -> Iterator[Span]:
        """Find what stands in words without blanks between them: in each, and in all together."""
        hit = False
        for word in words:
            for start, end in self._in_word(word):
                hit = True
                yield Span(word[start].place, word[end - 1].place + 1)
        if not hit and 1 < len(words) <= _PARTS_MAX:
            whole = [letter for word in words for letter in word]
            for start, end in self._in_word(whole):
                yield Span(whole[start].place, whole[end - 1].place + 1)

    def _in_word(self, word: Sequence[_Letter]) -> Iterator[tuple[int, int]]:
        """Find words of the list in a word, written as it is, or with signs for letters."""
        if not any(not letter.sign for letter in word):  # a number is no word
            return
        start, end = 0, len(word)
        while end > start and word[end - 1].sign in ("!", "|", "+", "¡"):
            end -= 1
        while start < end and word[start].sign in ("!", "|", "+", "¡"):
            start += 1
        tries = [(0, len(word)), (start, end)] if (start, end) != (0, len(word)) else [(0, len(word))]
        for first, last in tries:
            part = word[first:last]
            has_signs = any(letter.sign for letter in part)
            for signs in (_SIGNS, _OTHER_SIGNS) if has_signs else (None,):
                letters = [signs[each.sign] if signs and each.sign else each.letter for each in part]
                found = self._match(letters)
                if found is not None:
                    yield first + found[0], first + found[1]
                    return

    def _match(self, letters: Sequence[str]) -> tuple[int, int] | None:
        """Return where a word of the list stands in letters that are one word."""
        if "".join(letters) in self._allowed:
            return None
        chars, counts = _runs(letters)
        places = [0]
        for count in counts:
            places.append(places[-1] + count)
        for start in range(len(chars) if self._open else 1):
            node = self._root
            for end in range(start, min(len(chars), start + WORD_MAX)):
                child = node.children.get(chars[end])
                if child is None:
                    break
                node = child
                for pattern in node.patterns:
                    if start and not pattern.open_start:
                        continue
                    if end + 1 < len(chars) and not pattern.open_end:
                        continue
                    if all(map(int.__ge__, counts[start : end + 1], pattern.counts)):
                        # Of alphabets that part words, the whole word.
                        is_part = "".join(letters).isascii()
                        return (0, len(letters)) if is_part else (places[start], places[end + 1])
        return None

    # Letters apart

    def _apart(self, words: Iterable[list[_Letter]]) -> Iterator[Span]:
        """Find words whose letters stand apart: `f u c k`, `f.u.c.k`."""
        row: list[_Letter] = []
        for word in words:
            if (
                len(_runs(letter.letter for letter in word)[0]) == 1
                and word[0].place - _end(row) <= _PARTS_MAX
            ):
                row += word
                continue
            yield from self._in_row(row)
            row = list(word) if len(_runs(letter.letter for letter in word)[0]) == 1 else []
        yield from self._in_row(row)

    def _in_row(self, row: list[_Letter]) -> Iterator[Span]:
        """Find words in a row of single letters."""
        chars, counts = _runs(_SIGNS.get(letter.sign, letter.letter) for letter in row)
        places = [0]
        for count in counts:
            places.append(places[-1] + count)
        start = 0
        while start < len(chars):
            node, end, best = self._root, start, 0
            while end < min(len(chars), start + WORD_MAX) and chars[end] in node.children:
                node = node.children[chars[end]]
                end += 1
                is_whole = not start and end == len(chars)
                if any(
                    sum(pattern.counts) >= (_WHOLE_LEAST if is_whole else _APART_LEAST)
                    and all(map(int.__ge__, counts[start:end], pattern.counts))
                    for pattern in node.patterns
                ):
                    best = end
            if best and any(not each.sign for each in row[places[start] : places[best]]):
                yield Span(row[places[start]].place, row[places[best] - 1].place + 1)
                start = best
            else:
                start += 1


def contacts(text: str, *, emails: bool, phones: bool, urls: bool) -> list[Span]:
    """Return where mail addresses, phone numbers and web addresses stand."""
    wanted = ((emails, _EMAIL), (phones, _PHONE), (urls, _URL))
    return [
        Span(*match.span())
        for is_wanted, expression in wanted
        if is_wanted
        for match in expression.finditer(text)
    ]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order; those that overlap become one."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start < found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def replaced(text: str, spans: Iterable[Span], symbol: str) -> str:
    """Return a text with a symbol for each character of some parts of it but for blanks."""
    parts, done = list[str](), 0
    for span in spans:
        hidden = [each if each.isspace() else symbol for each in text[span.start : span.end]]
        parts += [text[done : span.start], *hidden]
        done = span.end
    return "".join([*parts, text[done:]])


# How a text is taken apart


def _end(row: list[_Letter]) -> int:
    return row[-1].place + 1 if row else 10**9


def _compared(text: str) -> Iterator[_Letter | None]:
    """Yield the characters of a text as they are compared; None for what is between words."""
    for place, character in enumerate(text):
        letters = _letters_of(character)
        if character in _SIGNS:
            yield _Letter(character, place, character)
            continue
        if not letters and not character.isspace():
            continue  # nobody sees it
        if not letters.strip():
            yield None
            continue
        for letter in letters:
            yield _Letter(letter, place, letter if letter in _SIGNS else "")


def _chunks(text: str) -> Iterator[list[_Letter]]:
    """Yield what stands between blanks."""
    chunk: list[_Letter] = []
    for letter in _compared(text):
        if letter is None:
            if chunk:
                yield chunk
            chunk = []
        else:
            chunk.append(letter)
    if chunk:
        yield chunk


def _split(chunk: Iterable[_Letter]) -> Iterator[list[_Letter]]:
    """Yield the words of a chunk: letters, digits and the signs that may stand for letters."""
    word: list[_Letter] = []
    for letter in chunk:
        if letter.letter.isalnum() or letter.sign:
            word.append(letter)
        elif word:
            yield word
            word = []
    if word:
        yield word
