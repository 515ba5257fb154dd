"""Decodes a Perfetto trace with the descriptors of the project itself, and prints how many packets
of each kind it has. Fails if a field is unknown: then it would have been ignored."""

import collections
import sys

try:
    from google.protobuf import unknown_fields
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2
except ImportError as missing:
    sys.exit(f"missing: {missing}")


def check(message, path):
    unknown = [field.field_number for field in unknown_fields.UnknownFieldSet(message)]
    if unknown:
        sys.exit(f"unknown fields of {path}: {unknown}")
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in [value] if hasattr(value, "ListFields") else value:
                check(one, f"{path}.{field.name}")


trace = perfetto_trace_pb2.Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())
check(trace, "Trace")
kinds = collections.Counter(packet.WhichOneof("data") for packet in trace.packet)
flows = sum(len(packet.track_event.flow_ids) for packet in trace.packet)
print(kinds["track_descriptor"], kinds["track_event"], kinds["clock_snapshot"], flows)
