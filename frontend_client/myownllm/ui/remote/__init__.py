"""The remote screen: a small chat for browsers of the local network that were paired (spec 08 FE-10.4).

`launch` is loaded with the screen; `serving`, and what the extra `ui` brings, when the first browser comes.
"""
