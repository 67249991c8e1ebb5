"""What a result depends on: named components, each with a digest.

A result is current if and only if every component that its stage needs is the same now. What
differs is the reason that a rerun gives. ``inputs`` and ``unit`` are a unit's own; the others are
those of the whole run:

* ``recipe``: the code of main.py and of what it uses, ``options``: keys below ``dataset:`` that
  change a unit;
* ``select``, ``detect``, ``crop``, ``segment``: version and parameters of each stage.

What stands behind a digest is kept in ``<work>/components/<digest>.json``, so that the name of the
parameter that changed can be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posepile.config import Config
from posepile.files import read_object, stable_hash, write_json
from posepile.recipe import result_options
from posepile.run.code import recipe_code
from posepile.stages.exclusions import Exclusion, matching
from posepile.stages.task import StageParams

UNIT_COMPONENTS = ("unit", "inputs")

# What the components are called in a sentence.
WORDS = {
    "unit": "the unit's arguments",
    "inputs": "input files",
    "recipe": "the recipe's code",
    "options": "dataset options",
    "select": "selection parameters",
    "detect": "detection parameters",
    "crop": "crop parameters",
    "segment": "segmentation parameters",
    "exclusions": "exclusions",
    "damaged": "a damaged part",
    "retry": "asked for with --retry",
}


@dataclass(frozen=True)
class Keys:
    """The components of one run.

    Attributes:
        shared: Component -> digest, for all that concern the whole run.
        content: Component -> what the digest is of, as plain data.
        needed: Stage -> the components that its results depend on.
        exclusions: What to leave out, each with its form in a header.
    """

    shared: dict[str, str]
    content: dict[str, Any]
    needed: dict[str, tuple[str, ...]]
    exclusions: tuple[tuple[Exclusion, dict], ...]

    def of_unit(self, unit_digest: str, inputs: list[list]) -> dict[str, str]:
        """Returns all components of one unit."""
        return {"unit": unit_digest, "inputs": inputs_digest(inputs), **self.shared}

    def exclusions_digest(self) -> str:
        """Returns a digest of all entries: of a unit that failed nobody knows the sequences."""
        return stable_hash([plain for _, plain in self.exclusions])

    def excluded_as_whole(self, unit: str) -> str | None:
        """Returns the reason why all of a unit is excluded by its own id, None if it is not."""
        entries = [e for e, _ in self.exclusions if e.frames is None and e.person is None]
        return next((e.reason for e in matching(entries, [unit])), None)

    def excluded(self, sequences: list[str]) -> list[dict]:
        """Returns the entries that concern any of these sequences, as they stand in a header."""
        if not self.exclusions:
            return []
        concerned = matching([e for e, _ in self.exclusions], sequences)
        return [plain for e, plain in self.exclusions if e in concerned]


def make_keys(recipe: Any, config: Config, exclusions: list[Exclusion]) -> Keys:
    """Returns the components of a run.

    Args:
        recipe: The recipe module.
        config: All parameters.
        exclusions: What to leave out.
    """
    from posepile.stages import crop, detect, examples, segment

    content = {
        "recipe": {
            "dataset": recipe.SPEC.name,
            "version": getattr(recipe, "RECIPE_VERSION", 1),
            "code": recipe_code(recipe),
        },
        "options": {"dataset": result_options(config.dataset)},
        "select": examples.identity(config),
        "detect": detect.identity(config),
        "crop": crop.identity(config, recipe.SPEC.kind),
        "segment": segment.identity(config),
    }
    shared = {name: stable_hash(value) for name, value in content.items()}
    forms = tuple((e, e.model_dump(mode="json")) for e in exclusions)
    return Keys(shared, content, needed_components(config), forms)


def needed_components(params: StageParams) -> dict[str, tuple[str, ...]]:
    """Returns, for each stage, the components that its results depend on."""
    base = (*UNIT_COMPONENTS, "recipe", "options", "select")
    before_crop = (*base, "detect") if params.box.source == "detect" else base
    return {
        "select": base,
        "detect": (*base, "detect"),
        "crop": (*before_crop, "crop"),
        "segment": (*before_crop, "crop", "segment"),
    }


def inputs_digest(inputs: list[list]) -> str:
    """Returns the digest of a unit's input files: names, sizes and contents, not times."""
    return stable_hash([[name, size, content] for name, size, _, content in inputs])


def differences(
    keys: Keys, stage: str, now: dict[str, str], result: dict[str, Any]
) -> tuple[str, ...]:
    """Returns the components in which a stored result differs from what is asked for.

    Args:
        keys: The components of the run.
        stage: Whose result it is.
        now: The unit's components.
        result: What the header of the part says.
    """
    then = result["key"]
    differing = [name for name in keys.needed[stage] if then.get(name) != now[name]]
    if keys.excluded(result["sequences"]) != result["exclusions"]:
        differing.append("exclusions")
    return tuple(differing)


# ---------------------------------------------------------------- naming what changed


def remember(keys: Keys, work: Path) -> None:
    """Keeps what the digests of a run stand for."""
    for name, digest in keys.shared.items():
        file = work / "components" / f"{digest}.json"
        if not file.is_file():
            write_json(file, keys.content[name])


def name_changes(keys: Keys, work: Path, component: str, then: str | None) -> str:
    """Returns in words what changed in a component.

    Args:
        keys: The components of the run.
        work: Folder of intermediate results.
        component: Which one.
        then: The digest that it had.
    """
    words = WORDS[component]
    verb = "have" if words.endswith("s") else "has"
    if component in ("damaged", "retry"):
        return words
    before = read_object(work / "components" / f"{then}.json")
    if component not in keys.shared or before is None:
        return f"{words} {verb} changed"
    changed = changed_keys(before, keys.content[component])
    if component == "recipe":
        changed = [c.removeprefix("code.") for c in changed]
    if changed == ["version"] and component != "recipe":
        return f"the {component} stage is of another version"
    shown = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
    return f"{words} {verb} changed ({shown})"


def changed_keys(before: Any, after: Any, prefix: str = "") -> list[str]:
    """Returns the dotted names of the keys in which two plain values differ."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [prefix.rstrip(".")]
    names = sorted(before.keys() | after.keys())
    missing = object()
    return [
        key
        for name in names
        for key in changed_keys(
            before.get(name, missing), after.get(name, missing), f"{prefix}{name}."
        )
    ]
