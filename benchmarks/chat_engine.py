"""
What the way to a chat engine costs: tokens per second through the server against the library itself.

::

    python -m benchmarks.chat_engine [--model DIR] [--rounds N] [--tokens N]
    python -m benchmarks.chat_engine build DIR        # a random Qwen3 of 0.1 billion parameters

`server` is `junctor serve` in a process of its own, keys, limits, ledger and log on, its engine in a
child, asked over HTTP with `stream`. `library` is CTranslate2 in one process with the same settings:
a thread and a `generate_tokens` for each conversation. `batch` is its `generate_batch` of all of
them at once, which streams nothing and lets nobody join. Each client asks again when it has its
answer. All take turns, on all cores; the load client's own CPU is the server's loss. Needs the extra
`chat`, and `build` the extra `train`.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec
from attrs import frozen

from benchmarks.chat.reader import Reader, Stream, post
from benchmarks.targets import Target, free_port, wait_for
from junctor.plugins.local.tiny_chat import model_path
from junctor.plugins.local.tiny_chat.rendering import compile_template, render
from junctor.plugins.local.workers.chat_prompt import template_of

QUESTION = "Tell me a long story"
SLOTS = 8
CONFIG = """
default_model = "ctranslate2:bench"
[storage]
data_dir = "{data}"
[team_defaults]
requests_per_minute = 100000000
concurrency = 10000
[loader]
allow = ["ctranslate2"]
[plugins.ctranslate2.models.bench]
path = "{model}"
slots = {slots}
threads = 1
context_tokens = 4096
preload = true
"""


@frozen
class Case:
    """One kind of load."""

    name: str
    lengths: tuple[int, ...]
    """Longest answer of each client, tokens."""


def cases(tokens: int) -> list[Case]:
    """Return one client, eight alike, and eight whose answers end at different times."""
    uneven = tuple(round(tokens * (0.5 + one / (SLOTS - 1))) for one in range(SLOTS))
    return [
        Case("1 stream", (tokens,)),
        Case(f"{SLOTS} streams", (tokens,) * SLOTS),
        Case(f"{SLOTS} uneven", uneven),
    ]


class Library:
    """CTranslate2 as a program uses it that has it to itself."""

    def __init__(self, folder: str) -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        template = compile_template(template_of(Path(folder)))
        text = render(template, [{"role": "user", "content": QUESTION}])
        tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self._prompt: list[str] = tokenizer.encode(text).tokens
        self._model = ctranslate2.Generator(
            folder, device="cpu", inter_threads=SLOTS, intra_threads=1
        )

    def stream(self, lengths: Sequence[int], answers: int) -> int:
        """Answer each client in a thread of its own, and return how many tokens there were."""

        def client(longest: int) -> int:
            steps = self._model.generate_tokens
            found = (steps(self._prompt, max_length=longest) for _ in range(answers))
            return sum(
                not step.is_last or step.step == longest - 1 for one in found for step in one
            )

        with ThreadPoolExecutor(len(lengths)) as threads:
            return sum(threads.map(client, lengths))

    def batch(self, lengths: Sequence[int], answers: int) -> int:
        """Answer all clients in one call, again and again; what nobody wanted does not count."""
        prompts = [self._prompt] * len(lengths)
        found = (
            self._model.generate_batch(
                prompts, max_length=max(lengths), include_prompt_in_result=False
            )
            for _ in range(answers)
        )
        return sum(
            min(len(one.sequences_ids[0]), longest)
            for batch in found
            for one, longest in zip(batch, lengths, strict=True)
        )


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Last(msgspec.Struct):
    usage: _Usage


def tokens_of(stream: Stream) -> int:
    """Return how many tokens an answer had, as the server says."""
    body = b"".join(piece for _, piece in stream.pieces)
    if not body.endswith(b"data: [DONE]\n\n"):
        raise RuntimeError(body[-500:].decode())
    last = body.split(b"\n\n")[-3]
    return msgspec.json.decode(last.removeprefix(b"data: "), type=_Last).usage.completion_tokens


async def ask(target: Target, lengths: Sequence[int], answers: int) -> int:
    """Let each client ask on a connection of its own, and return how many tokens there were."""

    async def client(longest: int) -> int:
        reader = await Reader.connect(target.port)
        messages = [{"role": "user", "content": QUESTION}]
        fields = {"model": "ctranslate2:bench", "messages": messages, "temperature": 0}
        fields |= {"max_tokens": longest, "stream": True}
        body = json.dumps({**fields, "stream_options": {"include_usage": True}}).encode()
        total = 0
        for _ in range(answers):
            total += tokens_of(await reader.read(post(target, body)))
        reader.close()
        return total

    return sum(await asyncio.gather(*map(client, lengths)))


@contextmanager
def server(model: str) -> Iterator[Target]:
    """Serve a model in a process of its own, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "junctor.toml")
        config.write_text(CONFIG.format(data=f"{folder}/data", model=model, slots=SLOTS))
        env = {**os.environ, "JUNCTOR_CONFIG": str(config)}
        command = [sys.executable, "-m", "junctor.routers.cli"]
        create = [*command, "keys", "create", "--team", "bench"]
        key = subprocess.run(create, env=env, check=True, capture_output=True, text=True).stdout
        port = free_port()
        child = subprocess.Popen(
            [*command, "serve", "--port", str(port)],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            yield Target(name="junctor", port=port, pid=child.pid, key=key.strip())
        finally:
            child.terminate()
            child.wait(30)


def measure(model: str, *, rounds: int, tokens: int, answers: int) -> None:
    """Let all take turns, and print tokens per second and ratios, in medians."""
    with ExitStack() as stack:
        target = stack.enter_context(server(model))
        library = Library(model)
        sides: dict[str, Callable[[Sequence[int], int], int]] = {
            "library": library.stream,
            "batch": library.batch,
            "server": lambda lengths, count: asyncio.run(ask(target, lengths, count)),
        }
        for case in cases(tokens):
            seen: dict[str, list[Round]] = {side: [] for side in sides}
            for number in range(rounds + 1):
                for side, run in sides.items():
                    cpu = target.cpu_seconds if side == "server" else time.process_time
                    began, used = time.perf_counter(), cpu()
                    written = run(case.lengths, answers)
                    if number:  # the first one warms up
                        rate = written / (time.perf_counter() - began)
                        seen[side].append(Round(rate, written / (cpu() - used)))
            print(rows(case, seen), flush=True)


@frozen
class Round:
    """What one side did in one round."""

    rate: float
    """Tokens per second."""
    thrift: float
    """Tokens per second of CPU: the load client's is not in the server's."""


def rows(case: Case, seen: dict[str, list[Round]]) -> str:
    """Write one case; ratios are of the same round, for the machine's speed drifts."""
    lines = []
    for side, rounds in seen.items():
        rate, thrift = (median(getattr(one, name) for one in rounds) for name in ("rate", "thrift"))
        line = f"{case.name:10} {side:8} {rate:8.1f} tokens/s {thrift:8.1f} per CPU second"
        if side != "server":
            ratios = [
                median(
                    getattr(ours, name) / getattr(theirs, name)
                    for ours, theirs in zip(seen["server"], rounds, strict=True)
                )
                for name in ("rate", "thrift")
            ]
            line += f"   server / {side}: {ratios[0]:.2f}, per CPU second {ratios[1]:.2f}"
        lines.append(line)
    return "\n".join(lines)


def build(out: Path) -> None:
    """Write a Qwen3 with random weights: 16 layers, 0.1 billion parameters, the tiny one's tokenizer."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    tiny = Path(model_path())
    settings = json.loads((tiny / "tokenizer_config.json").read_text())
    wrapped = PreTrainedTokenizerFast(
        tokenizer_file=str(tiny / "tokenizer.json"),
        eos_token=settings["eos_token"],
        pad_token="<|endoftext|>",
    )
    wrapped.chat_template = settings["chat_template"]
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=1024,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=16,
        num_attention_heads=12,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
    )
    with tempfile.TemporaryDirectory() as source:
        Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(source)
        wrapped.save_pretrained(source, save_jinja_files=False)
        copied = ["tokenizer.json", "tokenizer_config.json"]
        converter = TransformersConverter(source, copy_files=copied)
        converter.convert(str(out), quantization="int8", force=True)


def main() -> None:
    """Read the command line, and build or measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chat_engine")
    parser.add_argument("build", nargs="*", help="`build DIR`: make a random model there")
    parser.add_argument("--model", default=model_path(), help="folder; junctor-tiny-chat")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=120, help="longest answer")
    parser.add_argument("--answers", type=int, default=5, help="of each client in a round")
    options = parser.parse_args()
    if options.build:
        build(Path(options.build[1]))
    else:
        measure(
            options.model, rounds=options.rounds, tokens=options.tokens, answers=options.answers
        )


if __name__ == "__main__":
    main()
