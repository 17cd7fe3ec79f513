"""Parsing of specs: strict models, typed numbers, and errors with a pointer and the nearest known name."""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator
from pydantic import ValidationError as PydanticError
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError

from benchmark.errors import Problem, SpecError
from optimizers import nearest

MAX_TEXT_LENGTH = 200
MAX_DEPTH = 16
MAX_NODES = 20_000  # places in a document; YAML's aliases can multiply a small text beyond any memory
MAX_PROBLEMS = 100  # told of one document, for each takes its time
MAX_INTEGER = 2**63 - 1
UNSTORABLE = "control characters and lone surrogates are not allowed in a text"
MAX_UNKNOWN_KEYS = 20  # named in one mapping, for each is compared with every known key
MAX_OPEN_KEYS = 32  # of a mapping of hyperparameters, for the same reason


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
    if not isinstance(value, int | float):
        raise PydanticCustomError("number", "a number is needed")
    if not isinstance(value, bool):
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


def _is_storable(text: str) -> bool:
    """Whether a database can hold a text and a terminal may print it."""
    return not any(unicodedata.category(char) in ("Cc", "Cs") for char in text)


def _storable(text: str) -> str:
    if not _is_storable(text):
        raise PydanticCustomError("text", UNSTORABLE)
    return text


Number = Annotated[float, BeforeValidator(_real)]
Integer = Annotated[int, BeforeValidator(_real)]
Scalar = Annotated[bool | int | float, BeforeValidator(_number)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH), AfterValidator(_storable)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


_IN_OUR_WORDS = {
    "model_type": "a mapping of keys is needed, such as {name: ...}",
    "dict_type": "a mapping of keys is needed, such as {name: ...}",
    "tuple_type": "a list is needed, such as [...]",
    "too_short": "the list must not be empty",
    "string_type": "a text is needed",
    "missing": "this key must be given",
}


_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _name_bounds(schema: Any) -> None:
    """Give the bounds of numbers the names that JSON Schema has; pydantic keeps its own behind a validator."""
    if isinstance(schema, dict):
        for ours, theirs in _BOUNDS.items():
            if not isinstance(schema.get(ours), dict | None):
                schema[theirs] = schema.pop(ours)
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict | list):
            _name_bounds(part)


class SpecModel(BaseModel):
    """A frozen part of a spec; an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_name_bounds)

    open_keys: ClassVar[bool] = False  # whether further keys are hyperparameters that a registry checks later

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.open_keys and isinstance(data, Mapping) and len(data) > MAX_OPEN_KEYS:
            message = "there may be at most {most} keys here, but got {n}."
            raise PydanticCustomError("too_many", message, {"most": MAX_OPEN_KEYS, "n": len(data)})
        if cls.open_keys or not isinstance(data, Mapping):
            return handler(data)
        unknown = [key for key in data if key not in cls.model_fields]
        errors = [
            _detail("unknown", unknown_name("key", str(key), cls.model_fields), (str(key),), data[key])
            for key in unknown[:MAX_UNKNOWN_KEYS]
        ]
        try:
            result = handler({key: value for key, value in data.items() if key in cls.model_fields})
        except PydanticError as error:
            errors += [
                _detail(item["type"], item["msg"], item["loc"], item["input"])
                for item in error.errors(include_url=False)[:MAX_PROBLEMS]
            ]
        except SpecError as error:
            unknown_keys = problems_of(PydanticError.from_exception_data(cls.__name__, errors), data)
            raise SpecError([*unknown_keys, *error.problems]) from error
        if errors:
            raise PydanticError.from_exception_data(cls.__name__, errors)
        return result


def _detail(kind: str, message: str, location: tuple[int | str, ...], value: object) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(kind, "{message}", {"message": message}), loc=location, input=value
    )


def pointer(*parts: int | str) -> str:
    """Return the JSON pointer (RFC 6901) of a place in a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def problems_of(error: PydanticError, document: object) -> list[Problem]:
    """Return pydantic's errors as problems, each with the value that was received where that helps.

    Args:
        error: what pydantic found.
        document: what it was given; pointers lead to places in it, or to a key that it lacks.
    """
    items = error.errors(include_url=False)[:MAX_PROBLEMS]
    found: dict[str, list[str]] = {}
    for item in items:
        if item["type"] == "too_short" and any(_is_below(other["loc"], item["loc"]) for other in items):
            continue  # pydantic counts the items that were fine
        message, value = _IN_OUR_WORDS.get(item["type"], item["msg"]).removeprefix("Value error, "), item["input"]
        if "but got" not in message and item["type"] != "unknown" and isinstance(value, str | int | float):
            message = f"{message}, but got {value!r:.80}"
        found.setdefault(pointer(*_place(document, item["loc"], item["type"])), []).append(message)
    # several messages about one place are the ways in which it might have been right
    return [Problem(place, ", or: ".join(dict.fromkeys(messages))) for place, messages in found.items()]


def _is_below(location: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(location) > len(other) and location[: len(other)] == other


def _place(document: object, location: tuple[int | str, ...], kind: str) -> tuple[int | str, ...]:
    """Return the part of pydantic's location that is a place in the document, without the branches of its unions."""
    for depth, part in enumerate(location):
        is_index = isinstance(document, list | tuple) and isinstance(part, int) and part < len(document)
        if not (is_index or (isinstance(document, Mapping) and part in document)):
            return location[: depth + 1] if kind == "missing" else location[:depth]
        document = document[part]  # type: ignore[index]  # one of the two that have places
    return location


def plain_document(document: object) -> Any:
    """Return a copy of a document that consists of what JSON has: texts, numbers, truth values, lists, mappings.

    Whatever it passes can be named in a message and sent over a wire.

    Raises:
        SpecError: with the place of everything else, of texts that cannot be stored, of numbers beyond 64 bits, and of
            what is nested or multiplied beyond measure.
    """
    walk = _Walk()
    copy = walk.visit(document, ())
    if walk.problems:
        raise SpecError(walk.problems)
    return copy


class _Walk:
    """One walk through a document: what it found wrong, and how far it may still go."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._n_left = MAX_NODES

    def visit(self, value: object, place: tuple[int | str, ...]) -> object:
        """Return a plain copy of a value; note what of it is none."""
        self._n_left -= 1
        if self._n_left < 0:
            raise SpecError([Problem("", f"a spec may have at most {MAX_NODES:,} places, aliases counted in full.")])
        fault = _fault(value, len(place))
        if len(self.problems) >= MAX_PROBLEMS:
            raise SpecError(self.problems[:MAX_PROBLEMS])
        if fault:
            self.problems.append(Problem(pointer(*place), fault))
        elif isinstance(value, Mapping):
            faults = {key: _key_fault(key) for key in value}
            self.problems += [Problem(pointer(*place), fault) for fault in faults.values() if fault][:MAX_PROBLEMS]
            return {key: self.visit(item, (*place, key)) for key, item in value.items() if not faults[key]}
        elif isinstance(value, list | tuple):
            return [self.visit(item, (*place, index)) for index, item in enumerate(value)]
        return value


def _fault(value: object, depth: int) -> str | None:
    if isinstance(value, Mapping | list | tuple):
        return f"a spec may be nested at most {MAX_DEPTH} levels deep." if depth >= MAX_DEPTH else None
    if isinstance(value, str):
        return None if _is_storable(value) else f"{UNSTORABLE}, but got {value!a:.80}"
    if isinstance(value, int):
        return None if abs(value) <= MAX_INTEGER else "a whole number must fit into 64 bits."
    if value is None or isinstance(value, float):
        return None
    return f"no place in a spec holds a {type(value).__name__}; put a text that looks like one into quotes."


def _key_fault(key: object) -> str | None:
    if isinstance(key, str) and len(key) <= MAX_TEXT_LENGTH and _is_storable(key):
        return None
    shown = f"{key!a:.80}" if isinstance(key, str | float | bool | None) else f"a {type(key).__name__}"
    return f"a key must be a text of at most {MAX_TEXT_LENGTH} printable characters, but got {shown}."
