"""The pages hold what they say: links, commands, options, keys and code exist, and their sentences are short."""

import ast
import fnmatch
import re
import shlex
import statistics
import subprocess
import tomllib
from typing import Any

import pytest
import typer.main
from page_reader import PAGES, ROOT, Page, count_words, split_sentences

from regsearch.search.cli.commands import app
from regsearch.studies.spec import StudySpec

WORDS_AT_MOST, WORDS_ON_AVERAGE = 35, 16
README_LINES, PICTURE_BYTES = 200, 150_000
PICTURES = ROOT / "studies" / "reports" / "pictures"
RUN, CHECKED, SHOWN = {"python"}, {"console", "sh", "bash", "toml", "yaml"}, {"text", "nginx"}
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

pages = pytest.mark.parametrize("page", [Page.of(path) for path in PAGES], ids=lambda page: page.name)


def options_of(command: str) -> set[str]:
    return {option for parameter in COMMANDS[command].params for option in parameter.opts} | {"--help"}


def shell_lines(page: Page) -> list[str]:
    """The lines of a page that a shell would run, without their prompt."""
    lines = [line.removeprefix("$ ") for code in page.code("console") for line in code.splitlines() if line[:2] == "$ "]
    return lines + [line for code in page.code("sh", "bash", "yaml") for line in code.splitlines()]


def commands_in(text: str) -> list[list[str]]:
    """Each call of regsearch in a shell's line: its command and what follows."""
    calls = [re.split(r"[;|&]", rest)[0] for rest in re.split(r"(?:^|[\s\"])regsearch (?=[a-z])", text)[1:]]
    return [shlex.split(call, comments=True) for call in calls]


def inline_code(page: Page) -> list[str]:
    return re.findall(r"`([^`\n]+)`", page.prose)


def problems_of_sentences(sentences: list[str]) -> list[str]:
    counts = [count_words(sentence) for sentence in sentences]
    long = [sentence for sentence, count in zip(sentences, counts, strict=True) if count > WORDS_AT_MOST]
    mean = statistics.fmean(counts or [0])
    return long + ([f"{mean:.1f} words a sentence"] if mean > WORDS_ON_AVERAGE else [])


def test_there_is_a_page_for_each_package() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in PAGES}
    assert folders >= {".", "studies", "studies/reports", "search", "search/training", "search/workers", "storage"}
    assert folders >= {"tests", "tests/benchmarks"}


@pages
def test_every_link_and_anchor_resolves(page: Page) -> None:
    for link in page.links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in Page.of(target).anchors, link


@pages
def test_every_page_can_be_reached_from_the_first(page: Page) -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in PAGES and path not in reached:
            reached.add(path)
            links = (link.partition("#")[0] for link in Page.of(path).links if "://" not in link)
            waiting += [(path.parent / link).resolve() for link in links]
    assert page.path in reached


@pages
def test_every_command_line_would_be_accepted(page: Page) -> None:
    for line in shell_lines(page):
        for name, *arguments in commands_in(line):
            assert name in COMMANDS, line
            try:
                COMMANDS[name].make_context(name, list(arguments))
            except Exception as error:  # noqa: BLE001 - typer's own copy of click is not public
                pytest.fail(f"{line}: {error}")


@pytest.mark.parametrize("line", ["regsearch status", "regsearch run --nothing", "regsearch stop a b"])
def test_a_wrong_command_line_would_be_found(line: str) -> None:
    ((name, *arguments),) = commands_in(line)
    with pytest.raises(Exception, match=r"Missing (argument|parameter)|No such option|unexpected extra"):
        COMMANDS[name].make_context(name, list(arguments))


@pages
def test_every_command_and_option_in_a_sentence_exists(page: Page) -> None:
    known = {option for command in COMMANDS for option in options_of(command)}
    for code in inline_code(page):
        calls = commands_in(code)
        for name, *arguments in calls:
            assert name in COMMANDS, code
            assert {part for part in arguments if part.startswith("--")} <= options_of(name), code
        if not calls and code.startswith("--") and not page.name.startswith("tests/"):
            assert code.split()[0].split("=")[0] in known, code


def test_each_command_is_in_exactly_one_reference() -> None:
    references = sorted(command for path in PAGES for command in Page.of(path).reference())
    made = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    expected = [f"regsearch {name}" for name in COMMANDS] + [f"make {target}" for target in made]
    scripts = [command for command in references if command.startswith("python ")]
    assert references == sorted(expected + scripts)
    for script in scripts:
        assert (ROOT / script.split()[1]).exists(), script


@pages
def test_every_make_target_exists(page: Page) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)`|^make ([a-z-]+)", page.text, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def test_the_study_file_on_its_page_has_every_key_and_the_defaults() -> None:
    page = Page.of(ROOT / "studies" / "README.md")
    (text,) = page.code("toml")
    shown = StudySpec.model_validate(tomllib.loads(text))
    assert shown == StudySpec().changed(study={"name": shown.study.name})
    commented = tomllib.loads(re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE))
    for name, field in StudySpec.model_fields.items():
        section: Any = field.annotation
        keys = getattr(section, "model_fields", None) or section.__args__[0].model_fields
        assert commented[name].keys() == keys.keys(), name


def test_every_ready_study_is_on_its_page() -> None:
    table = Page.of(ROOT / "studies" / "README.md").section("Ready studies")
    assert sorted(re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE)) == sorted(
        path.stem for path in (ROOT / "studies" / "catalog").glob("*.toml")
    )


@pages
def test_code_is_in_a_language_that_is_run_or_checked(page: Page) -> None:
    assert page.languages <= RUN | CHECKED | SHOWN
    for code in page.code("python"):
        ast.parse(code)
    for code in page.code("toml"):
        tomllib.loads(code)
    for code in page.code("sh", "bash"):
        done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), code


@pages
def test_every_path_and_variable_that_is_named_exists(page: Page) -> None:
    for code in inline_code(page):
        if re.fullmatch(r"(?:search|storage|studies|tests)/[\w./-]+", code) and "NAME" not in code:
            assert (ROOT / code).exists(), code
    folders = ("search", "storage", "studies", "tests/support", "tests/programs", "tests/benchmarks")
    sources = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    for variable in set(re.findall(r"REGSEARCH_[A-Z]+", page.text)):
        assert variable in sources, variable


def test_the_first_page_is_read_in_three_minutes() -> None:
    page = Page.of(ROOT / "README.md")
    assert len(page.text.splitlines()) <= README_LINES
    assert count_words(page.prose) <= 1500


@pages
def test_sentences_are_short(page: Page) -> None:
    assert problems_of_sentences(page.sentences()) == []
    assert [cell for cell in page.cells() if count_words(cell) > WORDS_AT_MOST] == []


def test_a_long_sentence_would_be_found() -> None:
    long = " ".join(["word"] * 36) + "."
    page = Page(
        path=ROOT / "x.md",
        text=f"# A heading\n\n- Short.\n- {long}\n\n| a | {long} |\n|---|---|\n\n```sh\n{long}\n```\n",
    )
    assert problems_of_sentences(page.sentences()) == [long, "18.5 words a sentence"]
    assert page.cells() == [long]
    assert problems_of_sentences(["One two three."] * 5) == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Is it three?", ["One.", "Two!", "Is it three?"]),
        ("It takes 0.5 s, e.g. here.", ["It takes 0.5 s, e.g. here."]),
        ("*Yes.* `code` follows.", ["*Yes.*", "`code` follows."]),
        ("over\ntwo lines", ["over two lines"]),
    ],
)
def test_sentences_end_where_they_end(text: str, sentences: list[str]) -> None:
    split = split_sentences(text)
    assert [count_words(sentence) for sentence in split] == [count_words(sentence) for sentence in sentences]


def test_the_words_of_a_link_count_and_its_address_does_not() -> None:
    assert count_words("See [the *long* page](a/b.md) and `two words --x`.") == 6


def test_pictures_are_small_and_used() -> None:
    files = sorted(PICTURES.iterdir())
    assert sum(file.stat().st_size for file in files) <= PICTURE_BYTES
    shown = {(path.parent / link).resolve() for path in PAGES for link in Page.of(path).links if "://" not in link}
    assert set(files) <= shown
    svg = (PICTURES / "terminal.svg").read_text()
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", svg)  # it asks for nothing elsewhere


def test_neither_pages_nor_pictures_are_shipped() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert not (ROOT / "MANIFEST.in").exists()
    shipped = setuptools["package-data"]["regsearch"]
    for path in [*PAGES, *PICTURES.iterdir()]:
        assert not any(fnmatch.fnmatch(str(path.relative_to(ROOT)), pattern) for pattern in shipped), path
    assert setuptools["package-data"].keys() == {"regsearch"}


def test_examples_of_the_reader_itself_hold() -> None:
    import doctest

    import page_reader

    assert doctest.testmod(page_reader).failed == 0
