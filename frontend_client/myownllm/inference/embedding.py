"""The payload of `embed`, ours: texts that a model of another device turns into vectors. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from myownllm.inference.request import NAME_MAX

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject

FEATURE: Final = "embeddings_v1"
"""The device answers `embed`, and tells its models for embeddings alone in `embedders`."""
METHOD: Final = "embed"
EMBED_S: Final = 180.0
"""A cold model and a long list."""
INPUTS_MAX: Final = 2048
INPUT_MAX_BYTES: Final = 4 * 2**20
EMBEDDERS_MAX: Final = 64
"""Names of models in an advert."""


@attrs.frozen(kw_only=True)
class EmbedPayload:
    """A request as a peer sends it. Making one raises ValueError for what is out of bounds."""

    model: str
    input: Any = attrs.field(repr=False)
    dimensions: int | None = None
    encoding_format: str | None = None

    def __attrs_post_init__(self) -> None:
        texts = self.input if isinstance(self.input, list) else [self.input]
        if not texts or len(texts) > INPUTS_MAX or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"input is neither a text nor a list of up to {INPUTS_MAX} texts")
        if sum(map(len, texts)) > INPUT_MAX_BYTES or len(msgspec.json.encode(texts)) > INPUT_MAX_BYTES:
            raise ValueError(f"the texts are longer than {INPUT_MAX_BYTES} bytes")
        if not 0 < len(self.model) <= NAME_MAX or len(self.encoding_format or "") > NAME_MAX:
            raise ValueError("a name is empty or too long")
        if self.dimensions is not None and not 0 < self.dimensions < 2**20:
            raise ValueError("dimensions is no size of a vector")

    def members(self) -> JsonObject:
        """For a model server, without what was left out."""
        return {k: v for k, v in attrs.asdict(self).items() if v is not None and k != "model"}


def is_answer(value: Json) -> bool:
    """Does it look like OpenAI's? What stands in it is for the program that asked."""
    return isinstance(value, dict) and isinstance(value.get("data"), list)
