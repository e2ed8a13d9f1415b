"""The door of a running app: a socket in its home where commands of this login knock (spec 08 §1.2).

One request per connection, JSON lines: `{"op": …, members}` is answered by `{"ok": true, "data": …}` or by
`{"ok": false, "error": {"kind", "message"}}`. Some operations stream before that: `{"item": …}` lines. Whoever closes
the connection has lost interest, and what was done for it ends.

`server` is the app's side, `client` that of commands, on the standard library alone.
"""
