"""Thrift's compact protocol, as far as Parquet's page headers and footers need it.

What is written here is in ``parquet.thrift`` of the Parquet format; this module
knows numbers, strings, lists and structs, but no field of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

BOOLS, BYTE, DOUBLE, BINARY, STRUCT = (1, 2), 3, 7, 8, 12
VARINTS = (4, 5, 6)
LISTS = (9, 10)
I32, I64, LIST = 5, 6, 9

Value = int | bool | bytes | list[int] | list[bytes] | dict[int, "Value"]
"""An i64, a string, a list of either, or a struct: its fields by number."""


class I32Value(int):
    """A number whose field is an i32."""


class Field(NamedTuple):
    """A field of an encoded struct: its number and type, where it begins and where its value lies."""

    number: int
    kind: int
    start: int
    value: int
    stop: int


def varint(value: int) -> bytes:
    """Return an unsigned number, seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned number and where the next byte is."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def read_int(data: bytes, at: int) -> int:
    """Return a signed number."""
    value, _ = read_varint(data, at)
    return (value >> 1) ^ -(value & 1)


def encode_struct(fields: dict[int, Value], *, after: int = 0) -> bytes:
    """Return a struct, or what is left of it after the field of a number."""
    out, last = bytearray(), after
    for number, value in fields.items():
        kind, body = _encoded(value)
        out.append((number - last) << 4 | kind)
        out += body
        last = number
    out.append(0)
    return bytes(out)


def list_header(kind: int, count: int) -> bytes:
    """Return what stands before the elements of a list."""
    return bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)


def fields_of(data: bytes, at: int) -> Iterator[Field]:
    """Yield the fields of the struct that begins at a byte; the last one has kind 0 and ends the struct."""
    number = 0
    while True:
        start, head = at, data[at]
        at += 1
        kind = head & 0x0F
        if kind == 0:
            yield Field(0, 0, start, at, at)
            return
        if head >> 4:
            number += head >> 4
        else:
            number = read_int(data, at)
            at = read_varint(data, at)[1]
        stop = skip(data, at, kind)
        yield Field(number, kind, start, at, stop)
        at = stop


def skip(data: bytes, at: int, kind: int) -> int:  # noqa: C901  # one case per type
    """Return where the value of a type that begins at a byte stops."""
    if kind in VARINTS:
        while data[at] > 0x7F:
            at += 1
        return at + 1
    if kind == BINARY:
        length, at = read_varint(data, at)
        return at + length
    if kind == STRUCT:
        while (head := data[at]) != 0:
            at += 1
            if head < 0x10:
                at = read_varint(data, at)[1]
            if head & 0x0F not in BOOLS:
                at = skip(data, at, head & 0x0F)
        return at + 1
    if kind in LISTS:
        count, inner, at = _read_list_header(data, at)
        for _ in range(count):
            at = at + 1 if inner in BOOLS else skip(data, at, inner)
        return at
    if kind in BOOLS:
        return at
    return at + (8 if kind == DOUBLE else 1)


def _read_list_header(data: bytes, at: int) -> tuple[int, int, int]:
    count, kind = data[at] >> 4, data[at] & 0x0F
    at += 1
    if count == 15:
        count, at = read_varint(data, at)
    return count, kind, at


def _encoded(value: Value) -> tuple[int, bytes]:
    """Return the type of a value and its bytes."""
    if isinstance(value, bool):
        return BOOLS[0] if value else BOOLS[1], b""
    if isinstance(value, int):
        return I32 if isinstance(value, I32Value) else I64, zigzag(value)
    if isinstance(value, bytes):
        return BINARY, varint(len(value)) + value
    if isinstance(value, dict):
        return STRUCT, encode_struct(value)
    kind = BINARY if isinstance(value[0], bytes) else I32
    bodies = [_encoded(element)[1] for element in value]
    return LIST, list_header(kind, len(bodies)) + b"".join(bodies)


def zigzag(value: int) -> bytes:
    """Return a signed number."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)
