"""What functions of a recipe return or raise though they should not: one line, with the place."""

import pytest
import usage_kit
from usage_kit import forget_mini, make_mini, posepile

packed_mini, own_mini = usage_kit.packed_mini, usage_kit.own_mini  # the fixtures

UNIT = "Unit('seq0', 'train', (root / 'seq0' / 'world.json',))"


def listing(*units):
    lines = "".join(f"    yield {unit}\n" for unit in units)
    return f"def list_units(root, options):\n{lines}"


def returning(value):
    return f"def list_units(root, options):\n    return {value}\n"


def unit(id_="'a'", split="'train'", inputs="()", args="{}"):
    return listing(f"Unit({id_}, {split}, {inputs}, {args})")


LISTS = [
    (returning("None"), "list_units returned NoneType None; expected to be given"),
    (returning("5"), "list_units returned int 5"),
    (returning("'seq0'"), "list_units returned str 'seq0'"),
    (returning("{'a': 1}"), "list_units returned dict {'a': 1}"),
    (returning("Unit"), "list_units returned type"),
    (returning("[]"), "found no unit of mini; posepile doctor mini"),
    (returning("['seq0']"), "unit 1: str 'seq0'; expected a posepile.recipe.Unit"),
    (returning("[None]"), "unit 1: NoneType None; expected a posepile.recipe.Unit"),
    (returning("[('a', 'train', ())]"), "unit 1: tuple ('a', 'train', ()); expected"),
    (listing(UNIT, "1 / 0"), "list_units raised ZeroDivisionError: division by zero ("),
    (listing(UNIT, "[][0]"), "mini/main.py, line 1"),
    (listing("(_ for _ in ()).throw(KeyError('x\\ny'))"), "list_units raised KeyError:"),
    (listing("(_ for _ in ()).throw(RecursionError)"), "list_units raised RecursionError ("),
    (listing(UNIT, UNIT), "two units are called 'seq0': train, seq0/world.json and"),
    (unit(id_="None"), "unit 1: id is NoneType None; expected a text, not empty"),
    (unit(id_="7"), "unit 1: id is int 7; expected a text, not empty"),
    (unit(id_="''"), "unit 1: id is str ''; expected a text, not empty"),
    (unit(id_="b'a'"), "unit 1: id is bytes b'a'; expected a text"),
    (unit(id_="'\\udc80'"), "id is not valid Unicode; expected"),
    (unit(id_="'a\\nb'"), "('a\\nb'): id has control characters; expected a text"),
    (unit(id_="'a\\x1b[2J'"), "id has control characters"),
    (unit(id_="'a\\0'"), "id has control characters"),
    (unit(id_="'../a'"), "('../a'): id has an empty, '.' or '..' component"),
    (unit(id_="'a/../../b'"), "id has an empty, '.' or '..' component"),
    (unit(id_="'/etc/a'"), "id has an empty, '.' or '..' component"),
    (unit(id_="'a//b'"), "id has an empty, '.' or '..' component"),
    (unit(id_="'a/'"), "id has an empty, '.' or '..' component"),
    (unit(id_="'a' * 5000"), "id has 5000 characters; expected at most 1000"),
    (unit(split="'trian'"), "('a'): split is 'trian'; expected one of train, val, test"),
    (unit(split="0"), "split is 0; expected one of train, val, test"),
    (unit(split="None"), "split is None; expected one of"),
    (unit(split="['train']"), "split is ['train']; expected one of"),
    (unit(inputs="root"), "inputs is the single path"),
    (unit(inputs="'seq0'"), "inputs is the single path 'seq0'; expected a tuple of paths"),
    (unit(inputs="None"), "inputs is None; expected a tuple of paths"),
    (unit(inputs="(3,)"), "inputs is (3,); expected a tuple of paths"),
    (unit(inputs="('a\\0b',)"), "inputs has 'a\\x00b'; expected paths that a file can have"),
    (unit(inputs="(b'a',)"), "expected a tuple of paths"),
    (unit(inputs="(1 / 0 for _ in 'a')"), "inputs raises ZeroDivisionError; expected a tuple"),
    (unit(args="None"), "args is NoneType None; expected a dict"),
    (unit(args="[1]"), "args is list [1]; expected a dict"),
    (unit(args="{'a': {1}}"), "args is not JSON (set has no stable form)"),
    (unit(args="{'a': float}"), "args is not JSON"),
    (unit(args="{(1, 2): 3}"), "args is not JSON"),
]


@pytest.mark.parametrize(("code", "expected"), LISTS)
def test_units_of_wrong_types_are_said_in_one_line(own_mini, code, expected):
    make_mini(own_mini.parent / "datasets", f"from posepile.recipe import Unit\n{code}")
    forget_mini()
    said = posepile("run", "mini", "--quiet", "--stage", "crop")
    assert (said.code, len(said.lines)) == (1, 1), said
    assert expected in said.err and len(said.err) < 600
    assert not (own_mini / "etc").exists()


FUNCTIONS = [
    ("def calibrate(root, options):\n    return 1 / 0\n", "run mini --quiet --stage calibrate"),
    ("def calibrate(root, options):\n    return [5]\n", "run mini --quiet --stage calibrate"),
    ("def calibrate(root, options):\n    return 5\n", "run mini --quiet --stage calibrate"),
    ("def plan(root, options):\n    return [].nothing\n", "plan mini"),
    ("def doctor(root, options):\n    raise KeyError('x')\n", "doctor mini"),
    ("def download(root, options):\n    yield 1 / 0\n", "run mini --quiet --stage download"),
]


@pytest.mark.parametrize(("code", "command"), FUNCTIONS)
def test_other_functions_of_wrong_types_are_said_in_one_line(own_mini, code, command):
    make_mini(own_mini.parent / "datasets", code)
    forget_mini()
    said = posepile(*command.split())
    assert (said.code, len(said.lines)) == (1, 1), said
    assert code.split()[1].partition("(")[0] in said.err and "mini: " in said.err


RECIPES = [
    ("SPEC = None\n", "SPEC is NoneType; expected a posepile.recipe.DatasetSpec"),
    ("del SPEC\n", "lacks SPEC"),
    ("Options = 5\n", "Options is int; expected a pydantic model"),
    ("list_units = 5\n", "list_units is int; expected a function"),
    ("del load_unit\n", "lacks load_unit"),
    ("import nosuchmodule\n", "ModuleNotFoundError: No module named 'nosuchmodule'"),
    ("def (\n", "SyntaxError"),
    ("raise SystemExit(3)\n", "SystemExit"),
]


@pytest.mark.parametrize(("code", "expected"), RECIPES)
def test_recipes_that_lack_something_are_said_in_one_line(own_mini, code, expected):
    make_mini(own_mini.parent / "datasets", code)
    forget_mini()
    for command in ("status mini", "run mini --quiet"):
        said = posepile(*command.split())
        assert (said.code, len(said.lines)) == (2, 1), said
        assert expected in said.err and "mini/main.py" in said.err
    assert posepile("list").code in (0, 1)
