"""
Train `junctor-tiny-chat` and export it, in some minutes on one CPU core.

::

    python -m junctor.plugins.local.tiny_chat.train --out DIR [--hf DIR] [--steps N] [--seed N]

`--out` gets the folder that CTranslate2 loads, `--hf` the same model as Hugging Face writes it.
Needs the extra ``train``. The same seed gives the same model on the same machine and versions.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from attrs import frozen
from transformers import Qwen3Config, Qwen3ForCausalLM

from junctor.plugins.local.tiny_chat import TEMPLATE
from junctor.plugins.local.tiny_chat.conversations import (
    COPIABLE,
    Conversation,
    Conversations,
    all_texts,
)
from junctor.plugins.local.tiny_chat.export import (
    agreement,
    export,
    pretrained_tokenizer,
    save,
)
from junctor.plugins.local.tiny_chat.rendering import compile_template, render
from junctor.plugins.local.tiny_chat.tokenizer import END, VOCABULARY, build_tokenizer

CONTEXT = 2048
"""Tokens that prompt and answer may have together."""

_PEAK_RATE = 4e-3
_WARM_UP = 100
_BATCH_TOKENS = 2600
_POOL = 400
"""Conversations that are drawn at once, and sorted by length: little is padded."""
_COPIED_WEIGHT = 6.0
"""How much more than others those tokens count that are copied from the prompt: they are few."""
_IGNORED = -100
_COMPARED = 50


@frozen
class Options:
    """What the command line says."""

    out: Path
    hf: Path | None
    steps: int
    seed: int
    threads: int


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m junctor.plugins.local.tiny_chat.train")
    parser.add_argument("--out", type=Path, required=True, help="folder for CTranslate2")
    parser.add_argument("--hf", type=Path, help="folder in Hugging Face's form")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return Options(**vars(parser.parse_args(arguments)))


def build_model(end: int, pad: int) -> Qwen3ForCausalLM:
    """Return a Qwen3 with random weights."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=CONTEXT,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=pad,
        )
    )


class Examples:
    """Batches of tokens: what to read, and what to write behind it."""

    def __init__(self, seed: int) -> None:
        self.tokenizer = build_tokenizer(all_texts())
        self._template = compile_template(TEMPLATE.read_text())
        self._source = Conversations(seed)
        self._draw = torch.Generator().manual_seed(seed)
        self.weights = torch.ones(VOCABULARY)
        for word in COPIABLE:
            for spelled in (word, f" {word}"):
                self.weights[self.tokenizer.encode(spelled).ids] = _COPIED_WEIGHT

    def encode(self, conversation: Conversation) -> tuple[list[int], list[int]]:
        """Return the tokens of the prompt and those of the reply."""
        prompt = render(
            self._template,
            conversation.messages,
            tools=conversation.tools,
            thinking=conversation.thinking,
        )
        return (
            self.tokenizer.encode(prompt).ids,
            self.tokenizer.encode(conversation.reply + END).ids,
        )

    def copying(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch of calls of tools: cities to be copied, the last thing that it learns."""
        source = Conversations(seed=4243)
        return _stack([self.encode(source.called()) for _ in range(20)])

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield inputs and labels, of conversations of about one length."""
        while True:
            pool = [self.encode(self._source.next()) for _ in range(_POOL)]
            pool.sort(key=lambda example: len(example[0]) + len(example[1]))
            rows: list[tuple[list[int], list[int]]] = []
            batches = []
            for example in pool:
                if rows and (len(rows) + 1) * (len(example[0]) + len(example[1])) > _BATCH_TOKENS:
                    batches.append(_stack(rows))
                    rows = []
                rows.append(example)
            batches.append(_stack(rows))
            for at in torch.randperm(len(batches), generator=self._draw).tolist():
                yield batches[at]


def _stack(rows: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows on the right: a causal model cannot see it."""
    length = max(len(prompt) + len(reply) for prompt, reply in rows)
    inputs = torch.zeros((len(rows), length), dtype=torch.long)
    labels = torch.full((len(rows), length), _IGNORED)
    for at, (prompt, reply) in enumerate(rows):
        inputs[at, : len(prompt) + len(reply)] = torch.tensor(prompt + reply)
        labels[at, len(prompt) : len(prompt) + len(reply)] = torch.tensor(reply)
    return inputs, labels


def loss_of(
    model: Qwen3ForCausalLM, inputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the mean cross-entropy of the reply's tokens, in nats, by the weight of each token."""
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    replies = wanted != _IGNORED
    logits = model.lm_head(hidden[replies])
    return torch.nn.functional.cross_entropy(logits, wanted[replies], weight=weights)


def learn(options: Options) -> tuple[Qwen3ForCausalLM, Examples]:
    """Train for the given number of steps."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    examples = Examples(options.seed)
    tokenizer = pretrained_tokenizer(examples.tokenizer)
    model = build_model(tokenizer.eos_token_id, tokenizer.pad_token_id)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=_PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.02
    )
    print(f"{model.num_parameters()} parameters", flush=True)  # noqa: T201 — of a command
    recent, copying = 0.0, examples.copying()
    for step, (inputs, labels) in zip(range(options.steps), examples.batches(), strict=False):
        cosine = 0.5 * (1 + math.cos(math.pi * step / options.steps))
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * min(1, (step + 1) / _WARM_UP) * (0.01 + 0.99 * cosine)
        loss = loss_of(model, inputs, labels, examples.weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent = loss.item() if not step else 0.95 * recent + 0.05 * loss.item()
        if (step + 1) % 100 == 0:
            with torch.no_grad():
                copied = loss_of(model, *copying, examples.weights).item()
            spent = time.process_time()
            print(  # noqa: T201
                f"step {step + 1} loss {recent:.4f} copying {copied:.4f} {spent:.0f} CPU s",
                flush=True,
            )
    return model, examples


def main(arguments: list[str]) -> None:
    """Train, then export."""
    options = parse(arguments)
    model, examples = learn(options)
    tokenizer = pretrained_tokenizer(examples.tokenizer)
    export(model, tokenizer, options.out)
    source = Conversations(options.seed + 1)
    same = agreement(model, tokenizer, options.out, [source.next() for _ in range(_COMPARED)])
    print(f"CTranslate2 int8 answers {same:.1%} of {_COMPARED} as the trained model does")  # noqa: T201
    if options.hf is not None:
        save(model.to(torch.bfloat16), tokenizer, options.hf)


if __name__ == "__main__":
    main(sys.argv[1:])
