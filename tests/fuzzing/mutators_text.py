"""Mutators that know JSON and other text: what they make is valid but says other things."""

from __future__ import annotations

import json
import random
import re

from fuzzing.mutators import (
    NUMBERS_AS_TEXT,
    TEXTS,
    break_text,
    change_header,
    change_lines,
    change_number,
    cut_off,
    cut_out,
    flip_bits,
    repeat_range,
)

_TWICE = "\x00twice\x00"
VALUES = (None, True, False, 0, -1, 2**31, 2**63, -(2**63), 2**64, 10**40, 1e308, -1e308, 5e-324)
VALUES += (
    float("nan"),
    float("inf"),
    float("-inf"),
    0.5,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [1, [2]],
)


def evil_value(rng: random.Random):
    """A value of another type, or of an extreme size."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(TEXTS)
    if kind == 1:
        deep: object = 1
        for _ in range(rng.choice((10, 900, 5000))):
            deep = [deep]
        return deep
    if kind == 2:
        return [rng.choice(VALUES)] * rng.choice((2, 3, 17, 5000))
    return rng.choice(VALUES)


def change_tree(tree, rng: random.Random):
    """Changes one place of a tree of lists and dictionaries, in it; returns the tree."""
    if not isinstance(tree, (dict, list)) or not tree or rng.random() < 0.02:
        return evil_value(rng)
    places, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        places += ((node, key) for key in (node if isinstance(node, dict) else range(len(node))))
        inner = node.values() if isinstance(node, dict) else node
        waiting += (value for value in inner if isinstance(value, (dict, list)))
    # Keys are as likely as the many numbers in arrays.
    node, key = rng.choice(places)
    if rng.random() < 0.6:
        node, key = rng.choice([(n, k) for n, k in places if isinstance(n, dict)] or places)
    value, kind = node[key], rng.randrange(9)
    numbers = (int, float)
    if isinstance(value, numbers) and not isinstance(value, bool) and kind < 4:
        node[key] = rng.choice(
            (-value, value + 1, value - 1, value * 1000, value / 1000, float(value), str(value))
        )
    elif isinstance(value, str) and kind < 4:
        node[key] = rng.choice((value.upper(), value + value, value[:-1], f" {value} ", [value]))
    elif isinstance(value, (dict, list)) and value and kind < 5:
        _change_members(value, rng)
    elif kind == 5 and isinstance(node, dict):
        del node[key]
    elif kind == 6 and isinstance(node, dict):
        node[f"{_TWICE}{key}"] = rng.choice((value, evil_value(rng)))
    elif kind == 7 and isinstance(node, dict):
        node[rng.choice(TEXTS)] = node.pop(key)
    else:
        node[key] = evil_value(rng)
    return tree


def _change_members(value, rng: random.Random) -> None:
    """Members that are missing, there twice, exchanged or of another."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    a, b = rng.choice(keys), rng.choice(keys)
    kind = rng.randrange(4)
    if kind == 0:
        del value[a]
    elif kind == 1:
        value[a], value[b] = value[b], value[a]
    elif kind == 2 and isinstance(value, list):
        value.insert(b, value[a])
    elif isinstance(value, list):
        del value[a:]
    else:
        value[a] = value[b]


def change_json(data: bytes, rng: random.Random) -> bytes:
    """JSON with another value, key or member somewhere."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return change_number(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = change_tree(tree, rng)
    return dump_json(tree, rng)


def dump_json(tree, rng: random.Random) -> bytes:
    try:
        text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    except RecursionError:
        text = "[" * 100000
    text = text.replace(json.dumps(_TWICE)[1:-1], "").replace(_TWICE, "")
    return text.encode("utf-8", "surrogatepass")


def rewrite_json(data: bytes, rng: random.Random) -> bytes:
    """The same JSON in another form: byte-order mark, another encoding, blanks, comments."""
    text = data.decode("utf-8", "replace")
    forms = (
        *("\ufeff" + text, text.replace(",", ",\n"), text + "\n\n", text + " x", text + text),
        *("// note\n" + text, text.replace('"', "'"), text.rstrip()[:-1] + ",}", text.upper()),
    )
    if rng.random() < 0.2:
        return text.encode(rng.choice(("utf-16", "utf-32", "utf-16-le")))
    return rng.choice(forms).encode()


JSON = (change_json,) * 6 + (change_number, rewrite_json, change_lines, break_text, cut_off)
JSON += (flip_bits,)


def change_cell(data: bytes, rng: random.Random) -> bytes:
    """Another value in a cell of a table, or cells too many or too few."""
    lines = data.split(b"\n")
    i = rng.randrange(len(lines))
    separator = b"," if b"," in data else b" " if b" " in data else b"\t"
    cells = lines[i].split(separator)
    j, kind = rng.randrange(len(cells)), rng.randrange(8)
    new = rng.choice((*NUMBERS_AS_TEXT, *TEXTS)).encode()
    if kind < 4:
        cells[j] = new
    elif kind == 4:
        cells.insert(j, new)
    elif kind == 5:
        del cells[j]
    elif kind == 6:
        cells[j] = b'"' + cells[j] + rng.choice((b'"', b"", b'""', b'\n"'))
    else:
        cells[j] = b""
    lines[i] = separator.join(cells)
    return b"\n".join(lines)


def rewrite_text(data: bytes, rng: random.Random) -> bytes:
    """The same text with other line ends, separators or encoding."""
    text = data.decode("utf-8", "replace")
    forms = (
        *("\ufeff" + text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), text + "\n\n\n"),
        *(text.replace(",", ";"), text.replace(" ", "\t"), text.replace("\n", ""), text + "\0"),
    )
    if rng.random() < 0.2:
        return text.encode(rng.choice(("utf-16", "utf-32", "latin1")), "replace")
    return rng.choice(forms).encode()


TEXT = (change_cell, change_cell, change_cell, change_number, change_number, change_lines)
TEXT += (rewrite_text, break_text, cut_off, cut_out, repeat_range, flip_bits, change_header)


def change_element(data: bytes, rng: random.Random) -> bytes:
    """An element of XML that is missing, there twice, renamed, emptied or nested deeply."""
    found = list(re.finditer(rb"<(\w+)[^<>]*>[^<>]*</\1>", data))
    if not found:
        return change_number(data, rng)
    match, other = rng.choice(found), rng.choice(found)
    whole, tag = match[0], match[1]
    deep = rng.choice((5, 300, 20000))
    new = rng.choice(
        (
            *(
                b"",
                whole * 2,
                whole * 3000,
                other[0],
                b"<" + tag + b"/>",
                b"<x>" + whole + b"</x>",
            ),
            *(whole.replace(tag, b"other"), b"<x>" * deep + whole + b"</x>" * deep),
            *(b"<!-- " + whole + b" -->", b"<![CDATA[" + whole + b"]]>", b"&amp;&#0;" + whole),
            *(b"&lol;", b"<x xmlns:a='b' a:c='d'/>", b"<a:b/>", b"&#x110000;", b"&#55296;"),
        )
    )
    return data[: match.start()] + new + data[match.end() :]


def change_prolog(data: bytes, rng: random.Random) -> bytes:
    """Another declaration: encodings, entities, external references."""
    body = data.partition(b"?>")[2] or data
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 10))
    return (
        rng.choice(
            (
                *(b'<?xml version="1.0" encoding="latin1"?>', b'<?xml version="9"?>', b"\xff\xfe"),
                *(b'<?xml version="1.0" encoding="no-such"?>', b"\xef\xbb\xbf", b"<?x y?>" * 999),
                b'<?xml version="1.0" encoding="utf-7"?>',
                b'<!DOCTYPE a [<!ENTITY l0 "lol">' + laughs + b"]>",
                b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
                b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd">',
            )
        )
        + body
    )


XML = (change_element,) * 5 + (change_prolog, change_number, change_number, break_text, cut_off)
XML += (flip_bits, cut_out, repeat_range)

_YAML = (
    *("!!python/object/apply:os.system ['true']", "!!python/name:os.system", "&a [*a]", "*b"),
    *("{}", "[]", "~", "2001-13-45", "2001-01-01", "1:99", "0x", "0b2", ".nan", "-.inf", "1e999"),
    *(
        "!!binary x",
        "!!set {a, b}",
        "!!int x",
        "!!timestamp x",
        "!x y",
        "{a: 1, a: 2}",
        "? x",
        "|",
    ),
    *("'", '"', "[" * 3000, "{a: " * 3000, "@", "%", "\t- x", "- - - -", "9" * 5000, "[1, 2"),
    *("{[1, 2]: 3}", "{{a: 1}: 2}", "{? [a]: b}", "!!float x", "!!bool x", "!!null x", "<<: 1"),
    *("{<<: [1, 2], a: 1}", "{<<: {b: 1}}", "{=: 1}", "!!omap [a]", "!!pairs [a: 1]", "0o9", "1_"),
)


def change_yaml(data: bytes, rng: random.Random) -> bytes:
    """Another value behind a key, another key, or another depth of a line."""
    lines = data.decode("utf-8", "replace").split("\n")
    i = rng.randrange(len(lines))
    new = rng.choice((*_YAML, *_YAML, *TEXTS, *NUMBERS_AS_TEXT))
    key, colon, value = lines[i].partition(":")
    kind = rng.randrange(6)
    if kind < 3 and colon:
        lines[i] = f"{key}: {new}"
    elif kind == 3 and colon:
        indent = " " * (len(key) - len(key.lstrip()))
        lines[i] = f"{indent}{new}:{value}"
    elif kind == 4:
        lines[i] = " " * rng.choice((0, 1, 2, 7)) + lines[i].lstrip()
    else:
        lines.insert(i, new)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def laughing_yaml(data: bytes, rng: random.Random) -> bytes:
    """Aliases of aliases: little text that stands for very much."""
    lines = ["a0: &a0 [lol, lol]"]
    lines += [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, rng.randrange(2, 30))
    ]
    return "\n".join(lines).encode() + b"\n" + data


YAML = (change_yaml,) * 6 + (change_number, change_lines, break_text, laughing_yaml, flip_bits)
YAML += (cut_off, rewrite_text)
