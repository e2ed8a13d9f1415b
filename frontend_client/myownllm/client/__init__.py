"""The single owner of mesh state in the app: start, stop, reconcile, and what a person sees (spec 08 §5)."""

from myownllm.client.client import MeshClient
from myownllm.client.operations import Operations
from myownllm.client.registry import (
    FILE_TRANSFERS,
    INFERENCES,
    TRANSCRIPTIONS,
    CallRefusedError,
    InboundCall,
    Limit,
    Method,
    Registry,
)
from myownllm.client.session import Session
from myownllm.client.start import Offer
from myownllm.client.state import ClientState, Diag

__all__ = [
    "FILE_TRANSFERS",
    "INFERENCES",
    "TRANSCRIPTIONS",
    "CallRefusedError",
    "ClientState",
    "Diag",
    "InboundCall",
    "Limit",
    "MeshClient",
    "Method",
    "Offer",
    "Operations",
    "Registry",
    "Session",
]
