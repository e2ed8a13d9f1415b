"""The screen of the app in a browser of this machine: a viewer of the running app that owns no state (spec 08 §10).

`up` imports `launch` alone, which loads the rest when the extra is installed.
"""
