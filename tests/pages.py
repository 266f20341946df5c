"""The pages of the project, and the code blocks in them."""

import re

from tiny_runs import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "configs/README.md",
    *sorted(ROOT.glob("docs/*.md")),
]
BLOCK = re.compile(r"^( *)```(\w*) ?(\S*)\n(.*?)^ *```$", re.M | re.S)


def code_blocks(text):
    """Language, file and content of each code block; one inside a list without its indent."""
    return [
        (language, name, re.sub(f"^{indent}", "", content, flags=re.M))
        for indent, language, name, content in BLOCK.findall(text)
    ]
