"""The screen of the app in a browser of this machine: a viewer of the running app that owns no state (spec 08 §10).

`up` imports `opening` alone, which loads `launch` once the mesh is on its way; the rest follows for the first browser.
"""
