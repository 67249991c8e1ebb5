"""The command ``skeleton``: what the joints of datasets and conventions are, how they convert."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from posepile.cli.options import add_json
from posepile.errors import UsageError
from posepile.files import require_place, write_atomically
from posepile.terminal import print_json, print_lines


def add_skeleton_options(parser: argparse.ArgumentParser) -> None:
    """Whose joints, as which others, and where the picture goes."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a dataset, the name of a merged or packed set, or a convention; none: list them",
    )
    parser.add_argument(
        "--as",
        dest="target",
        metavar="NAME",
        help="convention or dataset to whose joints they are to become, e.g. coco17",
    )
    parser.add_argument("--same-only", action="store_true", help="only what is the same point")
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw it: a .png")
    add_json(parser, "as JSON, with reasons and sources")


def cmd_skeleton(args: argparse.Namespace) -> int:
    """Prints or draws a skeleton, or what becomes of one."""
    if args.out is not None:
        if args.out.suffix != ".png":
            raise UsageError(f"--out {args.out}: expected a name that ends with .png")
        require_place(args.out, f"--out {args.out}")
    if args.name is None:
        if args.target is not None or args.out is not None:
            raise UsageError("skeleton: --as and --out need a NAME; posepile skeleton lists them")
        return _list(args.json)
    own = _Joints(args.name)
    if args.target is None:
        facts, lines = own.facts(), own.lines()
    else:
        facts, lines = _converted(own, _Joints(args.target), not args.same_only)
    if args.out is not None:
        _draw(own, args)
        facts["picture"] = str(args.out)
        lines.append(str(args.out))
    _print(facts if args.json else None, lines)
    return 0


def _print(facts: Any, lines: list[str]) -> None:
    if facts is None:
        print_lines(lines)
    else:
        print_json(facts)


class _Joints:
    """The joints of a name, in their order, with their meaning."""

    def __init__(self, name: str):
        from posepile.skeletons.data import dataset_skeleton, find_convention
        from posepile.skeletons.meaning import meanings

        self.name, self.title = name, ""
        convention = find_convention(name)
        if convention is not None:
            self.name, self.title = convention.name, convention.title
            self.skeletons, self.info = [convention], convention.joint_info
            self.meanings = meanings(self.info, convention.name)
            return
        dataset = _opened(name)
        if dataset is None:
            from posepile.ds import load_recipe

            self.info = load_recipe(name).SPEC.joint_info
            if not self.info.names:
                raise UsageError(f"{name}: has no joints; its files are for other programs")
            self.skeletons = [dataset_skeleton(name)]
            self.meanings = meanings(self.info, name)
        else:
            self.info = dataset.joint_info
            self.meanings = meanings(dataset)
            parts = getattr(dataset, "parts", None) or {}
            self.skeletons = [dataset_skeleton(part) for part in parts]

    @property
    def points(self) -> list[Any]:
        return [m.point for m in self.meanings]

    def facts(self) -> dict[str, Any]:
        from posepile.skeletons.data import places

        info = self.info
        return {
            "name": self.name,
            "title": self.title,
            "joints": [
                {
                    "index": i,
                    "joint": m.name,
                    "family": m.point.family,
                    "place": m.point.place,
                    "meaning": places()[m.point.place][3],
                    "note": m.note,
                    "mirror": info.names[info.mirror_mapping[i]],
                    **({"part": m.part} if m.part else {}),
                }
                for i, m in enumerate(self.meanings)
            ],
            "edges": [[info.names[i], info.names[j]] for i, j in info.stick_figure_edges],
            "families": {f: how for s in self.skeletons for f, how in s.how.items()},
            "sources": list(dict.fromkeys(x for s in self.skeletons for x in s.sources)),
            **({"official": list(self.skeletons[0].official)} if self.title else {}),
        }

    def lines(self) -> list[str]:
        facts = self.facts()
        width = max(len(j["joint"]) for j in facts["joints"])
        point = max(len(str(p)) for p in self.points)
        title = f"; {self.title}" if self.title else ""
        lines = [f"{self.name}: {self.info.n_joints} joints{title}"]
        for j in facts["joints"]:
            note = f"; {j['note']}" if j["note"] else ""
            own = f"{j['family']}.{j['place']}"
            lines.append(
                f"{j['index']:4} {j['joint']:{width}}  {own:{point}}  {j['meaning']}{note}"
            )
        lines += [f"{family}: {how}" for family, how in facts["families"].items()]
        return lines + [f"source: {source}" for source in facts["sources"]]


def _opened(name: str) -> Any:
    """The dataset of an archive or of a merged set; None where a recipe is meant."""
    from posepile.ds import split_build
    from posepile.paths import cache_dir
    from posepile.skeletons.data import conventions
    from posepile.store.named import named

    split_build(name)  # which tells what is wrong with a variant
    try:
        found = named(name)
    except UsageError:
        where = "in $CACHE_DIR or $DATA_ROOT/cache, neither of which is set"
        if os.environ.get("CACHE_DIR") or os.environ.get("DATA_ROOT"):
            where = Path(cache_dir(), f"{name}.pkl")
        raise UsageError(
            f"{name}: no convention ({', '.join(conventions())}), no dataset (posepile list), "
            f"and no merged set {where}"
        ) from None
    return None if found.kind == "recipe" else found.open()


def _converted(own: _Joints, target: _Joints, similar: bool) -> tuple[dict, list[str]]:
    from posepile.skeletons.data import KIND_NAMES
    from posepile.skeletons.mapping import map_joints

    mapping = map_joints(own.meanings, target.points, target.info, similar)
    rows = mapping.rows()
    counts = Counter(row["kind"] for row in rows)
    number = ", ".join(f"{kind}: {counts[kind]}" for kind in reversed(KIND_NAMES))
    facts = {
        "name": own.name,
        "as": target.name,
        "counts": {kind: counts[kind] for kind in reversed(KIND_NAMES)},
        "joints": rows,
        "sources": own.facts()["sources"] + target.facts()["sources"],
    }
    width = max(len(row["joint"]) for row in rows)
    given = max([1, *(len(row["from"] or "") for row in rows)])
    lines = [f"{own.name} as {target.name}, {len(rows)} joints: {number}"]
    alike: dict[str, list[str]] = {}
    for k, row in enumerate(rows):
        line = f"{k:4} {row['joint']:{width}}  {row['kind']:7}  {row['from'] or '-':{given}}"
        same = _SAME_PLACE.fullmatch(row["why"])
        if same is None:
            lines.append(f"{line}  {row['why']}".rstrip())
        else:  # said once, below
            lines.append(line.rstrip())
            alike.setdefault(f"{same[1]} and {same[2]}", []).append(row["joint"])
    for families, joints in alike.items():
        lines.append(f"of {families} the same place by other means: {', '.join(joints)}")
    return facts, lines


# What posepile.skeletons.data says of many joints of two families.
_SAME_PLACE = re.compile(
    r"(\w+)\.\w+ and (\w+)\.\w+ are the same place of the body by other means"
)


def _draw(own: _Joints, args: argparse.Namespace) -> None:
    import cv2

    from posepile.report.skeletons import draw_joints, draw_mapping
    from posepile.skeletons.mapping import map_joints

    if args.target is None:
        picture = draw_joints(
            own.info, own.points, title=f"{own.name}, {own.info.n_joints} joints"
        )
    else:
        target = _Joints(args.target)
        mapping = map_joints(own.meanings, target.points, target.info, not args.same_only)
        titles = (own.name, f"as {target.name}")
        picture = draw_mapping(own.info, own.points, mapping, target.points, titles)
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise UsageError(f"--out {args.out}: the picture cannot be encoded")
    write_atomically(args.out, data.tobytes())


def _list(as_json: bool) -> int:
    from posepile.skeletons.data import conventions, described_datasets

    known = [(c.name, len(c.points), c.title) for c in conventions().values()]
    known += [(s.name, len(s.points), "") for s in described_datasets()]
    facts = [{"name": name, "joints": n, "title": title} for name, n, title in known]
    width = max(len(name) for name, _, _ in known)
    lines = [f"{name:{width}}  {n:4} joints  {title}".rstrip() for name, n, title in known]
    _print(facts if as_json else None, lines)
    return 0
