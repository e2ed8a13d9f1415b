"""How devices of one network find each other: rooms and Nostr relays (spec 03).

Importing this room costs no WebSocket, TLS or elliptic-curve library; the relay client loads them with its first dial.
"""
