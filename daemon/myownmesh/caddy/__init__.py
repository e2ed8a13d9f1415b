"""Caddy as the proxy that speaks TLS before the hosted relay and TURN: installed, set up, reloaded (spec 06 §10)."""
