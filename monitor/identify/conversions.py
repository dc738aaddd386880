"""How transformers 5.23 renames weights when it loads a base, and PEFT 0.21.2 the keys of an adapter for it.

The tables are those of ``transformers.conversion_mapping`` and ``peft.utils.transformers_weight_conversion``. Both
import torch, so that they are copied here; a test compares the copy with the installed packages.
"""

import re
from typing import Final

CONVERTED: Final = frozenset((
    "afmoe", "altclip", "aria", "aria_text", "audioflamingo3", "axk1", "axk2", "aya_vision", "bailing_hybrid",
    "beam", "cohere2_moe", "cohere_asr", "colqwen2", "cosmos3_edge", "cosmos3_omni", "d_fine", "deepseek_ocr2",
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "deformable_detr", "dinov3_convnext", "dinov3_vit",
    "dots1", "dots3_note_audio_encoder", "dots3_note_vision_encoder", "emu3", "ernie4_5_moe", "ernie4_5_vl_moe",
    "esm", "exaone_moe", "flex_olmo", "flint", "fuyu", "gemma3", "gemma3n_text", "gemma4_unified", "glm4_moe",
    "glm4_moe_lite", "glm4v_moe", "glm5_next", "glm5_next_text", "glm_moe_dsa", "glmasr", "got_ocr2",
    "gradium_phonon_tts", "granite_speech", "granite_speech_plus", "granitemoe", "granitemoehybrid",
    "granitemoeshared", "gte", "hrm_text", "hunyuan_v1_moe", "hunyuan_vl", "hy_v3", "hy_v4",
    "hyperclovax_vision_v2", "inkling2", "inkling2_text", "inkling_mm_model", "internvl", "jamba", "jev",
    "jina_embeddings_v3", "kimi_k25", "kimi_linear", "kolibri1", "laguna", "lfm2_moe", "lfm3", "lfm3_vl_vision",
    "llava", "llava_next", "llava_next_video", "llava_onevision", "longcat_flash", "lw_detr", "maskformer",
    "mellum", "mimo_v2_flash", "minimax", "minimax_m2", "minimax_m3_vl", "mistral3", "mistral_large4",
    "mistral_large4_text", "mixtral", "mlcd", "mlcd_vision", "mllama", "molmo2", "musicflamingo", "nemo_speechlm",
    "nemotron_h", "nomic_bert", "olmo_hybrid", "olmoe", "paddleocr_vl", "paligemma", "phimoe", "pi0", "pixio",
    "pp_chart2table", "pp_doclayout_v2", "pp_doclayout_v3", "pp_doclayout_v4", "qianfan_ocr",
    "qwen2_5_omni_thinker", "qwen2_audio", "qwen2_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe",
    "qwen3_next", "qwen3_omni_moe", "qwen3_omni_moe_text", "qwen3_omni_moe_thinker", "qwen3_vl_moe",
    "qwen4_exp_text", "radio", "rt_detr", "rt_detr_v2", "sam3_tracker", "sam3_tracker_video", "sapiens2",
    "shieldgemma2", "solar_open", "step3p5_vision", "step3p7", "swin", "t5gemma2_encoder", "timesfm2_5",
    "timm_wrapper", "tipsv2", "tipsv2_dpt", "unlimited_ocr", "vibevoice_asr", "video_llava", "videomae", "vipllava",
    "voxtral", "voxtral_realtime", "xCLIPTextModel", "xCLIPVisionModel", "yolos",
))  # fmt: skip
"""Model types whose adapter keys PEFT converts before it loads them."""

CONVERTED_CLASSES: Final = frozenset((
    "ASTModel", "AltCLIPVisionModel", "AriaModel", "AudioFlamingo3Model", "AyaVisionModel", "BeitBackbone",
    "BeitForSemanticSegmentation", "BeitModel", "CLIPSegTextModel", "CLIPSegVisionModel", "CLIPTextModel",
    "CLIPVisionModel", "ChineseCLIPVisionModel", "ConditionalDetrForSegmentation", "ConditionalDetrModel",
    "DeiTModel", "DetrForSegmentation", "DetrModel", "Dinov2Backbone", "Dinov2Model", "Dinov2WithRegistersBackbone",
    "Dinov2WithRegistersModel", "Dots3NoteForConditionalGeneration", "Dots3NoteModel", "Dots3NoteTextModel",
    "Emu3Model", "FuyuModel", "GPTNeoXForCausalLM", "Gemma3Model", "GlmAsrModel", "GotOcr2Model",
    "GraniteSpeechModel", "GraniteSpeechPlusModel", "IJepaModel", "InternVLModel", "LlavaModel", "LlavaNextModel",
    "LlavaNextVideoModel", "LlavaOnevisionModel", "MaskFormerDetrDecoder", "MetaClip2TextModel",
    "MetaClip2VisionModel", "MimiDecoderModel", "MimiEncoderModel", "MimiModel", "Mistral3Model", "MllamaModel",
    "Molmo2TextModel", "MtpModel", "MusicFlamingoModel", "NemotronH_Omni_Reasoning_V3", "PPChart2TableModel",
    "PaliGemmaModel", "Qwen2AudioModel", "Qwen2VLForConditionalGeneration", "Qwen2VLModel",
    "Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniThinkerModel", "Qwen2_5_VLForConditionalGeneration",
    "Qwen2_5_VLModel", "Qwen3OmniMoeThinkerForConditionalGeneration", "Qwen3OmniMoeThinkerModel",
    "RfDetrForInstanceSegmentation", "RfDetrForObjectDetection", "RfDetrModel", "Sapiens2ForImageMatting",
    "Sapiens2ForNormalEstimation", "Sapiens2ForPointmapEstimation", "Sapiens2ForPoseEstimation",
    "Sapiens2ForSemanticSegmentation", "SegformerForSemanticSegmentation", "SegformerModel", "Siglip2TextModel",
    "Siglip2VisionModel", "SiglipTextModel", "SiglipVisionModel", "SwinBackbone", "Tipsv2DptForDepthEstimation",
    "Tipsv2DptForNormalEstimation", "Tipsv2DptForSemanticSegmentation", "Tipsv2TextModel", "Tipsv2VisionBackbone",
    "Tipsv2VisionModel", "UltraVBertForMaskedLM", "UltrabertForMaskedLM", "UltrabertForQuestionAnswering",
    "UltrabertForSequenceClassification", "UltrabertForTokenClassification", "UltrabertModel",
    "UnlimitedOcrSamVisionEncoder", "UnlimitedOcrTextModel", "UnlimitedOcrVisionEncoder", "ViTMAEForPreTraining",
    "ViTMAEModel", "ViTMSNForImageClassification", "ViTMSNModel", "ViTModel", "VibeVoiceAsrModel",
    "VideoLlavaModel", "VipLlavaModel", "VivitModel", "VoxtralModel", "VoxtralRealtimeModel",
))  # fmt: skip
"""Classes whose weights transformers renames or fuses when it loads a base."""

LLAVA: Final = frozenset((
    "aria", "audioflamingo3", "aya_vision", "fuyu", "gemma3", "glmasr", "got_ocr2", "granite_speech",
    "granite_speech_plus", "internvl", "llava", "llava_next", "llava_next_video", "llava_onevision", "mistral3",
    "mllama", "musicflamingo", "paligemma", "pp_chart2table", "qwen2_audio", "vibevoice_asr", "video_llava",
    "vipllava", "voxtral", "voxtral_realtime",
))  # fmt: skip
"""Model types whose text tower has another name in older files."""

MOE: Final = frozenset((
    "Dots3NoteTextModel", "UnlimitedOcrTextModel", "afmoe", "beam", "cohere2_moe", "deepseek_v2", "deepseek_v3",
    "deepseek_v32", "dots1", "ernie4_5_moe", "exaone_moe", "flex_olmo", "glm4_moe", "glm4_moe_lite", "glm4v_moe",
    "glm_moe_dsa", "hunyuan_v1_moe", "longcat_flash", "mellum", "minimax", "minimax_m2", "mixtral", "olmoe",
    "qwen3_moe", "qwen3_next", "qwen3_omni_moe", "qwen3_omni_moe_text", "qwen3_omni_moe_thinker", "solar_open",
))  # fmt: skip
"""Model types whose experts and router PEFT targets as parameters, like Mixtral's."""

FUSED: Final = MOE | {"mixtral"}

Rules = tuple[tuple[str, str], ...]
"""Patterns and what replaces their first match, in order."""

_LEGACY: Final[Rules] = ((r"^model\.language_model\.model|^language_model\.model\.model", "model.language_model"),)
_LLAVA: Final[Rules] = (
    (r"^language_model\.lm_head", "lm_head"),
    (r"^language_model", "model.language_model"),
    (r"^vision_tower", "model.vision_tower"),
    (r"^audio_tower", "model.audio_tower"),
    (r"^multi_modal_projector", "model.multi_modal_projector"),
    (r"^model\.language_model\.model", "model.language_model"),
    (r"^model\.vision_tower\.vision_model\.", "model.vision_tower."),
)
_QWEN_VL: Final[Rules] = (
    (r"^visual", "model.visual"),
    (r"^model(?!\.(language_model|visual))", "model.language_model"),
)
_TEXT_ONLY: Final[Rules] = ((r"^model\.language_model\.", "model."),)
_TEXT_OF_LARGER: Final = frozenset(("qwen3_5_text", "qwen3_5_moe_text", "qwen4_exp_text", "gemma3n_text"))
_BY_CLASS: Final[dict[str, Rules]] = {
    "Qwen2VLForConditionalGeneration": _QWEN_VL,
    "Qwen2_5_VLForConditionalGeneration": _QWEN_VL,
    "GPTNeoXForCausalLM": ((r"^embed_out\.", "lm_head."),),
}

_WITHOUT_PREFIX: Final = {"gpt_neox": "gpt_neox", "opt": "model"} | dict.fromkeys(
    ("gpt2", "gptj", "gpt_neo", "gpt_bigcode", "falcon", "bloom", "codegen", "openai-gpt", "xlnet"), "transformer"
)


def prefix_of(model_type: str | None) -> str:
    """The name of the body in a model with a head; files that were saved from the body alone lack it."""
    return _WITHOUT_PREFIX.get(model_type or "", "model")


def rules(model_type: str | None, architecture: str | None) -> Rules | None:
    """How the names in a base's files become those of its modules; ``None`` if they are renamed in ways unknown here.

    Names of experts are left out of this; they are fused in most models with experts.
    """
    if architecture in _BY_CLASS:
        return _BY_CLASS[architecture] + _LEGACY
    if model_type in LLAVA:
        return _LLAVA + _LEGACY
    if model_type in _TEXT_OF_LARGER:
        return _TEXT_ONLY + _LEGACY
    if model_type in FUSED or model_type == "qwen2_moe":
        return ((r"\.block_sparse_moe\.", ".mlp."), *_LEGACY)
    if model_type in CONVERTED or architecture in CONVERTED_CLASSES:
        return None
    return _LEGACY


def renamed(name: str, found: Rules) -> str:
    for pattern, replacement in found:
        name = re.sub(pattern, replacement, name, count=1)
    return name
