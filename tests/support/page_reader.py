"""Reads a Markdown page: its code blocks, headings, links, tables and sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = sorted(
    path
    for path in ROOT.rglob("README.md")
    if not any(part == "build" or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
"""The pages, the one at the top included."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
_END = re.compile(r"(?<=[.!?])[*_\"')]*\s+(?=[\"'(*_]*[A-Z0-9`])")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
_CELL_WORDS = 8
"""From how many words on a cell of a table is read as a sentence."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page and what is on it.

    Attributes:
        path: of the file.
        text: all of it.
    """

    path: Path
    text: str

    @classmethod
    def of(cls, path: Path) -> "Page":
        """Read a file."""
        return cls(path=path, text=path.read_text())

    @property
    def name(self) -> str:
        """Its path within the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def prose(self) -> str:
        """The text without its code blocks."""
        return _FENCE.sub("", self.text)

    def code(self, *languages: str) -> list[str]:
        """Return the code blocks in these languages; "" is none."""
        return [code for language, code in _FENCE.findall(self.text) if language in languages]

    @property
    def languages(self) -> set[str]:
        """The languages of its code blocks."""
        return {language for language, _ in _FENCE.findall(self.text)}

    @property
    def links(self) -> list[str]:
        """Where its links and pictures point to."""
        links = [target for pattern in (_IMAGE, _LINK) for _, target in pattern.findall(self.prose)]
        return [*links, *re.findall(r'src="([^"]+)"', self.prose)]

    @property
    def anchors(self) -> set[str]:
        """The names of its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", _plain(heading).lower()).replace(" ", "-") for heading in headings}

    def section(self, heading: str) -> str:
        """Return what stands below a heading of the second level, up to the next one; "" if there is none."""
        _, found, rest = self.text.partition(f"\n## {heading}\n")
        return rest.split("\n## ")[0] if found else ""

    def reference(self) -> list[str]:
        """Return the commands that this page is the reference of.

        They stand in the first column of the table below the heading "Commands", such as `regsearch run [STUDY]`.
        """
        first_cells = re.findall(r"^\| `([^`]*)`", self.section("Commands"), re.MULTILINE)
        return [" ".join(cell.split()[:2]) for cell in first_cells]

    def sentences(self) -> list[str]:
        """Return the sentences outside of code, tables and headings; a list's items are sentences of their own."""
        return [sentence for paragraph in _paragraphs(self.prose) for sentence in split_sentences(paragraph)]

    def cells(self) -> list[str]:
        """Return the sentences in the cells of tables that are as long as a sentence."""
        rows = re.findall(r"^\s*\|(.*)\|\s*$", self.prose, re.MULTILINE)
        cells = (cell for row in rows for cell in re.split(r"(?<!\\)\|", row))
        return [
            sentence for cell in cells for sentence in split_sentences(cell) if count_words(sentence) >= _CELL_WORDS
        ]


def count_words(sentence: str) -> int:
    """Return the number of words: what has a letter or a digit; code is one word.

    Example:
        >>> count_words("Two or `regsearch run mnist`: 3 – no more.")
        6
    """
    return len([word for word in _plain(sentence).split() if re.search(r"\w", word)])


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a paragraph.

    Example:
        >>> split_sentences("One thought. Another one, of 0.5 s: it\\nends here.")
        ['One thought.', 'Another one, of 0.5 s: it ends here.']
    """
    return [sentence for part in _END.split(" ".join(text.split())) if (sentence := part.strip())]


def _plain(text: str) -> str:
    """Return text without the signs of Markdown: a link is its words, code is one word."""
    text = _LINK.sub(r"\1", _IMAGE.sub("", text))
    text = re.sub(r"<[^>]+>", "", text)
    return re.sub(r"`([^`]*)`", lambda code: "".join(code[1].split()) or "code", text).replace("*", "")


def _paragraphs(prose: str) -> Iterator[str]:
    """Yield paragraphs and the items of lists, without headings, tables and HTML."""
    lines: list[str] = []
    for line in [*prose.splitlines(), ""]:
        is_item = _ITEM.match(line) is not None
        is_other = not line.strip() or line.lstrip().startswith(("#", "|", "<", "!["))
        if lines and (is_item or is_other):
            yield " ".join(lines)
            lines = []
        if not is_other:
            lines.append(_ITEM.sub("", line))
