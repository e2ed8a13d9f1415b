"""Invitations (spec 11 §1): a secret in a link stands for a person's approval, once, for a while."""

from __future__ import annotations
