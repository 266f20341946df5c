"""The rooms import in one direction, and heavy libraries stay in the rooms that own them."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lookwhy"
ORDER = [
    "errors", "keys", "types", "files", "hdf5", "schema", "places", "progress", "stopwatch", "metrics", "towers", "data", "models",
    "attribution", "analysis", "stored", "store", "reporting", "callbacks", "live", "api", "cli",
]  # fmt: skip
LIGHTNING = ("data/datamodule.py", "models/system.py", "models/checkpoint.py", "callbacks/", "cli/")
OWNERS = {
    "pytorch_lightning": LIGHTNING,
    "wandb": "reporting/wandb/",
    "wandb_workspaces": "reporting/wandb/",
    "starlette": "live/",
    # Without a terminal its bars are silent; lookwhy.progress prints lines there.
    "tqdm": ("progress.py", "callbacks/progress.py"),
    "uvicorn": "live/",
}
"""Libraries and the only paths that may import them."""


def imports(text: str) -> set[str]:
    """Modules and names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


FILES = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
IMPORTS = {name: imports(text) for name, text in FILES.items()}


def room(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


def test_every_room_has_its_place_in_the_order_and_imports_run_one_way():
    assert {room(name) for name in FILES} - {"__init__"} == set(ORDER)
    breaches = []
    for name in FILES.keys() - {"__init__.py"}:
        own = ORDER.index(room(name))
        parts = [module.split(".") for module in IMPORTS[name] if module.startswith("lookwhy.")]
        breaches += [f"{name} imports {part[1]}" for part in parts if part[1] in ORDER[own + 1 :]]
    assert breaches == []


def test_libraries_stay_in_their_rooms():
    breaches = [
        f"{name} imports {module}"
        for name in FILES
        for module in IMPORTS[name]
        if not name.startswith(OWNERS.get(module.split(".")[0], ""))
    ]
    assert breaches == []


def module(name: str) -> str:
    return f"lookwhy.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")


def neighbours(name: str, modules: set[str]) -> set[str]:
    """Modules that a file imports, also late; `from package import module` leads to the module alone."""
    found = IMPORTS[name] & modules
    for node in ast.walk(ast.parse(FILES[name])):
        if isinstance(node, ast.ImportFrom) and all(f"{node.module}.{a.name}" in modules for a in node.names):
            found.discard(node.module)
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    # The package itself is the door: it imports its rooms only when they are asked for.
    modules = {module(name): name for name in FILES if name != "__init__.py"}
    graph = {own: neighbours(name, set(modules)) for own, name in modules.items()}
    assert "lookwhy.errors" in graph["lookwhy.cli.train"]
    assert circle(graph) == []


def test_a_late_import_and_a_circle_of_modules_are_found():
    graph = {"cli.train": {"cli.lightning"}, "cli.lightning": {"models", "cli.train"}, "models": set()}
    assert set(circle(graph)) == {"cli.train", "cli.lightning"}
    text = "def late():\n    from lookwhy.cli import train\n    import wandb\n"
    assert {"lookwhy.cli", "lookwhy.cli.train", "wandb"} <= imports(text)
    with pytest.raises(AssertionError, match="relative import of sibling"):
        imports("from .sibling import x")


def test_the_package_looks_for_nothing_beside_itself():
    assert [name for name, text in FILES.items() if "../" in text] == []
