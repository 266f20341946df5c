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
