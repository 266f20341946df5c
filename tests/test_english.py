"""The English of the code: rules of style that a machine can check."""

import ast
import io
import re
import tokenize
from pathlib import Path

from pages import PAGES
from tiny_runs import ROOT

SOURCES = [
    path for room in ("src/lookwhy", "benchmarks", "tests") for path in sorted(ROOT.glob(f"{room}/**/*.py"))
]
FORBIDDEN = re.compile(r"(?:^|(?<=[.!?:] ))(Of|What|Whatever|Whoever) (?!does\b|is\b.*\?|.*\?)", re.M)
"""A sentence that begins with one of these has its subject at the end, or none. Questions may."""
PARTICIPLES = re.compile(
    r"_?(?:[A-Z][a-z]+(?:ed|en)|Kept|Told|Known|Made|Found|Read|Shown|Held|Sent|Left|Met|Built|Run)\Z"
)
"""Names of classes that say what happened to a thing and not what it is."""
NOUNS = {"Speed", "Seed", "Token", "Need", "Screen"}


def prose(path: Path) -> list[tuple[int, str]]:
    """Docstrings and comments of a file, with their lines; examples and literal blocks left out."""
    text, found = path.read_text(encoding="utf-8"), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.append((node.lineno, re.sub(r"\s+", " ", str(node.value.value)).strip()))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            found.append((token.start[0], token.string.lstrip("# ")))
    return found


def test_no_sentence_of_code_and_pages_begins_without_its_subject():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {match.group(0)}{text[match.end() : match.end() + 60]}"
        for path in SOURCES
        for line, text in prose(path)
        for match in FORBIDDEN.finditer(text)
    ]
    wrong += [
        f"{path.relative_to(ROOT)}: {line[:90]}"
        for path in PAGES
        for line in re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S).splitlines()
        if not line.startswith("#") and FORBIDDEN.search(line.lstrip("*-| "))
    ]
    assert not wrong, "\n".join(wrong)


def test_classes_are_named_by_nouns():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and PARTICIPLES.match(node.name)
        and node.name.strip("_") not in NOUNS
    ]
    assert not wrong, "\n".join(wrong)


def test_the_rules_find_what_they_forbid():
    assert FORBIDDEN.search("Of how many images it is held")
    assert FORBIDDEN.search("The rest. Whatever draws random numbers goes on")
    assert not FORBIDDEN.search("The features of an image")
    assert PARTICIPLES.match("Kept")
    assert PARTICIPLES.match("_Asked")
    assert not PARTICIPLES.match("AnsweredQuestion")
