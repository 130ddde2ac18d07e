"""The configuration from its TOML file; what is wrong with it in one sentence."""

import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.settings import Settings

LONGEST_VALUE = 60
Model = TypeVar("Model", bound=BaseModel)


def load_settings(path: Path) -> Settings:
    """Read a configuration.

    Parameters
    ----------
    path
        TOML file; relative paths inside are taken from its folder.

    Returns
    -------
    Settings
        With every path made absolute.

    Raises
    ------
    SettingsError
        In one sentence: where, what was expected, what came.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"expected a configuration in {path}, but it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"expected a configuration in {path}, but it is not UTF-8 text: {error}") from error
    try:
        # By way of JSON, whose strict reading takes no text or truth value for a number, as Python's own would.
        given = json.dumps(tomllib.loads(text), default=str)
        settings = Settings.model_validate_json(given, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"expected TOML in {path}, but it is not: {error}") from error
    except ValidationError as error:
        raise SettingsError(f"{path}: {_first_problem(error.errors())}") from error
    return _with_absolute_paths(settings, path.resolve().parent)


def _first_problem(problems: list[ErrorDetails]) -> str:
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ": ".join(filter(None, (place, _complaint(first)))) + more


def _complaint(problem: ErrorDetails) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return "there is no such setting"
        case "missing":
            return "this setting is required, got none"
        case "value_error":
            return problem["msg"].removeprefix("Value error, ")
        case _:
            expected = problem["msg"].removeprefix("Input should ").removeprefix("be ")
            return f"expected {expected}, got {_shortened(problem['input'])}"


def _shortened(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _with_absolute_paths(model: Model, folder: Path) -> Model:
    return model.model_copy(
        update={name: _with_absolute_path(getattr(model, name), folder) for name in type(model).model_fields}
    )


def _with_absolute_path(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, BaseModel):
        return _with_absolute_paths(value, folder)
    if isinstance(value, tuple):
        return tuple(_with_absolute_path(item, folder) for item in value)
    return value
