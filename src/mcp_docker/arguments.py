"""From what a client sends to typed arguments, with every fault by name."""

import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mcp_docker.errors import InvalidArguments

Model = TypeVar("Model", bound=BaseModel)


def parsed(model: type[Model], called: str, arguments: Mapping[str, Any], gone: Mapping[str, str]) -> Model:
    """The model with these arguments; null counts as absent.

    Args:
        called: what a client calls it.
        gone: arguments that earlier versions had, and what replaced each.

    Raises:
        InvalidArguments: with each argument that is unknown or does not fit, by name.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    known = set(fields) | {name for field in fields.values() for name in _other_names(field)}
    if unknown := [name for name in arguments if name not in known]:
        raise InvalidArguments(
            f"{called} has no argument {', '.join(repr(name) for name in unknown)}",
            "; ".join(
                [f"{name}: {gone[name]}" for name in unknown if name in gone]
                + [f"it takes {', '.join(fields) or 'none'}."]
            ),
        )
    try:
        decoded = {
            name: _decoded(value, fields[name].annotation) if name in fields else value
            for name, value in arguments.items()
            if value is not None
        }
        return model.model_validate(decoded)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors(include_url=False))
    except RecursionError:
        problems = "the arguments are nested too deeply"
    except UnicodeEncodeError:  # pydantic can't write down what a validator says of such a text
        problems = "the arguments hold half a surrogate pair, which is no character"
    # not inside the clause: pydantic's error would be held by this one, and the garbage collector can't see through it
    raise InvalidArguments(f"{called}: {problems}", "correct the arguments and call again.")


def _other_names(field: Any) -> tuple[str, ...]:
    alias = field.validation_alias
    return tuple(str(choice) for choice in alias.choices) if hasattr(alias, "choices") else ()


def _decoded(value: Any, annotation: Any) -> Any:
    """Some clients send structured arguments as JSON text; decode where text could not be meant."""
    if isinstance(value, str) and value[:1] in ("{", "[") and not _takes_text(annotation):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _takes_text(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _takes_text(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return any(_takes_text(branch) for branch in get_args(annotation))
    if origin is not None:
        return isinstance(get_args(annotation)[0], str)
    return isinstance(annotation, type) and issubclass(annotation, str)


def _problem(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
