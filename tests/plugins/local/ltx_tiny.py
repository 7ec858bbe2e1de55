"""
An LTX-2.3 of some ten thousand random numbers, made here: what the provider loads in its tests.

The geometry is the real one (32 x 32 pixels and 8 frames a token, gated attention, two connectors,
sound by way of a spectrogram), the widths are tiny. Pictures and sound are noise.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

NAMED = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>",
         "<start_of_image>", "<end_of_image>", "<image_soft_token>")  # fmt: skip
WIDTH, LAYERS = 32, 2


def tokenizer() -> Any:
    """Return Gemma's tokenizer over single bytes."""
    from transformers import GemmaTokenizer

    pieces = [*NAMED, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    made = GemmaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[])
    made.model_max_length = 1024
    return made


def text_encoder() -> Any:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {
        "vocab_size": 288, "hidden_size": WIDTH, "intermediate_size": 32,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "max_position_embeddings": 1024, "sliding_window": 64,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "num_channels": 3,
    }  # fmt: skip
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4,
        boi_token_index=7, eoi_token_index=8, image_token_index=9,
    )  # fmt: skip
    return Gemma3ForConditionalGeneration(config).eval()


def transformer() -> Any:
    from diffusers import LTX2VideoTransformer3DModel

    return LTX2VideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8,
        cross_attention_dim=16, audio_in_channels=8, audio_out_channels=8,
        audio_num_attention_heads=2, audio_attention_head_dim=4, audio_cross_attention_dim=8,
        num_layers=2, caption_channels=WIDTH, rope_type="split", gated_attn=True,
        cross_attn_mod=True, audio_gated_attn=True, audio_cross_attn_mod=True,
        use_prompt_embeddings=False, perturbed_attn=True,
    )  # fmt: skip


def connectors() -> Any:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    return LTX2TextConnectors(
        caption_channels=WIDTH, text_proj_in_factor=LAYERS + 1,
        video_connector_num_attention_heads=2, video_connector_attention_head_dim=8,
        video_connector_num_layers=1, video_connector_num_learnable_registers=8,
        video_gated_attn=True, audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=4, audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8, audio_gated_attn=True,
        connector_rope_base_seq_len=64, rope_type="split", per_modality_projections=True,
        video_hidden_dim=16, audio_hidden_dim=8, proj_bias=True,
    )  # fmt: skip


def vae() -> Any:
    from diffusers import AutoencoderKLLTX2Video

    return AutoencoderKLLTX2Video(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), layers_per_block=(1,) * 5,
        decoder_block_out_channels=(8, 8, 8, 8), decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True,) * 4, decoder_spatio_temporal_scaling=(True,) * 4,
        decoder_inject_noise=(False,) * 5,
        upsample_type=("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
        upsample_residual=(False,) * 4, upsample_factor=(1, 1, 1, 1), decoder_causal=False,
        decoder_spatial_padding_mode="zeros", spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )  # fmt: skip


def audio_vae() -> Any:
    from diffusers import AutoencoderKLLTX2Audio

    return AutoencoderKLLTX2Audio(
        base_channels=8, ch_mult=(1, 1, 1), num_res_blocks=1, resolution=32, latent_channels=4,
        mel_bins=8,
    )  # fmt: skip


def vocoder() -> Any:
    """Return one that makes 160 samples of each column of the spectrogram, as the real one does."""
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    return LTX2Vocoder(
        in_channels=16, hidden_channels=16, upsample_kernel_sizes=[10, 8, 8],
        upsample_factors=[5, 4, 8], resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
        output_sampling_rate=16000,
    )  # fmt: skip


def save_pipeline(folder: Path, *, seed: int = 0) -> Path:
    """Save a whole pipeline, as diffusers does."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, LTX2ImageToVideoPipeline

    torch.manual_seed(seed)
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, shift_terminal=0.1
    )
    LTX2ImageToVideoPipeline(
        scheduler=scheduler, vae=vae(), audio_vae=audio_vae(), text_encoder=text_encoder(),
        tokenizer=tokenizer(), connectors=connectors(), transformer=transformer(),
        vocoder=vocoder(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_upsampler(folder: Path) -> Path:
    """Save an upsampler of latents, in the subfolder where a pipeline would have it."""
    import torch
    from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

    torch.manual_seed(1)
    model = LTX2LatentUpsamplerModel(in_channels=8, mid_channels=32, num_blocks_per_stage=1)
    model.save_pretrained(folder / "latent_upsampler")
    return folder


def save_lora(path: Path) -> Path:
    """Save a LoRA of one layer, with the names that Lightricks gives."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(2)
    layer = "diffusion_model.transformer_blocks.0.attn1.to_q"
    factors = {
        f"{layer}.lora_A.weight": torch.randn(4, 16),
        f"{layer}.lora_B.weight": torch.randn(16, 4),
    }
    save_file(factors, path)
    return path


def save_all(folder: Path) -> Path:
    """Save all of them, in a process of its own: importing what makes them takes seconds."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.plugins.local.ltx_tiny", str(folder)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


if __name__ == "__main__":
    root = Path(sys.argv[1])
    save_pipeline(root / "base")
    save_pipeline(root / "distilled", seed=1)
    save_upsampler(root / "upsampler")
    save_lora(root / "lora.safetensors")
