"""A language model of half a megabyte with random weights, for a real model server: it speaks nonsense, but streams.

python -m support.tiny_model PORT MODEL_FILE     runs llama.cpp's HTTP server with it until its stdin closes
"""

from __future__ import annotations

import sys
from pathlib import Path

WIDTH, HEADS, LAYERS, VOCABULARY, CONTEXT = 64, 4, 2, 1024, 2048
NAME = "tiny-nonsense"


def write_model(path: Path) -> None:
    """Write the GGUF file: a llama of two layers, its vocabulary made of bytes and short words."""
    import numpy as np
    from gguf import GGUFWriter, TokenType

    rng = np.random.default_rng(7)
    writer = GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY)
    words = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    words += [f"▁w{i}" for i in range(VOCABULARY - len(words))]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    kinds += [TokenType.NORMAL] * (VOCABULARY - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}\n{% endfor %}")

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / 8).astype(np.float32)

    writer.add_tensor("token_embd.weight", weights(VOCABULARY, WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", weights(VOCABULARY, WIDTH))
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{name}.weight", weights(WIDTH, WIDTH))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{name}.weight", np.ones(WIDTH, np.float32))
        for name, shape in (
            ("ffn_gate", (2 * WIDTH, WIDTH)), ("ffn_up", (2 * WIDTH, WIDTH)), ("ffn_down", (WIDTH, 2 * WIDTH))
        ):  # fmt: skip
            writer.add_tensor(f"{block}.{name}.weight", weights(*shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(port: int, path: Path) -> None:
    """llama.cpp's server, until stdin closes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.model_alias = {NAME}
    params.port = port
    params.n_ctx = 4 * CONTEXT  # each of the four slots has a quarter
    params.n_parallel = 4
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.endpoint_slots = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
