"""What we use of transformers. Its only importer.

Where scikit-learn and scipy are installed, its generation code (assisted decoding) and its losses (object detection)
import them: 3 of 9 seconds of CPU in each rank, rollout worker and judge, for what is unused here.
"""

import sys

from mimo_vl.importing import imports_refused, uncollected

# It remembers what it found installed: where somebody has loaded it already, nothing may be missing any more.
_REFUSED = () if "transformers" in sys.modules else ("scipy", "sklearn")

with imports_refused(*_REFUSED), uncollected():
    from transformers import (
        PreTrainedModel,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2Config,
        Qwen2ForCausalLM,
    )
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VisionPatchEmbed,
        Qwen2_5_VisionTransformerPretrainedModel,
        Qwen2_5_VLAttention,
        Qwen2_5_VLDecoderLayer,
        Qwen2_5_VLRMSNorm,
        eager_attention_forward,
    )
    from transformers.utils import logging as transformers_logging
    from transformers.vision_utils import (
        get_vision_cu_seqlens,
        get_vision_position_ids,
        get_vision_window_index,
    )

__all__ = [
    "ALL_ATTENTION_FUNCTIONS",
    "ALL_MASK_ATTENTION_FUNCTIONS",
    "PreTrainedModel",
    "Qwen2Config",
    "Qwen2ForCausalLM",
    "Qwen2RMSNorm",
    "Qwen2_5_VLAttention",
    "Qwen2_5_VLConfig",
    "Qwen2_5_VLDecoderLayer",
    "Qwen2_5_VLForConditionalGeneration",
    "Qwen2_5_VLRMSNorm",
    "Qwen2_5_VLVisionConfig",
    "Qwen2_5_VisionPatchEmbed",
    "Qwen2_5_VisionTransformerPretrainedModel",
    "eager_attention_forward",
    "get_vision_cu_seqlens",
    "get_vision_position_ids",
    "get_vision_window_index",
    "sdpa_attention_forward",
    "sdpa_mask",
    "transformers_logging",
]
