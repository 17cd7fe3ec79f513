"""Parsing of specs: strict models, typed numbers, and errors with a pointer and the nearest known name."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator
from pydantic import ValidationError as PydanticError
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError

from benchmark.errors import Problem, SpecError
from optimizers import nearest

MAX_TEXT_LENGTH = 200


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return the message for a name that is not among `choices`, with the nearest of them."""
    known = sorted(choices)
    guess = nearest(name, known)
    hint = f"; did you mean '{guess}'?" if guess else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(known) or 'none'}."


def _number(value: object) -> object:
    """Accept numbers that YAML reads as text (`1e-3`); refuse what no number of a spec can be."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                raise PydanticCustomError("number", "a number is needed") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise PydanticCustomError("finite", "a finite number is needed")
    return value


def _real(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "a number is needed")
    return _number(value)


def _storable(text: str) -> str:
    """Refuse what a database cannot hold or a terminal must not print."""
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF or ord(character) == 127 for character in text):
        raise PydanticCustomError("text", "control characters and lone surrogates are not allowed in a text")
    return text


Number = Annotated[float, BeforeValidator(_real)]
Integer = Annotated[int, BeforeValidator(_real)]
Scalar = Annotated[bool | int | float, BeforeValidator(_number)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH), AfterValidator(_storable)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class SpecModel(BaseModel):
    """A frozen part of a spec; an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    open_keys: ClassVar[bool] = False  # whether further keys are hyperparameters that a registry checks later

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.open_keys or not isinstance(data, Mapping):
            return handler(data)
        unknown = [key for key in data if key not in cls.model_fields]
        errors = [_detail(unknown_name("key", str(key), cls.model_fields), (str(key),), data[key]) for key in unknown]
        try:
            result = handler({key: value for key, value in data.items() if key not in unknown})
        except PydanticError as error:
            errors += [_detail(item["msg"], item["loc"], item["input"]) for item in error.errors(include_url=False)]
        if errors:
            raise PydanticError.from_exception_data(cls.__name__, errors)
        return result


def _detail(message: str, location: tuple[int | str, ...], value: object) -> InitErrorDetails:
    kind = PydanticCustomError("spec", "{message}", {"message": message})
    return InitErrorDetails(type=kind, loc=location, input=value)


def pointer(*parts: int | str) -> str:
    """Return the JSON pointer (RFC 6901) of a place in a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def problems_of(error: PydanticError) -> list[Problem]:
    """Return pydantic's errors as problems, each with the value that was received where that helps."""
    problems = []
    for item in error.errors(include_url=False):
        message, value = item["msg"], item["input"]
        if "but got" not in message and not message.startswith("unknown") and isinstance(value, str | int | float):
            message = f"{message}, but got {value!r:.80}"
        problems.append(Problem(pointer(*item["loc"]), message))
    return problems


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error; YAML itself keeps the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_text(text: str, origin: str) -> Mapping[str, Any]:
    """Return the mapping that YAML or JSON text holds.

    Args:
        text: the document; JSON is read as YAML, of which it is a part.
        origin: name of its source for the error message.

    Raises:
        SpecError: when the text is not YAML, or is no mapping.
    """
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise SpecError([Problem("", f"{origin} is not YAML or JSON: {detail}")]) from error
    if not isinstance(document, Mapping):
        raise SpecError(
            [Problem("", f"a spec must be a mapping of keys, but {origin} holds {type(document).__name__}.")]
        )
    return document


def read_text(path: Path) -> str:
    """Return the text of a spec file.

    Raises:
        SpecError: when the file cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError([Problem("", f"cannot read {path}: {error.strerror}.")]) from error
    except UnicodeDecodeError as error:
        raise SpecError(
            [Problem("", f"{path} must be UTF-8 text, but {error.reason} at byte {error.start}.")]
        ) from error
