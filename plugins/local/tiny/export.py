"""From a trained network to the folder that faster-whisper loads."""

import json
import tempfile
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperForConditionalGeneration

from junctor.plugins.local.tiny.network import DECODER_LAYERS, GUIDED_HEADS
from junctor.plugins.local.tiny.tokenizer import WINDOW_SECONDS, Vocabulary, build_tokenizer

_FEATURES = {
    "feature_size": 80,
    "sampling_rate": 16_000,
    "hop_length": 160,
    "chunk_length": WINDOW_SECONDS,
    "n_fft": 400,
}


def _generation(vocabulary: Vocabulary) -> GenerationConfig:
    return GenerationConfig(
        bos_token_id=vocabulary.start,
        eos_token_id=vocabulary.end,
        pad_token_id=vocabulary.end,
        decoder_start_token_id=vocabulary.start,
        max_length=448,
        # Whisper's own list has the end, too: then a scrap of a word must become some word.
        begin_suppress_tokens=[vocabulary.space],
        suppress_tokens=[],
        alignment_heads=[[DECODER_LAYERS - 1, head] for head in GUIDED_HEADS],
        lang_to_id={f"<|{name}|>": id_ for name, id_ in vocabulary.languages.items()},
        task_to_id=dict(vocabulary.tasks),
        no_timestamps_token_id=vocabulary.no_timestamps,
        is_multilingual=True,
    )


def _save(model: WhisperForConditionalGeneration, vocabulary: Vocabulary, folder: Path) -> None:
    """Write what the converter reads: a Hugging Face model folder."""
    tokenizer = build_tokenizer()
    model.generation_config = _generation(vocabulary)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|startoftranscript|>",  # noqa: S106 — not a password
        eos_token="<|endoftext|>",  # noqa: S106
        unk_token="<|endoftext|>",  # noqa: S106
    ).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps(_FEATURES))


def export(model: WhisperForConditionalGeneration, out: Path) -> None:
    """
    Write `model` to the folder `out` as CTranslate2 int8.

    The last entry of the vocabulary becomes the empty token: since CTranslate2 4.8 that is how a
    Whisper with fewer than 51865 entries says that it is multilingual.
    """
    from ctranslate2.converters import TransformersConverter

    vocabulary = Vocabulary.of(build_tokenizer())
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        source.mkdir()
        _save(model, vocabulary, source)
        copied = ["tokenizer.json", "preprocessor_config.json"]
        TransformersConverter(str(source), copy_files=copied).convert(
            str(target), quantization="int8"
        )
        names = json.loads((target / "vocabulary.json").read_text())
        names[-1] = ""
        (target / "vocabulary.json").write_text(json.dumps(names, ensure_ascii=False, indent=0))
        for file in target.iterdir():
            (out / file.name).write_bytes(file.read_bytes())
