"""Commands that look at networks: which there are, and what a file is taken for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from posepile.cli.help import add_examples
from posepile.cli.options import add_json, add_said_options
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.terminal import print_json, print_lines


def add_model_commands(parser: argparse.ArgumentParser) -> None:
    """Subcommands of ``model``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "list the networks that settings can name: licence, size, whether they are there"
    listing = commands.add_parser("list", help=text, description=text)
    listing.set_defaults(function=cmd_model_list, parser=listing)
    text = "bring the weights of networks, as the download step of a dataset does"
    fetching = commands.add_parser("fetch", help=text, description=text)
    fetching.set_defaults(function=cmd_model_fetch, parser=fetching)
    fetching.add_argument(
        "names", nargs="+", metavar="NAME", help="networks as posepile model list names them"
    )
    text = "show what a network's file is taken for and why, and what it finds on pictures"
    check = commands.add_parser("check", help=text, description=text)
    check.set_defaults(function=cmd_model_check, parser=check)
    check.add_argument("model", metavar="FILE_OR_NAME", help="an ONNX file, or a network by name")
    check.add_argument(
        "--image", type=Path, nargs="+", default=[], metavar="FILE", help="pictures to look at"
    )
    check.add_argument("--decoder", metavar="NAME", help="take it for this; default: by itself")
    check.add_argument(
        "--box",
        type=float,
        nargs=4,
        metavar=("X", "Y", "W", "H"),
        help="of the person a segmenter is asked for; default: nearly the whole picture",
    )
    check.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another key of detect.model or segment.model: input_size, person_class, scale ...",
    )
    check.add_argument("--score", type=float, default=0.5, help="lowest score; default: 0.5")
    check.add_argument("--out", type=Path, metavar="PNG", help="the pictures with boxes")
    for name, sub in (("list", listing), ("fetch", fetching), ("check", check)):
        add_examples(sub, f"model {name}")
        add_json(sub)
        add_said_options(sub)


def cmd_model_list(args: argparse.Namespace) -> int:
    """Lists the networks of ``configs/models.yaml``."""
    from posepile.models import weights

    folder = weights.weights_dir(None)
    entries = []
    for kind, specs in weights.load_registry().items():
        for spec in specs.values():
            sizes = [file.bytes for file in spec.files]
            there = [(folder / file.file_name).is_file() for file in spec.files]
            entries.append(
                {
                    "name": spec.name,
                    "kind": kind.removesuffix("s"),
                    "decoder": spec.decoder,
                    "licence": spec.licence,
                    "bytes": None if None in sizes else sum(sizes),
                    "present": all(there),
                    "good_for": spec.good_for,
                }
            )
    if args.json:
        print_json({"folder": str(folder), "networks": entries})
        return 0
    for e in entries:
        size = "size unknown" if e["bytes"] is None else f"{e['bytes'] / 1e6:.1f} MB"
        there = "present" if e["present"] else "not there"
        print(f"{e['kind']:10} {e['name']:18} {size:>12}  {there:10} {e['licence']}")
    print(f"in {folder}")
    return 0


def cmd_model_fetch(args: argparse.Namespace) -> int:
    """Brings the weights of networks; exit 1 if some cannot be had."""
    from posepile.models import weights
    from posepile.models.weight_sources import fetch_weights

    known = {n: spec for specs in weights.load_registry().values() for n, spec in specs.items()}
    unknown = [name for name in args.names if name not in known]
    if unknown:
        raise UsageError(
            f"{unknown[0]}: no such network in configs/models.yaml; it has {', '.join(known)}"
        )
    folder = weights.weights_dir(None)
    specs = [known[name] for name in args.names]
    report = fetch_weights(specs, folder)
    if report.left:
        files = [file for spec in specs for file in spec.files]
        file = next((f for f in files if f.file_name in report.left[0]), files[0])
        raise WorkError(f"{report.left[0]}; {weights.by_hand(file, folder)}")
    paths = {s.name: [*weights.installed(s, folder).paths.values()] for s in specs}
    if args.json:
        print_json({"folder": folder, "networks": paths})
    else:
        print_lines(str(path) for files in paths.values() for path in files)
    return 0


def cmd_model_check(args: argparse.Namespace) -> int:
    """Shows what a network is taken for; exit 1 if it cannot be told."""
    from posepile.files import require_place
    from posepile.run.apart import call_apart

    if args.out:
        if not args.image:
            raise UsageError("--out PNG: there is no picture to draw into; give --image FILE")
        require_place(args.out, f"--out {args.out}")
        taken = [args.model, *args.image]
        if any(Path(name).exists() and _same_file(args.out, name) for name in taken):
            raise UsageError(f"--out {args.out}: is what is to be looked at; name another file")
    if not 0 <= args.score <= 1:
        raise UsageError(f"--score {args.score}: expected 0 to 1")
    stated = _stated(args)
    images = {str(path): _read(path) for path in args.image}
    told = call_apart(lambda: _check(args, stated, images), f"looking at {args.model}")
    if args.json:
        print_json(told)
    else:
        from posepile.models.checking import words

        print_lines(words(told))
    if "refused" in told:
        other = told.get("no_segmenter", "")
        new = other and told["refused"].partition(": ")[2] not in other
        raise WorkError(told["refused"] + (f"; nor a segmenter: {other}" if new else ""))
    if args.out:
        _draw(args.out, images, told["pictures"])
        if not args.json:
            print(args.out)
    return 0


def _same_file(out: str | Path, name: str | Path) -> bool:
    return Path(out).exists() and Path(out).samefile(name)


def _stated(args: argparse.Namespace) -> dict[str, Any]:
    import yaml

    stated: dict[str, Any] = {}
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: expected KEY=VALUE")
        if key == "path":
            raise UsageError(f"--set {text}: the file to look at is {args.model}")
        try:
            stated[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {text}: the value cannot be read") from None
    if args.decoder is not None:
        stated["decoder"] = args.decoder
    return stated


def _read(path: Path):
    """An image as uint8 RGB."""
    import cv2

    from posepile.imaging.declared import read_picture

    if not path.is_file():
        raise UsageError(f"--image {path}: no such file")
    image = read_picture(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise CorruptInput(path, "not a picture that can be read")
    return image[..., ::-1]


def _check(args: argparse.Namespace, stated: dict[str, Any], images: dict) -> dict[str, Any]:
    from posepile.models import DetectorFile, DetectParams, SegmenterFile, checking, weights

    params, path, known = DetectParams(score=args.score), Path(args.model), weights.load_registry()
    if args.model in {**known["detectors"], **known["segmenters"]}:
        if stated:
            raise UsageError(
                f"{args.model}: configs/models.yaml states all of it; leave out --set"
            )
        if args.model in known["segmenters"]:
            return checking.check_segmenter(args.model, images, args.box)
        spec = known["detectors"][args.model]
        return checking.check_detector(spec, weights.ensure_weights(spec)[0], images, params)
    if not path.is_file():
        names = ", ".join([*known["detectors"], *known["segmenters"]])
        raise UsageError(f"{args.model}: neither a file nor a network of models.yaml: {names}")
    given = {"path": str(path), **stated}
    if args.box is not None or _only_segmenters(given):
        return checking.check_segmenter(_file(SegmenterFile, given), images, args.box)
    told, refused = None, None
    try:
        told = checking.check_detector(_file(DetectorFile, given), path, images, params)
    except UsageError as e:  # as of a size that the file leaves free, and segmenters do not miss
        refused = e
    if "decoder" in given or (told is not None and "refused" not in told):
        if refused is not None:
            raise refused
        return told
    try:
        return checking.check_segmenter(_file(SegmenterFile, given), images)
    except (UsageError, CorruptInput) as e:
        if refused is not None:
            raise refused from None
        return {**told, "no_segmenter": str(e)}


def _only_segmenters(given: dict[str, Any]) -> bool:
    """Whether settings are of a segmenter, and not of a detector."""
    if {"decoder_path", "threshold", "max_points", "negatives"} & set(given):
        return True
    return given.get("decoder") in ("matting", "sam", "instances")


def _file(model, given: dict[str, Any]):
    """The settings of a file of one's own."""
    from pydantic import ValidationError

    from posepile.formats.yaml_files import describe

    try:
        return model.model_validate(given)
    except ValidationError as e:
        raise UsageError(describe(e, "--set", given, model)) from None


def _draw(out: Path, images: dict, pictures: list[dict[str, Any]]) -> None:
    """Writes the pictures with the boxes found, one below the other."""
    import cv2
    import numpy as np
    import rlemasklib

    width = max(image.shape[1] for image in images.values())
    rows = []
    for picture in pictures:
        image = images[picture["file"]][..., ::-1].copy()
        thick = max(1, round(min(image.shape[:2]) / 300))
        if picture.get("mask"):
            rle = {**picture["mask"], "counts": picture["mask"]["counts"].encode()}
            inside = rlemasklib.decode(rle).astype(bool)
            image[inside] = image[inside] // 2 + np.array([0, 100, 0], np.uint8)
        for x, y, w, h, score in picture["boxes"]:
            corner = round(x), round(y)
            cv2.rectangle(image, corner, (round(x + w), round(y + h)), (0, 200, 0), thick)
            place = corner[0] + 2, corner[1] + 12 * thick
            cv2.putText(image, f"{score:.2f}", place, 0, 0.4 * thick, (0, 200, 0), thick)
        rows.append(np.pad(image, [(0, 0), (0, width - image.shape[1]), (0, 0)]))
    done, data = cv2.imencode(".png", np.concatenate(rows))
    if not done:
        raise WorkError(f"{out}: the pictures cannot be drawn")
    with out.open("wb") as f:
        f.write(data.tobytes())
