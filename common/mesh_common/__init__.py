"""The floor that daemon, app and bundler stand on: files, locks, versions, probes, the control client.

It imports none of the three, and whoever imports one module of it pays for that module alone.
"""
