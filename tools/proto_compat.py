#!/usr/bin/env python3
"""Whether the API still serves the clients of the last release.

    tools/proto_compat.py              # proto/ against proto/released/v1.binpb; exits with 1 when something breaks
    tools/proto_compat.py --release    # proto/ becomes the released API: with a release, never to silence a finding

Breaking are: a message, field, enum, value, service or method that is gone or has another name (job files and JSON name
them), a field's other number, type or cardinality, a value's other number, a method's other request, response or
streaming. Additions are free.
"""

import argparse
import pathlib
import sys

import proto_descriptors as descriptors

ROOT = pathlib.Path(__file__).resolve().parents[1]
RELEASED = ROOT / "proto" / "released" / "v1.binpb"


def by_name(files, kind):
    return {item.name: item for file in files for item in getattr(file, kind)}


def field_text(field):
    label = "repeated " if field.is_repeated else "optional " if field.is_optional else ""
    return f"{label}{field.type}" + (f" in oneof {field.oneof}" if field.oneof else "")


def compare_fields(old, new):
    found = {field.name: field for field in new.fields}
    numbers = {field.number: field.name for field in new.fields}
    for field in old.fields:
        name = f"{old.name}.{field.name}"
        if field.name not in found:
            taken = f"; its number {field.number} is {numbers[field.number]} now" if field.number in numbers else ""
            yield f"field {name} is gone{taken}"
            continue
        now = found[field.name]
        if now.number != field.number:
            yield f"field {name} had the number {field.number} and has {now.number}"
        if field_text(now) != field_text(field):
            yield f"field {name} was {field_text(field)} and is {field_text(now)}"


def compare_values(old, new):
    found = {name: number for name, number, _ in new.values}
    for name, number, _ in old.values:
        if name not in found:
            yield f"value {old.name}.{name} is gone"
        elif found[name] != number:
            yield f"value {old.name}.{name} was {number} and is {found[name]}"


def method_text(method):
    streams = ("stream " if method.streams_requests else "", "stream " if method.streams_responses else "")
    return f"({streams[0]}{method.request}) returns ({streams[1]}{method.response})"


def compare_methods(old, new):
    found = {method.name: method for method in new.methods}
    for method in old.methods:
        name = f"{old.name}.{method.name}"
        if method.name not in found:
            yield f"method {name} is gone"
        elif method_text(found[method.name]) != method_text(method):
            yield f"method {name} was {method_text(method)} and is {method_text(found[method.name])}"


def breaking_changes(released, present):
    """A line for each; both are lists of descriptors.File."""
    lines = []
    for kind, what, compare in (("messages", "message", compare_fields), ("enums", "enum", compare_values),
                                ("services", "service", compare_methods)):  # fmt: skip
        now = by_name(present, kind)
        for name, item in by_name(released, kind).items():
            lines += list(compare(item, now[name])) if name in now else [f"{what} {name} is gone"]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="make proto/ the released API")
    arguments = parser.parse_args()
    present = descriptors.compile_set(ROOT / "proto")
    if arguments.release:
        RELEASED.parent.mkdir(exist_ok=True)
        RELEASED.write_bytes(present)
        print(f"{RELEASED.relative_to(ROOT)}: {len(present)} bytes")
        return 0
    lines = breaking_changes(descriptors.read(RELEASED.read_bytes()), descriptors.read(present))
    for line in lines:
        print(line)
    print(f"{len(lines)} breaking changes against {RELEASED.relative_to(ROOT)}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
