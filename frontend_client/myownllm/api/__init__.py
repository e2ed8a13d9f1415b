"""The local API: any program that speaks OpenAI's HTTP can use the models of this device and of the mesh (FE-10.5)."""

from myownllm.api.backend import Backend
from myownllm.api.server import ApiServer
from myownllm.api.settings import ApiSettings

__all__ = ["ApiServer", "ApiSettings", "Backend"]
