"""What every table of the configuration is, and the types that their values share."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ReflectionLabel = Annotated[str, Field(pattern=r"^(-?\d){3}$|^-?\d+(,-?\d+){2}$")]


class _FalseIsNone:
    """Reads ``false`` as None, and tells the schema so."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda given: None if given is False else given, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        told = handler(schema)
        told["anyOf"] = [{"const": False} if each == {"type": "null"} else each for each in told["anyOf"]]
        return told


T = TypeVar("T")
OrOff = Annotated[T | None, _FalseIsNone()]


class Section(BaseModel):
    """A table of the file: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
