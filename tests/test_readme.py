"""The README's commands and files exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_file_the_readme_names_exists():
    named = set(re.findall(r"`((?:src|configs|tests|docs|data)/[\w./-]+\.(?:py|yaml|md|png))`", README))
    named |= set(re.findall(r"\]\(([\w./-]+)\)", README))
    assert len(named) > 8
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_file_that_the_account_of_the_paper_names_exists():
    named = set(re.findall(r"`((?:src|tests)/[\w./]+\.py)`", (ROOT / "docs" / "paper.md").read_text()))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_make_target_of_the_readme_is_in_the_makefile():
    targets = set(re.findall(r"`?make (\w+)", README))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target


def test_every_picture_is_listed_with_the_command_that_makes_it():
    import shlex

    from lookwhy.cli.analyze import build_parser

    account = (ROOT / "docs" / "figures.md").read_text()
    listed = dict(re.findall(r"^\| (docs/\S+\.png) \| `([^`]+)` \|$", account, re.M))
    shown = {"docs/" + name for name in re.findall(r"!\[[^\]]*\]\((?:docs/)?([\w./-]+\.png)\)", README)}
    for page in (ROOT / "docs").glob("*.md"):
        shown |= {"docs/" + name for name in re.findall(r"!\[[^\]]*\]\(([\w./-]+\.png)\)", page.read_text())}
    assert {"docs/example.png", "docs/agreement.png", "docs/performance.png"} <= shown
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
    for line in re.findall(r"^python analyze\.py (.*)$", account, re.M):
        build_parser().parse_args(shlex.split(line))


def test_every_command_of_the_readme_is_understood():
    from lookwhy.cli.analyze import SUBCOMMANDS, build_parser

    lines = [line for line in README.splitlines() if line.startswith("python analyze.py ")]
    assert len(lines) >= 3
    for line in lines:
        import shlex

        arguments = shlex.split(line)[2:]
        if arguments[0] not in SUBCOMMANDS:
            arguments.insert(0, "checkpoint")
        build_parser().parse_args(arguments)


def test_no_page_installs_a_name_that_is_on_no_index():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert not re.search(r"pip install '?lookwhy", page.read_text()), page
