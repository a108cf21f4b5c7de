"""The few messages of a Spacemesh node's gRPC API that we send and read. Field numbers are those of the public spacemesh.v1 API."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "spacemesh.v1"

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {"string": _FIELD.TYPE_STRING, "bool": _FIELD.TYPE_BOOL, "uint32": _FIELD.TYPE_UINT32, "uint64": _FIELD.TYPE_UINT64}

# message -> field -> (number, type); a type that is no scalar is another message, "repeated " before it makes a list.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Empty": {},
    "SimpleString": {"value": (1, "string")},
    "LayerNumber": {"number": (1, "uint32")},
    "NodeStatus": {
        "connected_peers": (1, "uint64"),
        "is_synced": (2, "bool"),
        "synced_layer": (3, "LayerNumber"),
        "top_layer": (4, "LayerNumber"),
        "verified_layer": (5, "LayerNumber"),
    },
    "StatusResponse": {"status": (1, "NodeStatus")},
    "VersionResponse": {"version_string": (1, "SimpleString")},
    "NetworkInfoResponse": {"id": (1, "string"), "listen_addresses": (2, "repeated string")},
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="cosmodrome/spacemesh.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, told) in fields.items():
            label = _FIELD.LABEL_REPEATED if told.startswith("repeated ") else _FIELD.LABEL_OPTIONAL
            kind = told.removeprefix("repeated ")
            if kind in _KINDS:
                message.field.add(name=field, number=number, label=label, type=_KINDS[kind])
            else:
                message.field.add(name=field, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=f".{PACKAGE}.{kind}")
    # A pool of our own: other packages in the process may bring the whole API under the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES}


MESSAGES = _classes()
