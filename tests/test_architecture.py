"""Imports go downwards only, also those made late; files have one job and the root stays small."""

import ast
import itertools

import pytest
from conftest import ROOT

PACKAGE = ROOT / "posepile"

# Rooms from the ground up; a room imports from its own floor (without circles) and those below.
FLOORS = (
    {
        "recipe",
        "joint_info",
        "paths",
        "files",
        "locks",
        "progress",
        "durable",
        "errors",
        "shortage",
        "terminal",
        "version",
        "ds",
    },
    {"formats", "geometry", "bodies", "miniature", "metrics", "skeletons"},
    {"remote", "store", "imaging", "models", "acquire", "shapes"},
    # What consumers import: faces over the store, which nothing below imports.
    {"datasets3d", "datasets2d", "util", "joint_filtering", "archive", "table", "__init__"},
    {"stages"},
    {"run", "config"},
    {
        "cli",
        "__main__",
        "report",
        "viewer",
        "suspects",
        "merging",
        "export",
        "imports",
        "torch",
        "augmentation",
        "posing",
        "evaluation",
        "checking",
        "templates",
        "recordings",
    },
)
FLOOR_OF = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
# The recipes stand aside: they may look down from here.
DATASETS_LOOK_DOWN_FROM = FLOOR_OF["store"]
EVALUATIONS_LOOK_DOWN_FROM = FLOOR_OF["evaluation"]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(p): p for p in sorted(PACKAGE.rglob("*.py"))}


def imports(name):
    """Modules of the package that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} uses a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in FILES else node.module)
    return {m for m in found if m.split(".")[0] == "posepile" and m != name}


GRAPH = {name: imports(name) for name in FILES}


def room(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(name):
    """The floor a module stands on."""
    parts = name.split(".")
    if is_recipe(name):
        is_eval = parts[-1].startswith("eval")
        return EVALUATIONS_LOOK_DOWN_FROM if is_eval else DATASETS_LOOK_DOWN_FROM
    return FLOOR_OF[room(name)]


def is_recipe(name):
    """Modules of dataset folders, and of those that new ones are copied from."""
    _, room_, *inner = [*name.split("."), "", ""][:4]
    return room_ in ("ds", "templates") and bool(inner[0])


def test_every_module_has_a_floor():
    assert {room(name) for name in FILES} <= set(FLOOR_OF)


def test_no_import_goes_up():
    wrong = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if floor(other) > floor(name)
    ]
    assert not wrong


def test_nothing_but_recipes_imports_a_recipe():
    wrong = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if is_recipe(other) and other.split(".")[:3] != name.split(".")[:3]
    ]
    assert not wrong


def test_only_the_registry_imports_by_name():
    by_name = {
        name
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
    }
    assert by_name == {"posepile.ds"}


def circles(graph):
    """Groups of nodes that reach each other."""
    reach = {}
    for start in graph:
        seen, waiting = set(), [start]
        while waiting:
            for other in graph.get(waiting.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        reach[start] = seen
    return {
        frozenset(m for m in reach[n] if n in reach.get(m, ())) for n in graph if n in reach[n]
    }


def test_no_circle_of_modules():
    assert not circles(GRAPH)


def test_no_circle_of_rooms():
    rooms = {}
    for name, others in GRAPH.items():
        if not is_recipe(name):
            rooms.setdefault(room(name), set()).update(
                room(o) for o in others if room(o) != room(name)
            )
    assert not circles(rooms)


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {frozenset("abc")}
    assert not circles({"a": {"b", "c"}, "b": {"c"}})


def test_the_root_is_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 17


@pytest.mark.parametrize("folder", ["posepile", "tests", "benchmarks"])
def test_files_are_short_or_say_why_not(folder):
    unexplained = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        lines = path.read_text().splitlines()
        head = " ".join(itertools.islice(lines, 12))
        if len(lines) > 450 and "More than 450 lines" not in head:
            unexplained.append(f"{path.relative_to(ROOT)}: {len(lines)} lines")
    assert not unexplained


def test_the_walk_finds_the_package():
    assert {"posepile", "posepile.ds", "posepile.ds.aspset.main", "posepile.cli"} <= set(FILES)
