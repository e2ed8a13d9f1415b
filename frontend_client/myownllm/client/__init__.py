"""The single owner of mesh state in the app: start, stop, reconcile, and what a person sees (spec 08 §5)."""

from myownllm.client.client import MeshClient
from myownllm.client.features import CallRefusedError, FeatureSet, InboundCall, Method
from myownllm.client.operations import Operations
from myownllm.client.start import Offer
from myownllm.client.state import ClientState, Diag

__all__ = [
    "CallRefusedError",
    "ClientState",
    "Diag",
    "FeatureSet",
    "InboundCall",
    "MeshClient",
    "Method",
    "Offer",
    "Operations",
]
