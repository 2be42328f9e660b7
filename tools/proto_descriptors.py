"""What is in our .proto files: their descriptor set, as protoc writes it, read with the standard library alone.

load(proto_folder) runs protoc; read(bytes) reads a set that it wrote before. Both give a list of files; see File below.
Only what documentation and comparison need is read: names, numbers, types, labels and comments.
"""

import dataclasses
import pathlib
import subprocess
import tempfile

# descriptor.proto: FieldDescriptorProto.Type.
SCALARS = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string",
           12: "bytes", 13: "uint32", 15: "sfixed32", 16: "sfixed64", 17: "sint32", 18: "sint64"}  # fmt: skip
REPEATED = 3


@dataclasses.dataclass
class Field:
    name: str
    number: int
    type: str  # "int64", or the full name of a message or enum
    is_repeated: bool
    is_optional: bool  # says whether it is set
    oneof: str  # "" outside of one
    comment: str = ""


@dataclasses.dataclass
class Message:
    name: str  # full, such as espalier.v1.Job
    fields: list
    comment: str = ""


@dataclasses.dataclass
class Enum:
    name: str
    values: list  # (name, number, comment)
    comment: str = ""


@dataclasses.dataclass
class Method:
    name: str
    request: str
    response: str
    streams_requests: bool
    streams_responses: bool
    comment: str = ""


@dataclasses.dataclass
class Service:
    name: str
    methods: list
    comment: str = ""


@dataclasses.dataclass
class File:
    name: str
    package: str
    messages: list
    enums: list
    services: list
    comment: str = ""


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def parse(data):
    """{field number: [values]} of one message in the wire format; groups do not occur in descriptors."""
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {kind} at byte {at}: no descriptor set")
        fields.setdefault(number, []).append(value)
    return fields


def text(fields, number):
    return fields.get(number, [b""])[-1].decode()


def integer(fields, number):
    return fields.get(number, [0])[-1]


def integers(fields, number):
    """A repeated int32, packed or not."""
    found = []
    for value in fields.get(number, []):
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            item, at = varint(value, at)
            found.append(item)
    return found


class Comments:
    """By the path of descriptor.proto's SourceCodeInfo; leading comments, and the file's first one."""

    def __init__(self, fields):
        self.by_path, self.file = {}, ""
        for info in fields.get(9, []):
            for location in parse(info).get(1, []):
                values = parse(location)
                path = tuple(integers(values, 1))
                if 3 in values:
                    self.by_path[path] = self.clean(text(values, 3))
                if path == (12,):  # the line `syntax`
                    self.file = self.by_path.get(path, "")

    @staticmethod
    def clean(comment):
        return "\n".join(line.strip() for line in comment.strip().splitlines())

    def of(self, path):
        return self.by_path.get(tuple(path), "")


def read_field(data, oneofs, comment):
    values = parse(data)
    kind, name = integer(values, 5), text(values, 6).lstrip(".")
    synthetic = bool(integer(values, 17))
    oneof = oneofs[integer(values, 9)] if 9 in values and not synthetic else ""
    return Field(text(values, 1), integer(values, 3), SCALARS.get(kind, name), integer(values, 4) == REPEATED, synthetic, oneof, comment)


def read_enum(data, scope, path, comments):
    values = parse(data)
    entries = []
    for index, entry in enumerate(values.get(2, [])):
        fields = parse(entry)
        entries.append((text(fields, 1), integer(fields, 2), comments.of([*path, 2, index])))
    return Enum(f"{scope}.{text(values, 1)}", entries, comments.of(path))


def read_message(data, scope, path, comments, messages, enums):
    """Appends the message and what is nested in it."""
    values = parse(data)
    name = f"{scope}.{text(values, 1)}"
    oneofs = [text(parse(oneof), 1) for oneof in values.get(8, [])]
    fields = [read_field(field, oneofs, comments.of([*path, 2, i])) for i, field in enumerate(values.get(2, []))]
    messages.append(Message(name, fields, comments.of(path)))
    for index, nested in enumerate(values.get(3, [])):
        read_message(nested, name, [*path, 3, index], comments, messages, enums)
    for index, enum in enumerate(values.get(4, [])):
        enums.append(read_enum(enum, name, [*path, 4, index], comments))


def read_service(data, package, path, comments):
    values = parse(data)
    methods = []
    for index, method in enumerate(values.get(2, [])):
        fields = parse(method)
        methods.append(Method(text(fields, 1), text(fields, 2).lstrip("."), text(fields, 3).lstrip("."), bool(integer(fields, 5)),
                              bool(integer(fields, 6)), comments.of([*path, 2, index])))  # fmt: skip
    return Service(f"{package}.{text(values, 1)}", methods, comments.of(path))


def read(data):
    files = []
    for item in parse(data).get(1, []):
        values = parse(item)
        package, comments = text(values, 2), Comments(values)
        messages, enums = [], []
        for index, message in enumerate(values.get(4, [])):
            read_message(message, package, [4, index], comments, messages, enums)
        enums += [read_enum(enum, package, [5, i], comments) for i, enum in enumerate(values.get(5, []))]
        services = [read_service(service, package, [6, i], comments) for i, service in enumerate(values.get(6, []))]
        files.append(File(text(values, 1), package, messages, enums, services, comments.file))
    return files


def compile_set(folder, with_comments=False):
    """protoc's descriptor set of all our files below `folder`."""
    folder = pathlib.Path(folder)
    names = sorted(str(path.relative_to(folder)) for path in (folder / "espalier").rglob("*.proto"))
    with tempfile.TemporaryDirectory(prefix="espalier-protoc-") as scratch:
        output = pathlib.Path(scratch) / "set"
        command = ["protoc", f"--proto_path={folder}", f"--descriptor_set_out={output}", *names]
        if with_comments:
            command.insert(1, "--include_source_info")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ValueError(f"protoc: {done.stderr.strip()}")
        return output.read_bytes()


def load(folder):
    return read(compile_set(folder, with_comments=True))
