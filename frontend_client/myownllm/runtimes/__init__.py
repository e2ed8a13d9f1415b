"""Model servers on this machine: their models, and answers that stream (spec 08 §9.4, FE-9.48)."""

from myownllm.runtimes.errors import RuntimeFailure
from myownllm.runtimes.manager import Runtimes, RuntimeState
from myownllm.runtimes.settings import RuntimeSettings

__all__ = ["RuntimeFailure", "RuntimeSettings", "RuntimeState", "Runtimes"]
