"""Public names of a package in words: their signatures and docstrings."""

import inspect
import re
from collections.abc import Collection, Iterator
from typing import Any

from docs.generate.markdown import code, table

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example")


def sections_of(text: str) -> dict[str, str]:
    """Return the sections of a docstring by heading; what stands before the first is under an empty one."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", inspect.cleandoc(text), flags=re.MULTILINE)
    found = {"": parts[0].strip()}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        found[heading] = body
    return found


def entries_of(body: str) -> list[tuple[str, str]]:
    """Return the entries of a section, each a name and what it is."""
    entries = re.split(r"\n(?=\S)", inspect.cleandoc(body).strip())
    return [(name, " ".join(text.split())) for name, _, text in (entry.partition(": ") for entry in entries)]


def described(text: str | None) -> str:
    """Return a docstring as Markdown."""
    found = sections_of(text or "")
    parts = [_plain(found.pop(""))]
    for heading, body in found.items():
        if heading in ("Args", "Attributes"):
            column = "argument" if heading == "Args" else "attribute"
            parts.append(table((column, "meaning"), [(code(name), entry) for name, entry in entries_of(body)]))
        elif heading == "Raises":
            parts.append("\n".join(f"- Raises {_raised(name, entry)}" for name, entry in entries_of(body)))
        else:
            parts.append(f"{heading}: {' '.join(body.split())}")
    return "\n\n".join(part for part in parts if part)


def _raised(name: str, entry: str) -> str:
    return f"`{name}` {entry}" if entry else name


def _plain(text: str) -> str:
    """Return the head of a docstring; references in reStructuredText's form become code."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def signature_of(thing: Any) -> str:
    """Return how something is called, without types that only say so again."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    parameters = [one for one in found.parameters.values() if one.name not in ("self", "cls", "transport")]
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
    text = str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return re.sub(r"<function \S+ at 0x[0-9a-f]+>", "...", text)  # an address that is another one every time


def section(name: str, thing: Any, others: Collection[Any] = ()) -> str:
    """Return the section of a public name; of a class its methods and properties too.

    Args:
        name: under which it is public.
        thing: what it names.
        others: what has sections of its own, so that what a class has from there is left out.
    """
    if not inspect.isclass(thing):
        call = signature_of(thing) if callable(thing) else ""
        return f"## {name}\n\n```text\n{name}{call}\n```\n\n{described(thing.__doc__)}"
    parts = [f"## {name}", _construction(name, thing), described(thing.__doc__), *_members(thing, others)]
    return "\n\n".join(part for part in parts if part)


def _construction(name: str, cls: type) -> str:
    if issubclass(cls, BaseException) or "__init__" not in vars(cls) or "Attributes:" in (cls.__doc__ or ""):
        return ""
    return f"```text\n{name}{signature_of(cls)}\n```"


def _members(cls: type, others: Collection[Any]) -> Iterator[str]:
    """Yield the members that a class, or one of ours below it, defines itself, in their order."""
    top = cls.__module__.partition(".")[0]
    seen: set[str] = set()
    for owner in cls.__mro__:
        if not owner.__module__.startswith(top) or (owner is not cls and owner in others):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            yield from _member(name, member)


def _member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        yield f"### .{name}\n\n{described(member.__doc__)}"
    elif isinstance(member, classmethod | staticmethod):
        yield f"### .{name}{_escaped(signature_of(member.__func__))}\n\n{described(member.__doc__)}"
    elif inspect.isfunction(member):
        yield f"### .{name}{_escaped(signature_of(member))}\n\n{described(member.__doc__)}"


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")
