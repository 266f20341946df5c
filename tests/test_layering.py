"""The rooms import in one direction, and heavy libraries stay in the rooms that own them."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lookwhy"
ORDER = [
    "errors", "keys", "types", "files", "progress", "stopwatch", "metrics", "towers", "data", "models", "attribution", "analysis",
    "store", "reporting",
    "callbacks", "live", "api", "cli",
]  # fmt: skip
LIGHTNING_ROOMS = ("data/datamodule.py", "models/system.py", "models/checkpoint.py", "callbacks/", "cli/")
FILES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def test_every_room_has_its_place_in_the_order():
    assert {room(path) for path in FILES} - {"__init__"} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_run_one_way(path):
    if room(path) == "__init__":
        return
    own = ORDER.index(room(path))
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "lookwhy" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= own, f"{name(path)} imports {module}"


def module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def neighbours(path: Path, modules: set[str]) -> set[str]:
    """Modules that a file imports, also late; `from package import module` leads to the module alone."""
    found = imports(path) & modules
    for node in ast.walk(ast.parse(path.read_text())):
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
    modules = {module(path): path for path in FILES if room(path) != "__init__"}
    graph = {own: neighbours(path, set(modules)) for own, path in modules.items()}
    assert "lookwhy.errors" in graph["lookwhy.cli.train"]
    assert circle(graph) == []


def test_a_circle_of_modules_is_found():
    graph = {"cli.train": {"cli.lightning"}, "cli.lightning": {"models", "cli.train"}, "models": set()}
    assert set(circle(graph)) == {"cli.train", "cli.lightning"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_lightning_and_wandb_stay_in_their_rooms(path):
    modules = {module.split(".")[0] for module in imports(path)}
    if not name(path).startswith(LIGHTNING_ROOMS):
        assert "pytorch_lightning" not in modules
    if not name(path).startswith("reporting/wandb/"):
        assert not {"wandb", "wandb_workspaces"} & modules
    if name(path) not in ("progress.py", "callbacks/progress.py"):
        assert "tqdm" not in modules  # off a terminal its bars are silent; lookwhy.progress prints lines


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_web_server_stays_in_its_room(path):
    modules = {module.split(".")[0] for module in imports(path)}
    if room(path) != "live":
        assert not {"starlette", "uvicorn"} & modules


def test_the_walk_sees_a_breach(tmp_path):
    path = tmp_path / "breach.py"
    path.write_text("def late():\n    from lookwhy.cli import train\n    import wandb\n")
    assert {"lookwhy.cli", "lookwhy.cli.train", "wandb"} <= imports(path)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_package_looks_for_nothing_beside_itself(path):
    # Where things lie is told by options and environment variables.
    assert "../" not in path.read_text()
