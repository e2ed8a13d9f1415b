"""The screen of the app in a browser of this machine: a viewer of the running app that owns no state (spec 08 §10).

`up` imports this room only when its extra is installed, so nothing below may import it.
"""
