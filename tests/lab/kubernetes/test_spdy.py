"""SPDY frames: those recorded, and those that are none."""

from __future__ import annotations

import zlib

import pytest

from lab.kubernetes.spdy import DICTIONARY, FIN, RST_STREAM, SYN_REPLY, SYN_STREAM, Codec, Frame, SpdyError, control, data_frame

# What a server sent through kubectl's tunnel: its answer to stream 1, then to stream 3.
RECORDED = bytes.fromhex("80030002000000140000000178f9e3c6a7c26260606000000000ffff800300020000000e000000036260606000000000ffff")


def test_dictionary_is_the_one_that_recorded_headers_name() -> None:
    assert zlib.adler32(DICTIONARY) == int.from_bytes(RECORDED[14:18], "big")


def test_recorded_replies_are_read_whatever_the_pieces_they_come_in() -> None:
    codec, found = Codec(), []
    for at in range(len(RECORDED)):
        found += list(codec.feed(RECORDED[at : at + 1]))
    assert [(frame.kind, frame.stream, frame.headers) for frame in found] == [(SYN_REPLY, 1, {}), (SYN_REPLY, 3, {})]


def test_what_one_side_writes_the_other_reads() -> None:
    ours, theirs = Codec(), Codec()
    for stream in (1, 3):
        (frame,) = theirs.feed(ours.open(stream, {"streamType": "data", "port": "8080", "requestID": str(stream)}))
        assert (frame.kind, frame.stream) == (SYN_STREAM, stream)
        assert frame.headers == {"streamtype": "data", "port": "8080", "requestid": str(stream)}
    assert list(theirs.feed(data_frame(3, b"hello", last=True))) == [Frame(0, 3, FIN, b"hello")]
    (reset,) = theirs.feed(control(RST_STREAM, (3).to_bytes(4, "big") + (5).to_bytes(4, "big")))
    assert (reset.kind, reset.stream) == (RST_STREAM, 3)


@pytest.mark.parametrize(
    "data", [b"\x80\x02\x00\x01" + bytes(4), control(SYN_STREAM, b"\0\0\0\1"), control(SYN_STREAM, b"\0\0\0\1" + bytes(6) + b"no headers")]
)
def test_what_is_no_spdy_is_refused(data: bytes) -> None:
    with pytest.raises(SpdyError):
        list(Codec().feed(data))
