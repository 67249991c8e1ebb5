"""What ``ds/<name>/sources.yaml`` may say.

The file lists every raw file of a dataset: where it comes from, how big it is, where it must lie,
or what a person has to do to get it. ``docs/SOURCES.md`` explains it key by key. A mistake in the
file is reported as one line with file, key, value and what is allowed.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import os
import re
import typing
import urllib.parse
from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from posepile.acquire.about import About
from posepile.acquire.addresses import require_no_logins, shown_address, without_access
from posepile.acquire.patterns import escape, is_literal
from posepile.acquire.places import (
    ExactSize,
    FileFacts,
    Pattern,
    Patterns,
    Place,
    Places,
    RelativePath,
    Strict,
    one_or_more,
)
from posepile.acquire.stated import StatedCount
from posepile.errors import UsageError
from posepile.formats.yaml_files import read_yaml


def _web_address(value: str) -> str:
    parts = urllib.parse.urlsplit(value)
    _ = parts.port  # a wrong one is a ValueError
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be an http:// or https:// address")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or password; use login:")
    return value


def _byte_count(value):
    """``22GB`` and the like, for sizes that are only roughly known; exact sizes are integers."""
    if isinstance(value, str):
        m = re.fullmatch(r"\s*([\d.]+)\s*(B|[kK]B|MB|GB|TB)\s*", value)
        if not m:
            raise ValueError("must be a number of bytes, or like 3.1GB")
        scale = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[m[2]]
        return int(float(m[1]) * scale)
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]
Lines = Annotated[list[str], BeforeValidator(one_or_more)]
Size = Annotated[int, BeforeValidator(_byte_count), Field(ge=0)]  # also 3.1GB
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Login(Strict):
    """How a server wants to be asked.

    Attributes:
        kind: ``mpi``: user name and password in the body of a POST, as the download server of the
            Max Planck Institute for Intelligent Systems takes them; ``basic``: HTTP basic
            authentication.
        domain: The account's name at that server (``amass``, ``mano``, ``smpl``, ...).
        service: Under which name the credentials are looked up; the domain if left out.
    """

    kind: Literal["mpi", "basic"]
    domain: Name | None = None
    service: Name | None = None

    @model_validator(mode="after")
    def _named(self):
        if not (self.domain or self.service):
            raise ValueError("login needs domain: (or service:) to know which account is meant")
        return self

    @property
    def account(self) -> str:
        """Name under which :mod:`posepile.acquire.credentials` knows the account."""
        return self.service or self.domain or ""


class Extract(Strict):
    """What happens with an archive once it is there.

    Attributes:
        to: Folder below the raw folder.
        strip_prefix: Leading folders of the member names that are dropped; patterns allowed, and
            ``**`` for all folders. A member that is not below it is an error.
        format: ``auto`` goes by the first bytes.
        members: Only members matching one of these patterns (before the prefix is dropped).
        inner: Members matching one of these patterns are archives themselves: what is in them is
            extracted to ``to`` in their place. What matches neither these nor ``members`` is left
            out.
        password: Credential name of an encrypted archive's password.
        keep: Keep the archive after extraction.
        max_bytes: Upper limit of what may come out, against archive bombs; otherwise 200 times the
            archive's size and at least 1 GB.
        rewritten: Extracted files that a later stage is known to rewrite, so that their size says
            nothing.
    """

    to: RelativePath = "."
    strip_prefix: RelativePath = ""
    format: Literal["auto", "tar", "zip", "7z"] = "auto"
    members: Patterns = Field(default_factory=list)
    inner: Patterns = Field(default_factory=list)
    password: Name | None = None
    keep: bool = True
    max_bytes: Size | None = None
    rewritten: Patterns = Field(default_factory=list)


class Manual(Strict):
    """Steps that only a person can do: licence forms, accounts, links sent by mail.

    Attributes:
        steps: One sentence each, in order.
        url: Where to begin.
        places: Where the result must lie. The source counts as had when all are filled.
    """

    steps: Annotated[list[str], Field(min_length=1), BeforeValidator(one_or_more)]
    places: Places
    url: WebAddress | None = None


class Tool(Strict):
    """A download that only the dataset's own program can do.

    Attributes:
        command: Program and arguments; ``{root}`` becomes the raw folder. No shell is involved.
        install: How to get the program.
        on_failure: What to do when it fails, e.g. how expired keys are renewed.
        environment: Names of variables with keys that it needs, ``AWS_*`` for all that begin so;
            others do not reach it.
        places: As in :class:`Manual`.
    """

    command: Annotated[list[str], Field(min_length=1)]
    install: str
    places: Places
    on_failure: str = ""
    environment: list[str] = Field(default_factory=list)


class Source(FileFacts):
    """One file (or one set of files fetched together). Exactly one of url, manual, tool.

    Attributes:
        name: Unique; what ``--parts`` takes.
        url: Where it is fetched.
        mirrors: Tried in order when ``url`` fails.
        manual: Steps for a person.
        tool: The dataset's own program.
        approx_bytes: Rough size for the plan's totals, where the exact one is unknown.
        licence: Where it differs from the dataset's.
        part: Group name, also taken by ``--parts``.
        optional: Fetched only when asked for by name or part.
        to: Path below the raw folder; ``archives/<last part of the URL>`` if left out.
        extract: What to do with an archive.
        provides: Files that show that somebody has already extracted it by hand, one of each.
        login: How the server wants to be asked.
        note: Shown in the plan.
        instead_of: Sources that need not be asked for where this one is on disk, as an archive of
            all of their archives. It is taken where it is, and never asked for itself.
        one_of: Name with ``{}`` of the entry with ``each`` that it was made from.
    """

    name: Name
    url: WebAddress | None = None
    mirrors: list[WebAddress] = Field(default_factory=list)
    manual: Manual | None = None
    tool: Tool | None = None
    approx_bytes: Size | None = None
    licence: str = ""
    part: str = ""
    optional: bool = False
    to: RelativePath | None = None
    extract: Extract | None = None
    provides: Patterns = Field(default_factory=list)
    login: Login | None = None
    note: str = ""
    instead_of: Annotated[list[Name], BeforeValidator(one_or_more)] = Field(default_factory=list)
    one_of: str = ""

    @model_validator(mode="after")
    def _consistent(self):
        if sum(x is not None for x in (self.url, self.manual, self.tool)) != 1:
            raise ValueError("needs exactly one of url, manual, tool")
        if self.url is None:
            for key in ("mirrors", "login", "to", *FileFacts.model_fields):
                if getattr(self, key):
                    raise ValueError(f"{key} belongs to a url; for manual and tool use places")
        elif self.to is None and not _last_part(self.url):
            raise ValueError("the url does not end in a file name, so to: is needed")
        for address in (self.url, *self.mirrors):
            if self.login and address and not _is_private(address):
                raise ValueError(
                    f"a password is not sent to {shown_address(address)}: it must be https"
                )
        for mirror in self.mirrors:
            ours, theirs = urllib.parse.urlsplit(self.url or ""), urllib.parse.urlsplit(mirror)
            if ours.scheme == "https" != theirs.scheme:
                raise ValueError(f"the mirror {shown_address(mirror)} must be https, as url is")
            if self.login and ours.hostname != theirs.hostname:
                raise ValueError(
                    f"the password for {ours.hostname} is not sent to {theirs.hostname}: with "
                    "login: all addresses must have the same host"
                )
        return self

    @property
    def path(self) -> str:
        """Where the downloaded file lies below the raw folder."""
        return self.to or f"archives/{_last_part(self.url or '')}"

    @functools.cached_property
    def places(self) -> list[Place]:
        """Where the source's files lie, whichever way they come."""
        if self.url is not None:
            return [Place(path=escape(self.path), **self.facts)]
        return (self.manual or self.tool).places

    @property
    def size(self) -> int | None:
        """Best known size in bytes."""
        return self.bytes if self.bytes is not None else self.approx_bytes


class Absent(Strict):
    """Something one would expect and that is known not to exist."""

    what: str
    reason: str
    paths: Patterns = Field(default_factory=list)


class Expected(Strict):
    """One line of the expected tree.

    Attributes:
        path: Pattern below the raw folder.
        count: Exact number of matching files.
        min: Fewest; 1 if nothing else is said.
        max: Most.
        bytes: Exact size of each.
        min_bytes: Smallest possible size of each.
        optional: May be missing altogether.
        for_each: Another pattern sharing ``<name>`` parts: for each file matching it the
            corresponding ``path`` must exist, and a missing one is named.
        note: Why.
    """

    path: Pattern
    count: Annotated[int, Field(ge=0)] | None = None
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    bytes: ExactSize | None = None
    min_bytes: ExactSize | None = None
    optional: bool = False
    for_each: Pattern | None = None
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self):
        if self.count is not None and (self.min is not None or self.max is not None):
            raise ValueError("count excludes min and max")
        if self.for_each is not None:
            names = re.findall(r"<(\w+)>", self.path)
            known = re.findall(r"<(\w+)>", self.for_each)
            if not names or set(names) - set(known):
                raise ValueError("path must be made of <names> that for_each has too")
            if not is_literal(re.sub(r"<\w+>", "x", self.path)):
                raise ValueError("with for_each the path may hold <names> but no other wildcard")
        return self

    def size_fault(self, size: int) -> str | None:
        """Returns what is wrong with a file of this size, None if nothing is."""
        if self.bytes is not None and size != self.bytes:
            return f"{size} bytes instead of {self.bytes}"
        if self.min_bytes is not None and size < self.min_bytes:
            return f"{size} bytes, at least {self.min_bytes} expected"
        return None


def _expected(value):
    return {"path": value} if isinstance(value, str) else value


class Service(Strict):
    """An account that some sources need."""

    url: WebAddress | None = None
    steps: Lines = Field(default_factory=list)


class Sources(Strict):
    """The whole of ``sources.yaml``.

    Attributes:
        dataset: Folder name below ``posepile/ds``.
        about: What the page of all datasets says of this one.
        page: The dataset's home page.
        licence: Licence of everything that does not say otherwise.
        services: Accounts by credential name: where to register and what to accept.
        sources: The files.
        absent: What is known not to exist.
        roots: Folders below which the tree may stand; ``layout``, ``provides`` and the paths of
            ``absent`` are relative to the first of them that holds any of it.
        layout: The expected tree once everything is in place.
        ignore: Files that may lie there and are nobody's business.
        counts: Numbers that the authors state.
    """

    dataset: Name
    about: About | None = None
    page: WebAddress | None = None
    licence: str = ""
    services: dict[Name, Service] = Field(default_factory=dict)
    sources: list[Source] = Field(default_factory=list)
    absent: list[Absent] = Field(default_factory=list)
    roots: Annotated[list[RelativePath], Field(min_length=1)] = Field(["."])
    layout: list[Annotated[Expected, BeforeValidator(_expected)]] = Field(default_factory=list)
    ignore: Patterns = Field(default_factory=list)
    counts: list[StatedCount] = Field(default_factory=list)

    @model_validator(mode="after")
    def _distinct(self):
        for what, values in (
            ("name", [s.name for s in self.sources]),
            ("destination", [s.path for s in self.sources if s.url]),
        ):
            twice = sorted(v for v, n in Counter(values).items() if n > 1)
            if twice:
                raise ValueError(f"two sources have the {what} {twice[0]!r}")
        known = {s.name for s in self.sources}
        unknown = sorted({n for s in self.sources for n in s.instead_of} - known)
        if unknown:
            raise ValueError(f"instead_of: there is no source {unknown[0]!r}")
        return self

    def select(self, only: typing.Iterable[str] | None = None) -> list[Source]:
        """The sources that are wanted: by name or part, or all that are not optional.

        Raises:
            UsageError: A word that is neither a name nor a part.
        """
        if only is None:
            chosen = {s.name for s in self.sources if not (s.optional or s.instead_of)}
            return [s for s in self.sources if s.name in chosen or chosen & set(s.instead_of)]
        wanted = [only] if isinstance(only, str) else list(only)
        known = {s.name for s in self.sources} | {s.part for s in self.sources if s.part}
        for word in wanted:
            if word not in known:
                close = difflib.get_close_matches(word, known, 1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise UsageError(
                    f"{self.dataset}: no source or part named {word!r}{hint}; "
                    f"there are: {', '.join(sorted(known)) or 'none'}"
                )
        chosen = {s.name for s in self.sources if s.name in wanted or s.part in wanted}
        return [s for s in self.sources if s.name in chosen or chosen & set(s.instead_of)]


def load_sources(path: str | os.PathLike) -> Sources:
    """Reads and validates a ``sources.yaml``.

    Raises:
        UsageError: No such file, not YAML, or something in it that is not allowed; the message
            names the file, the key, the value found and what is allowed.
    """
    try:
        return read_yaml(path, Sources, prepare=_prepared)
    except UsageError as e:
        raise UsageError(without_access(str(e))) from None


def _prepared(raw: typing.Any) -> typing.Any:
    require_no_logins(raw)
    return _expanded(raw)


def _expanded(raw: typing.Any) -> typing.Any:
    """The content with one source per combination of the values in a source's ``each``."""
    if not isinstance(raw, dict) or not isinstance(raw.get("sources"), list):
        return raw
    sources = []
    for entry in raw["sources"]:
        if not isinstance(entry, dict) or "each" not in entry:
            sources.append(entry)
            continue
        where, each = f"sources[{entry.get('name')}]", entry["each"]
        lists = list(each.values()) if isinstance(each, dict) else []
        if not lists or not all(isinstance(values, list) and values for values in lists):
            raise ValueError(f"{where}.each must be names with lists of values")
        rest = {key: value for key, value in entry.items() if key not in ("each", "except")}
        made = [
            _filled(rest, dict(zip(each, values, strict=True)))
            for values in itertools.product(*lists)
        ]
        left_out = entry.get("except", [])
        unknown = set(left_out) - {source.get("name") for source in made}
        if unknown:
            raise ValueError(f"{where}.except: there is no source {min(unknown)!r}")
        sources += [
            {**source, "one_of": entry.get("name")}
            for source in made
            if source.get("name") not in left_out
        ]
    return {**raw, "sources": sources}


def _filled(node: typing.Any, values: dict) -> typing.Any:
    """A copy of plain data in whose texts ``{name}`` is replaced."""
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    if isinstance(node, str):
        for name, value in values.items():
            node = node.replace(f"{{{name}}}", str(value))
    return node


def _last_part(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    # Download scripts carry the file name in a parameter.
    query = urllib.parse.parse_qs(parts.query)
    path = query.get("sfile", [parts.path])[0]
    name = urllib.parse.unquote(path).rstrip("/").rsplit("/", 1)[-1]
    return name if re.fullmatch(r"[\w.,+@=-][\w .,+@=-]*", name) and name != ".." else ""


def _is_private(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")
