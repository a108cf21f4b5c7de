"""The messages of the node's API, made in code.

They live in descriptor pools of their own: a client in the same process may load generated code of the same names.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}
# Message -> fields, each `number: (name, type)`; a type with a capital is a message, `*` in front is repeated. `address` is set per era.
_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Empty": {},
    "SimpleString": {1: ("value", "string")},
    "LayerNumber": {1: ("number", "uint32")},
    "StatusRequest": {},
    "NodeStatus": {
        1: ("connected_peers", "uint64"),
        2: ("is_synced", "bool"),
        3: ("synced_layer", "LayerNumber"),
        4: ("top_layer", "LayerNumber"),
        5: ("verified_layer", "LayerNumber"),
    },
    "StatusResponse": {1: ("status", "NodeStatus")},
    "VersionResponse": {1: ("version_string", "SimpleString")},
    "BuildResponse": {1: ("build_string", "SimpleString")},
    "NetworkInfoResponse": {1: ("id", "string"), 2: ("listen_addresses", "*string")},
    "AccountsRequest": {1: ("layer", "uint32")},
    "AccountId": {1: ("address", "ADDRESS")},
    "Amount": {1: ("value", "uint64")},
    "AccountState": {1: ("counter", "uint64"), 2: ("balance", "Amount")},
    "Account": {1: ("account_id", "AccountId"), 2: ("state_current", "AccountState"), 3: ("state_projected", "AccountState")},
    "AccountsResponse": {1: ("account_wrapper", "*Account")},
}
PACKAGE = "spacemesh.v1"


@lru_cache
def messages(address: str) -> Any:
    """The message classes as attributes. `address` is the type of AccountId.address: `bytes` until July 2022, `string` (bech32) since."""
    file = descriptor_pb2.FileDescriptorProto(name=f"lab/spacemesh_{address}.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, kind) in fields.items():
            _add_field(message, number, field_name, address if kind == "ADDRESS" else kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES}
    return SimpleNamespace(**classes)


def _add_field(message: Any, number: int, name: str, kind: str) -> None:
    label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED if kind.startswith("*") else descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    if kind in _TYPES:
        message.field.add(name=name, number=number, type=_TYPES[kind], label=label)
    else:
        of_message = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
        message.field.add(name=name, number=number, type=of_message, type_name=f".{PACKAGE}.{kind}", label=label)
