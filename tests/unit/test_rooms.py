"""The rooms of the house and the arrows between them: who may import whom (README, "How it is built")."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXTBOOK = "activations config tokenizer corpus sample model optim train inference"
FLOORS = [  # from the ground up: a room imports itself and what lies below it
    "environment storage ui.theme ui.words ui.glossary",
    TEXTBOOK,
    "console data ui.browser_input ui.connections ui.late_ticks",
    "cost insight",
    "runs",
    "jobs plots",
    "experiments",
    "exports",
    "__main__ gallery ui.server ui.components",
    "ui.presence",
    "ui.state",
    "ui.parts",
    "ui.shell",
    "pages",
    "app",
]
FILES = [*ROOT.glob("microllm/**/*.py"), *ROOT.glob("pages/*.py"), ROOT / "app.py"]
MODULES = {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in FILES}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


def imports(module: str) -> set[str]:
    """The modules that a module imports, ours by their whole names."""
    found, package = set(), module.split(".")[: None if MODULES[module].name == "__init__.py" else -1]
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *filter(None, [node.module])])
            found |= {name if (name := f"{base}.{alias.name}") in MODULES else base for alias in node.names}
    return found - {module}


def room(module: str) -> str:
    inside = module.removeprefix("microllm.")
    return next(name for name in FLOOR if inside == name or inside.startswith(f"{name}."))


def test_no_import_runs_back_up_and_none_closes_a_circle():
    inside = {module: imports(module) & MODULES.keys() - {"microllm"} for module in MODULES}
    for module in inside.keys() - {"microllm", "microllm.ui"}:
        for other in inside[module]:
            here, there = room(module), room(other)
            is_textbook = {here, there} <= set(TEXTBOOK.split())
            assert here == there or is_textbook or FLOOR[there] < FLOOR[here], f"{module} imports {other}"
    TopologicalSorter(inside).prepare()


def test_streamlit_is_imported_by_the_pages_alone_and_the_textbook_stands_on_torch():
    for module in MODULES:
        outside = {name.partition(".")[0] for name in imports(module)} - {"microllm"}
        assert "streamlit" not in outside or module.startswith(("app", "pages.", "microllm.ui"))
        if module.removeprefix("microllm.") in TEXTBOOK.split():
            assert outside <= sys.stdlib_module_names | {"torch"}
            assert {room(name) for name in imports(module) & MODULES.keys()} <= set(TEXTBOOK.split())


def test_the_map_in_the_readme_names_every_room_and_every_module():
    house = re.search(r"^microllm/.*?^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]
    there = {
        path.name for path in (ROOT / "microllm").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(re.findall(r"^  (\w+(?:\.py|/))", house, re.MULTILINE)) == {
        name if name.endswith(".py") else f"{name}/" for name in there
    }
    modules = {
        path.stem for path in (ROOT / "microllm").rglob("*.py") if path.parent.name not in ("parts", "components")
    }
    assert {name for name in modules if not name.startswith("_")} <= set(re.findall(r"\w+", house))
