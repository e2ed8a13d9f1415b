"""The bytes of SCTP that a message passes through (RFC 9260 §3) and the sizes that go with them."""

from __future__ import annotations

import struct

MAX_PACKET_BYTES = 1_189
"""SCTP packet that with DTLS, UDP and IPv6 headers fits 1,280 bytes."""
PACKET_HEADER_BYTES = 12
CHUNK_HEADER_BYTES = 4
DATA_HEADER_BYTES = 16
SACK_BYTES = 16
"""A SACK chunk without gaps and duplicates."""
MAX_FRAGMENT_BYTES = (MAX_PACKET_BYTES - PACKET_HEADER_BYTES - DATA_HEADER_BYTES) // 4 * 4
"""User data per packet."""
MAX_BUNDLE_BYTES = (MAX_PACKET_BYTES - PACKET_HEADER_BYTES) // 4 * 4
"""Chunks per packet."""

BASE_WINDOW_BYTES = 1024 * 1024
"""The receive window of every stack that we meet, until it says otherwise."""

DATA = 0
SACK = 3
FORWARD_TSN = 192
FORWARD_TSN_BYTES = 8
"""Without the streams that it names: ours is one, and its messages are told apart by their fragments."""

FLAG_LAST = 0x01
FLAG_FIRST = 0x02
FLAG_UNORDERED = 0x04
FLAG_IMMEDIATE = 0x08
"""The sender asks for a SACK at once (RFC 7053)."""

PPID_DCEP = 50
PPID_TEXT = 51
PPID_BINARY = 53

TSN_MASK = 0xFFFFFFFF
TSN_HALF = 0x80000000
"""Distances from here on are negative (serial number arithmetic)."""

PACKET_HEADER = struct.Struct("!HHLL")
"""Ports, verification tag, checksum."""
PACKET_HEAD = struct.Struct("!HHL")
NO_CHECKSUM = bytes(4)
CHUNK_HEADER = struct.Struct("!BBH")
DATA_CHUNK = struct.Struct("!BBHLHHL")
"""Type, flags, length, and the body's head as below."""
DATA_BODY = struct.Struct("!LHHL")
"""TSN, stream, sequence number, payload protocol."""
SACK_CHUNK = struct.Struct("!BBHLLHH")
SACK_BODY = struct.Struct("!LLHH")
"""Cumulative TSN, window, number of gaps, number of duplicates."""
GAP = struct.Struct("!HH")
TSN = struct.Struct("!L")
CHECKSUM = struct.Struct("<L")
PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What follows a chunk of length n, by n modulo 4."""
