"""Rows that many steps a second take by their key: read without the ORM's query builder, which costs more than the database does."""

from functools import lru_cache
from typing import Literal, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model

Row = TypeVar("Row", bound=Model)
#: UPDATE: nobody else changes it until the transaction ends; SHARE: nobody changes it, others may hold it so, too; "": it is only read.
Lock = Literal["UPDATE", "SHARE", ""]


@lru_cache(maxsize=64)
def _select(model: type[Model]) -> str:
    columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)
    return f'SELECT {columns} FROM "{model._meta.db_table}" WHERE "{model._meta.pk.column}" = %s'  # noqa: S608 - names of a model  # type: ignore[union-attr]


def row_of(model: type[Row], key: UUID | str, lock: Lock = "") -> Row | None:
    """The row of a key as it is now; with ``lock`` it is held until the transaction ends. None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_select(model)} FOR {lock}" if lock else _select(model), [key])
        found = cursor.fetchone()
    if found is None:
        return None
    fields, values = model._meta.concrete_fields, list(found)
    for place, field in enumerate(fields):
        for convert in field.get_db_converters(connection):
            values[place] = convert(values[place], None, connection)
    row: Row = model.from_db("default", [field.attname for field in fields], values)
    return row
