"""What recipes share: choosing subjects, and options that only choose units."""

import pytest
from pydantic import ValidationError

from posepile.ds import dataset_names, load_recipe
from posepile.errors import UsageError
from posepile.recipe import chosen_subjects, result_options


def test_all_subjects_are_chosen_unless_some_are_named():
    known = ["04ac", "4d9e", "1e28"]
    assert chosen_subjects(None, known) == set(known)
    assert chosen_subjects(["4d9e"], iter(known)) == {"4d9e"}


def test_an_unknown_subject_is_named_with_near_ones():
    with pytest.raises(UsageError) as caught:
        chosen_subjects(["04ac", "4d9f"], ["04ac", "4d9e"])
    message = str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in message
    assert message.startswith("dataset.subjects: no subject 4d9f; did you mean 4d9e? ")
    with pytest.raises(UsageError, match="there are: .* and 90 others"):
        chosen_subjects(["x"], map(str, range(100)))


def test_no_subject_is_not_all_of_them():
    with pytest.raises(UsageError, match="found an empty list; expected ids, or null for all"):
        chosen_subjects([], ["04ac"])


def lists_of(options, prefix=""):
    """Names of options that are lists, also of those in groups."""
    for name, value in options.model_fields.items():
        kind = str(value.annotation)
        if hasattr(value.annotation, "model_fields"):
            yield from lists_of(value.annotation, f"{prefix}{name}.")
        elif "list[" in kind and "dict[" not in kind:
            yield f"{prefix}{name}"


# Where an empty list means none.
MAY_BE_EMPTY = {"download.parts", "download.take_parts", "without"}


@pytest.mark.parametrize("name", dataset_names())
def test_an_empty_list_is_refused_where_it_could_mean_all(name):
    options = getattr(load_recipe(name), "Options", None)
    for key in lists_of(options) if options else ():
        *groups, last = key.split(".")
        given = {last: []}
        for group in reversed(groups):
            given = {group: given}
        if key in MAY_BE_EMPTY:
            options.model_validate(given)
        else:
            with pytest.raises(ValidationError, match=rf"{key}\n.*at least 1 item"):
                options.model_validate(given)


@pytest.mark.parametrize("name", dataset_names())
def test_choosing_units_changes_none_of_them(name):
    options = load_recipe(name).Options
    if "subjects" not in options.model_fields:
        pytest.skip(f"{name} has no subjects")
    everyone, one = options(), options(subjects=["a"])
    assert everyone.model_dump() != one.model_dump()
    assert result_options(everyone) == result_options(one)


def test_other_options_are_part_of_results():
    options = load_recipe("aspset").Options
    assert result_options(options()) == {"missing_joints": "error"}
    assert result_options(options()) != result_options(options(missing_joints="accept"))


def test_files_of_a_unit_keep_their_names_through_the_list_of_units():
    """The list of units keeps arguments as JSON with sorted keys."""
    import json
    from pathlib import Path

    from posepile.recipe import Unit
    from posepile.shapes.units import make_unit, unit_files

    files = {"video": Path("v"), "boxes": Path("b"), "masks": [Path("m1"), Path("m0")]}
    unit = make_unit("a", "train", files)
    args = json.loads(json.dumps(unit.args, sort_keys=True))
    found = unit_files(Unit(unit.id, unit.split, unit.inputs, args))
    assert found == {**files, "masks": (Path("m1"), Path("m0"))}
