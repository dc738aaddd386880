"""llama.cpp's own server for `benchmarks.real_servers`: one port for the fine-tune, one for its base.

Takes one argument, a JSON object of flags; prints a JSON object of arm and URL, and serves until its standard input
ends. Everything that is not named by a flag is llama.cpp's default, samplers included.
"""

import json
import sys
from pathlib import Path
from typing import Any

import xllamacpp

from benchmarks import smollm2
from monitor.core.records import Arm
from monitor.lab import gguf_files
from monitor.lab.served import weights_dir

CONTEXT = 512
"""Longest prompt and answer, in tokens, of one slot."""


def main() -> int:
    told = json.loads(sys.argv[1])
    base, adapter = _files(told)
    servers = {
        Arm.SUBJECT: xllamacpp.Server(_params(told, base, adapter)),
        Arm.BASE: xllamacpp.Server(_params(told, base, None)),
    }
    print(json.dumps({arm: f"{server.listening_address}/v1" for arm, server in servers.items()}), flush=True)
    sys.stdin.read()
    return 0


def _files(told: dict[str, Any]) -> tuple[Path, Path]:
    if told["models"] is not None:
        return Path(told["models"]) / smollm2.GGUF, Path(told["models"]) / smollm2.ADAPTER
    base = weights_dir() / "base"
    return gguf_files.base_gguf(base, told["precision"]), gguf_files.adapter_gguf(weights_dir() / "support", base)


def _params(told: dict[str, Any], base: Path, adapter: Path | None) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(base)
    params.model_alias = {"lab-support" if adapter else "lab-base"}
    if adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), told["scale"])]
    params.n_parallel, params.n_ctx = told["slots"], CONTEXT * told["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.n_ubatch = told["ubatch"]
    params.n_batch = max(told["ubatch"], 64)
    params.cache_prompt = told["cache"]
    kinds = {one: getattr(xllamacpp.ggml_type, f"GGML_TYPE_{one.upper()}") for one in ("f16", "f32", "bf16")}
    params.cache_type_k = params.cache_type_v = kinds[told["kv"]]
    flash = {"auto": "AUTO", "off": "DISABLED", "on": "ENABLED"}[told["flash"]]
    params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
    params.fit_params = params.ui = False
    params.verbosity = 0
    return params


if __name__ == "__main__":
    sys.exit(main())
