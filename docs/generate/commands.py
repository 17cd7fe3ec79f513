"""The reference of commands, from the command line itself."""

from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import typer.main

from docs.generate.markdown import code, page, table
from service.cli.commands import app
from service.cli.exits import ExitCode

LEAD = """\
Data goes to standard output, all else to standard error. `rhobust COMMAND --help` says the same at a terminal,
`rhobust --version` which version it is, and `rhobust --install-completion` makes your shell complete commands, options,
and the ids of the server's jobs. [Settings](../settings.md) tells of the environment."""
EXITS = {
    ExitCode.FINE: "fine",
    ExitCode.REGRESSION: "something regressed, or is different",
    ExitCode.USAGE: "usage, an invalid spec, or a refusal",
    ExitCode.JOB_FAILED: "the job failed",
    ExitCode.UNREACHABLE: "the server does not answer, or fails",
    ExitCode.ENVIRONMENT: "the machine lacks something: port, database, Ray, a plug-in",
    ExitCode.INTERRUPTED: "Ctrl-C",
    ExitCode.BROKEN_PIPE: "nobody reads on",
}


def commands_page() -> str:
    """Return the page."""
    root: Any = typer.main.get_command(app)
    panels: dict[str, list[str]] = defaultdict(list)
    for name, command in root.commands.items():
        panels[command.rich_help_panel or "Others"] += [_section(path, one) for path, one in _walk((name,), command)]
    exits = table(("exit code", "when"), [(str(int(code_)), EXITS[code_]) for code_ in ExitCode])
    sections = [f"## {panel}\n\n" + "\n\n".join(parts) for panel, parts in panels.items()]
    return page("Command line reference", LEAD, f"## Exit codes\n\n{exits}", *sections)


def _walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _walk((*path, name), one)


def _section(path: tuple[str, ...], command: Any) -> str:
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    usage = " ".join(["rhobust", *path, *(["[OPTIONS]"] if options else []), *map(_usage, arguments)])
    parts = [
        f"### rhobust {' '.join(path)}",
        f"```text\n{usage}\n```",
        command.help,
        table(("argument", "meaning"), [(code(_name(one)), one.help or "") for one in arguments]),
        table(("option", "value", "meaning"), [_option(one) for one in options]),
    ]
    return "\n\n".join(part for part in parts if part)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper()).strip("[]").removesuffix("...")


def _usage(argument: Any) -> str:
    name = _name(argument) + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> tuple[str, str, str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    text = option.help or ""
    if option.required:
        text += " Needed."
    elif isinstance(option.default, str | int | float) and not isinstance(option.default, bool):
        default = getattr(option.default, "value", option.default)
        text += f" By default {code(default)}." if default != "" else ""
    return names, "" if option.is_flag else _value(option), text


def _value(option: Any) -> str:
    kind, again = option.type_descriptor.annotation, ""
    while inner := [one for one in get_args(kind) if one is not type(None)]:
        if get_origin(kind) is Literal:
            return ", ".join(map(code, inner)) + again
        kind, again = inner[0], "; may stand again" if get_origin(kind) is list else again
    if issubclass(kind, Enum):
        return ", ".join(code(one.value) for one in kind) + again
    name = str(kind.__name__)
    return {"str": "text", "int": "number", "float": "number", "Path": "path"}.get(name, name) + again
