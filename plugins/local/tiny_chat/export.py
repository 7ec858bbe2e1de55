"""From a trained network to the folder that `ctranslate2.Generator` loads."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from junctor.plugins.local.tiny_chat import TEMPLATE
from junctor.plugins.local.tiny_chat.conversations import Conversation
from junctor.plugins.local.tiny_chat.evaluate import Judge
from junctor.plugins.local.tiny_chat.tokenizer import END, END_OF_TEXT, START

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def pretrained_tokenizer(tokenizer: "Tokenizer") -> PreTrainedTokenizerFast:
    """Return `tokenizer` as Hugging Face writes and reads it, with the chat template."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[START],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE.read_text()
    return wrapped


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `model` as Hugging Face does, with the template in the tokenizer's file."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def export(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write `model` to the folder `out` as CTranslate2 int8, with all that a chat needs."""
    from ctranslate2.converters import TransformersConverter

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        save(model, tokenizer, source)
        converter = TransformersConverter(str(source), copy_files=list(_COPIED))
        converter.convert(str(target), quantization="int8")
        for file in target.iterdir():
            shutil.copyfile(file, out / file.name)


def agreement(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    asked: Sequence[Conversation],
) -> float:
    """
    Return the share of `asked` that CTranslate2 answers from `out` as `model` itself does.

    Raises:
        ValueError: `transformers` renders the template otherwise than we do.

    """
    judge, same = Judge(str(out)), 0
    for conversation, reply in zip(asked, judge.answer(asked), strict=True):
        prompt = tokenizer.apply_chat_template(
            list(conversation.messages),
            tools=list(conversation.tools) or None,
            enable_thinking=conversation.thinking,
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        read = prompt["input_ids"]
        if tokenizer.convert_ids_to_tokens(read[0]) != judge.prompt(conversation):
            message = f"rendered differently: {tokenizer.decode(read[0])}"
            raise ValueError(message)
        written = model.generate(**prompt, max_new_tokens=400, do_sample=False)[0, read.shape[1] :]
        same += tokenizer.decode(written, skip_special_tokens=True) == reply
    return same / len(asked)
