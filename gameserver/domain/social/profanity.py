"""Words that nobody wants to read: found in what players write, in time that grows with its length alone.

A word of a list is found where it stands by itself, and not within other words: `ass` is not in `class`.
With a star it is also found at the beginning of others (`fuck*`), at their end, or within them. Found as well
are the usual ways around: letters apart (`f u c k`, `fu-ck`), digits and signs for letters (`sh1t`, `a$$`),
letters that look alike in other alphabets, accents, letters that nobody sees, and letters that are repeated.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
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
_SPELLINGS = tuple(
    str.maketrans(_SIGNS | other) for other in (dict[str, str](), {"1": "l", "|": "l", "!": "l"})
)
_EDGES = "!|+¡"  # signs that more often than not are none of a word's letters, where it begins or ends
_CHUNK = re.compile(r"\S+")  # what stands between blanks
_WORD = re.compile(rf"(?:[^\W_]|[{re.escape(''.join(_SIGNS))}])+")
_SIGNS_ALONE = re.compile(rf"[{re.escape(''.join(_SIGNS))}]*")
_RUN = re.compile(r"((.)\2*)", re.DOTALL)  # of one letter
_REPEATED = re.compile(r"(.)\1+", re.DOTALL)
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


class _Pattern(NamedTuple):
    """A word: how often each letter stands in a row, and whether others may stand before or behind it."""

    counts: tuple[int, ...]
    open_start: bool
    open_end: bool
    language: str

    def fits(self, counts: Sequence[int]) -> bool:
        """Tell whether letters stand in a row as often as the word wants it."""
        return all(map(int.__ge__, counts, self.counts))


class _Node:
    """A place in a tree of words, whose letters lead there one by one, repetitions left out."""

    __slots__ = ("children", "patterns")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.patterns: list[_Pattern] = []

    def add(self, letters: str, pattern: _Pattern) -> None:
        """Add a word."""
        node = self
        for letter in letters:
            node = node.children.setdefault(letter, _Node())
        node.patterns.append(pattern)


class WordFilter:
    """Finds the words of lists by language. `allowed` are none of them, though they look like it."""

    def __init__(self, words: Mapping[str, Iterable[str]], allowed: Iterable[str] = ()) -> None:
        self.tree = _Node()
        self.tree_within = _Node()  # of words that may begin within another one
        self.allowed = frozenset("".join(map(_letters_of, word)) for word in allowed)
        self.languages = frozenset(
            [language for language, those in words.items() for word in those if self._add(word, language)]
        )
        """Those that there are words for."""
        self.begin_within = re.compile(f"(?={self._beginnings() or '$.'})")

    def _add(self, word: str, language: str) -> bool:
        bare = "".join(map(_letters_of, word.strip("*")))[:WORD_MAX]
        letters = "".join(filter(str.isalnum, bare))
        if letters:
            pattern = _Pattern(_counts(letters), word.startswith("*"), word.endswith("*"), language)
            self.tree.add(_squeezed(letters), pattern)
            if pattern.open_start:
                self.tree_within.add(_squeezed(letters), pattern)
        return bool(letters)

    def _beginnings(self) -> str:
        """Return the expression for places where one of the words that may begin within others might."""
        return "|".join(
            re.escape(first) + ("" if node.patterns else f"[{''.join(map(re.escape, node.children))}]")
            for first, node in self.tree_within.children.items()
        )

    def find(self, text: str, languages: Collection[str] | None = None) -> list[Span]:
        """Return where words of some languages, or of all, stand: in order, each part of the text once."""
        seen, places = _compared(text)
        search = _Search(self, seen, self.languages if languages is None else languages)
        return merged(Span(places[start], places[end - 1] + 1) for start, end in search.found(places))


class _Search:
    """The search for a filter's words in a text as it is compared. Spans are within that text, or a word."""

    def __init__(self, words: WordFilter, seen: str, languages: Collection[str]) -> None:
        self._words, self._seen, self._languages = words, seen, languages
        self._known: dict[str, Span | None] = {}  # words that were looked at

    def found(self, places: Sequence[int]) -> Iterator[Span]:
        """Find words. `places` are those of the letters in the text as it was written."""
        row: list[Span] = []  # of words of one letter, repeated or not
        for chunk in _CHUNK.finditer(self._seen):
            words = [Span(*match.span()) for match in _WORD.finditer(self._seen, *chunk.span())]
            yield from self._in_chunk(words)
            for word in words:
                is_single = self._is_single(word)
                if row and not (is_single and places[word.start] - places[row[-1].end - 1] <= _PARTS_MAX + 1):
                    yield from self._in_row(row)
                    row = []
                if is_single:
                    row.append(word)
        yield from self._in_row(row)

    def _is_single(self, word: Span) -> bool:
        """Tell whether a word is one letter, repeated or not."""
        first, length = self._seen[word.start], word.end - word.start
        return self._seen[word.end - 1] == first and self._seen.count(first, *word) == length

    # Words

    def _in_chunk(self, words: list[Span]) -> Iterator[Span]:
        """Find what stands in words without blanks between them: in each, or else in all together."""
        hits = [
            Span(word.start + hit.start, word.start + hit.end)
            for word in words
            if (hit := self._in_word(self._seen[slice(*word)])) is not None
        ]
        yield from hits
        if not hits and 1 < len(words) <= _PARTS_MAX:
            hit = self._in_word("".join([self._seen[slice(*word)] for word in words]))
            if hit is not None:
                places = _places(words)
                yield Span(places[hit.start], places[hit.end - 1] + 1)

    def _in_word(self, word: str) -> Span | None:
        """Find a word of the list in a word, written as it is, or with signs for letters."""
        if word not in self._known:
            self._known[word] = self._match(word) if word.isalpha() else self._spelled(word)
        return self._known[word]

    def _spelled(self, word: str) -> Span | None:
        """The same of a word with signs or digits."""
        if _SIGNS_ALONE.fullmatch(word):  # a number is no word
            return None
        first, last = len(word) - len(word.lstrip(_EDGES)), len(word.rstrip(_EDGES))
        for start, end in dict.fromkeys([(0, len(word)), (first, last)]):
            part = word[start:end]
            for letters in dict.fromkeys(part.translate(spelling) for spelling in _SPELLINGS):
                hit = self._match(letters)
                if hit is not None:
                    return Span(start + hit.start, start + hit.end)
        return None

    def _match(self, letters: str) -> Span | None:
        """Return where a word of the list stands in letters that are one word."""
        if letters in self._words.allowed:
            return None
        chars, tree = _squeezed(letters), self._words.tree
        for start in chain([0], (match.start() for match in self._words.begin_within.finditer(chars, 1))):
            node = tree.children.get(chars[start])
            end = start + 1
            while node is not None:
                if node.patterns and self._is_word(node.patterns, letters, start, end, len(chars)):
                    # Of alphabets that do not part words, only what was found.
                    return Span(0, len(letters)) if letters.isascii() else _unsqueezed(letters, start, end)
                node = node.children.get(chars[end]) if end < len(chars) else None
                end += 1
            tree = self._words.tree_within
        return None

    def _is_word(self, patterns: list[_Pattern], letters: str, start: int, end: int, length: int) -> bool:
        """Tell whether one of some patterns, whose letters stand at a place, may stand there."""
        fitting = [
            pattern
            for pattern in patterns
            if pattern.language in self._languages
            and (not start or pattern.open_start)
            and (end == length or pattern.open_end)
        ]
        if not fitting:
            return False
        if len(letters) == length and all(max(pattern.counts) == 1 for pattern in fitting):
            return True
        counts = _counts(letters)[start:end]
        return any(pattern.fits(counts) for pattern in fitting)

    # Letters apart

    def _in_row(self, row: list[Span]) -> Iterator[Span]:
        """Find words whose letters stand apart in a row of words of one letter: `f u c k`, `f.u.c.k`."""
        if sum(word.end - word.start for word in row) < _WHOLE_LEAST:
            return
        written = "".join([self._seen[slice(*word)] for word in row])
        letters = written.translate(_SPELLINGS[0])
        chars, counts, places = _squeezed(letters), _counts(letters), _places(row)
        start, place = 0, 0  # in letters without repetitions, and with them
        while start < len(chars):
            node, end, best = self._words.tree, start, 0
            while end < len(chars) and chars[end] in node.children:
                node = node.children[chars[end]]
                end += 1
                least = _WHOLE_LEAST if not start and end == len(chars) else _APART_LEAST
                if any(
                    pattern.language in self._languages
                    and sum(pattern.counts) >= least
                    and pattern.fits(counts[start:end])
                    for pattern in node.patterns
                ):
                    best = end
            hit = Span(place, place + sum(counts[start:best]))
            if best and not _SIGNS_ALONE.fullmatch(written, *hit):
                yield Span(places[hit.start], places[hit.end - 1] + 1)
                start, place = best, hit.end
            else:
                place += counts[start]
                start += 1


def _squeezed(letters: str) -> str:
    """Return letters without repetitions."""
    return _REPEATED.sub(r"\1", letters)


def _counts(letters: str) -> tuple[int, ...]:
    """Return how often each letter stands in a row."""
    return tuple([len(run) for run, _ in _RUN.findall(letters)])


def _unsqueezed(letters: str, start: int, end: int) -> Span:
    """Return where in letters some of those without repetitions stand."""
    counts = _counts(letters)
    return Span(sum(counts[:start]), sum(counts[:end]))


def _places(words: Iterable[Span]) -> list[int]:
    """Return where the letters of words that are put together stand in the text."""
    return [place for word in words for place in range(*word)]


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


# How a text is compared


@lru_cache(4096)
def _letters_of(character: str) -> str:
    """Return what a character is compared as: no accents, no case, Latin where it looks so."""
    if unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return ""
    plain = unicodedata.normalize("NFKD", character).casefold()
    return "".join(
        each for each in plain.translate(_ALIKE) if unicodedata.category(each) not in ("Cf", "Mn", "Me")
    )


@lru_cache(4096)
def _seen_as(character: str) -> str:
    """Return what a character of a text is compared as: nothing for one that nobody sees."""
    if character in _SIGNS:
        return character
    letters = _letters_of(character)
    return letters and (letters.strip() or " ")


def _compared(text: str) -> tuple[str, Sequence[int]]:
    """Return a text as it is compared, and for each of its letters the place in the text."""
    if text.isascii():
        return text.lower(), range(len(text))
    pieces = list(map(_seen_as, text))
    return "".join(pieces), [place for place, piece in enumerate(pieces) for _ in piece]
