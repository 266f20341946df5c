"""The README and the pages of docs: their commands parse, their files exist, and their lines fit."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from pages import PAGES, code_blocks
from tiny_runs import ROOT, parse_only

from lookwhy.cli import prepare
from lookwhy.cli.analyze import SUBCOMMANDS, build_parser, with_subcommand

README = (ROOT / "README.md").read_text()
OTHERS = {"make", "source", "python", "python3.11", "pip", ".venv/bin/pip", "wandb", "d", "seed", "test"}
"""First words of commands that are not the project's own; `d` and `seed` are the variables of two loops."""


def name(page):
    return str(page.relative_to(ROOT))


def commands(page):
    """The words of every command in the blocks for the shell; several lines may be one command."""
    for language, _, content in code_blocks(page.read_text()):
        if not language:
            subprocess.run(["bash", "-n"], input=content, text=True, check=True)
            lexer = shlex.shlex(content.replace("\\\n", " "), posix=True, punctuation_chars=";|&\n")
            lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
            words = []
            for word in [*lexer, "\n"]:
                if set(word) <= set(";|&\n"):
                    yield words
                    words = []
                elif word not in ("do", "done", "for", "break") or words:
                    words.append(word)


def parse(words):
    """Whether the words are a command of this project; parses it, and fails where it has a wrong option."""
    program, *arguments = words
    if program == "lookwhy":
        program, *arguments = arguments
    elif program == "torchrun":
        program, *arguments = Path(arguments[2]).stem, *arguments[3:]
    elif program == "python" and arguments[0] in ("train.py", "analyze.py", "data/prepare.py"):
        program, *arguments = Path(arguments[0]).stem, *arguments[1:]
    if program == "train":
        config = arguments[arguments.index("--config") + 1]
        path = ROOT / "configs" / Path(config).with_suffix(".yaml").name
        parse_only(
            ["fit", *(str(path) if word == config else re.sub(r"\$\w+", "1", word) for word in arguments)]
        )
    elif program == "analyze":
        build_parser().parse_args(with_subcommand(arguments))
    elif program == "prepare":
        prepare.build_parser().parse_args([word.replace("$d", "coco") for word in arguments])
    else:
        return False
    return True


# test_contributing.py runs the commands of CONTRIBUTING.md.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CONTRIBUTING.md"], ids=name)
def test_every_command_of_a_page_is_understood(page):
    for words in filter(None, commands(page)):
        if not parse(words):
            assert words[0] in OTHERS, words


def test_the_readme_sets_up_and_then_shows_each_command():
    first, second, *others = commands(ROOT / "README.md")
    assert [first, second] == [["make", "demo"], ["source", ".venv/bin/activate"]]
    shown = {
        tuple(word.removeprefix("--model") or "model" for word in words[1:3]) for words in others if words
    }
    assert {("analyze.py", name) for name in set(SUBCOMMANDS) - {"checkpoint"}} <= shown
    assert {("data/prepare.py", "vqa"), ("train.py", "--config"), ("prepare", "shapes")} <= shown


@pytest.mark.parametrize("command", ["analyze.py compare a --outt b", "data/prepare.py shapes --size x"])
def test_a_wrong_option_of_a_command_is_found(command):
    with pytest.raises(Exception, match="--outt|--size"):
        parse(["python", *command.split()])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_links_and_names_files_that_exist_and_its_code_fits_a_screen(page):
    text = page.read_text()
    links = {link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link}
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:src|configs|tests|docs|benchmarks|data)/[\w./-]+\.(?:py|yaml|md|png))`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert not re.search(r"pip install '?lookwhy", text), "a name that is on no index"
    lines = [line for *_, content in code_blocks(text) for line in content.splitlines()]
    assert [line for line in lines if len(line) > 120] == []


def test_the_tree_names_files_that_exist_each_with_a_phrase():
    (tree,) = re.findall(r"^## The tree\n\n```text\n(.*?)^```", README, re.M | re.S)
    folder, found = ROOT, []
    for line in tree.splitlines():
        path, phrase = re.fullmatch(r" *(\S+)(?:  +(\S.*))?", line).groups()
        inside = folder if line.startswith(" ") else ROOT
        assert (inside / path).exists(), path
        assert phrase or path == "src/lookwhy/"
        folder = inside / path if not line.startswith(" ") else folder
        found.append((inside / path).resolve())
    own = [path for path in (ROOT / "src/lookwhy").iterdir() if (path / "__init__.py").exists()]
    assert {path.resolve() for path in own} <= set(found)


def test_every_make_target_of_the_readme_is_in_the_makefile():
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)(?=`|$)", README, re.M))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target


def test_every_picture_is_listed_with_the_command_that_makes_it():
    account = (ROOT / "docs" / "figures.md").read_text()
    listed = dict(re.findall(r"^\| (docs/\S+\.png) \| `([^`]+)` \|$", account, re.M))
    pictures = re.findall(r"!\[[^\]]*\]\(([\w./-]+\.png)\)", "".join(page.read_text() for page in PAGES))
    shown = {f"docs/{Path(one).name}" for one in pictures}
    assert {"docs/example.png", "docs/agreement.png", "docs/performance.png", "docs/methods.png"} <= shown
    assert shown <= set(listed)
    makefile = (ROOT / "Makefile").read_text()
    for picture, command in listed.items():
        words = shlex.split(command)
        if words[0] == "make":
            recipe = re.search(rf"^{words[1]}:.*\n((?:\t.*\n)+)", makefile, re.M)
            assert recipe, command
            assert picture in recipe.group(1)
        else:
            assert words[0] == "python"
            assert picture in words
            module = words[2].replace(".", "/") + "/__main__.py" if words[1] == "-m" else words[1]
            assert (ROOT / module).is_file(), command
