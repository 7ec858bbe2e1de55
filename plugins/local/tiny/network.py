"""
The network: a stock Whisper of 1.1 million parameters, started and taught so that it learns fast.

From scratch a Whisper learns nothing for hours. Four things make it minutes: an initialisation in
which sound is louder than position, encoder heads that begin as windows at fixed offsets, the
phoneme and word of every 20 ms as extra targets, and attention that is shown where to listen. All
of it is training only: what is exported is a plain Whisper.
"""

import math
from collections.abc import Callable, Iterator

import attrs
import torch
from torch import nn
from torch.nn import functional
from transformers import WhisperConfig, WhisperForConditionalGeneration

from junctor.plugins.local.tiny.examples import IGNORED, Batch, Ints
from junctor.plugins.local.tiny.tokenizer import Vocabulary

WIDTH = 96
HEADS = 4
HEAD_WIDTH = WIDTH // HEADS
ENCODER_LAYERS, DECODER_LAYERS = 4, 2
GUIDED_HEADS = (0, 1)
"""Heads of the last decoder layer that are shown where the next token is heard."""

_OFFSETS = (-10, -3, 3, 10)
_SOURCE_POSITIONS, _TARGET_POSITIONS = 1500, 448


def _sinusoids(count: int) -> torch.Tensor:
    rates = torch.exp(-math.log(10_000) / (WIDTH // 2 - 1) * torch.arange(WIDTH // 2))
    angles = torch.arange(count)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


def _look_at(query: torch.Tensor, key: torch.Tensor, *, head: int, offset: int) -> None:
    """Make `head` prefer the frame `offset` away: q·k = Σ cos(rate · (t - s + offset))."""
    half = WIDTH // 2
    for pair in range(HEAD_WIDTH // 2):
        sine = 3 + pair
        cosine = sine + half
        angle = 10_000 ** (-sine / (half - 1)) * offset
        first, second = head * HEAD_WIDTH + pair, head * HEAD_WIDTH + HEAD_WIDTH // 2 + pair
        query[[first, second]] *= 0.2
        key[[first, second]] *= 0.2
        key[first, sine] += 1.5
        key[second, cosine] += 1.5
        query[first, sine] += 1.5 * math.cos(angle)
        query[first, cosine] += 1.5 * math.sin(angle)
        query[second, cosine] += 1.5 * math.cos(angle)
        query[second, sine] -= 1.5 * math.sin(angle)


def _initialise(model: WhisperForConditionalGeneration) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear) and module is not model.proj_out:
            residual = name.endswith(("out_proj", "fc2"))
            nn.init.xavier_uniform_(module.weight, gain=0.5 if residual else 1.0)
    encoder, decoder = model.model.encoder, model.model.decoder
    encoder.embed_positions.weight.copy_(_sinusoids(_SOURCE_POSITIONS))
    for layer in encoder.layers:
        attention = layer.self_attn
        for head, offset in enumerate(_OFFSETS):
            _look_at(attention.q_proj.weight, attention.k_proj.weight, head=head, offset=offset)
    decoder.embed_positions.weight.copy_(_sinusoids(_TARGET_POSITIONS) * 0.3)
    decoder.embed_tokens.weight.normal_(0, WIDTH**-0.5)


def build_model(vocabulary: Vocabulary) -> WhisperForConditionalGeneration:
    """Return a fresh Whisper for `vocabulary`."""
    config = WhisperConfig(
        vocab_size=vocabulary.size,
        d_model=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        decoder_layers=DECODER_LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        num_mel_bins=80,
        max_source_positions=_SOURCE_POSITIONS,
        max_target_positions=_TARGET_POSITIONS,
        dropout=0.0,
        pad_token_id=vocabulary.end,
        bos_token_id=vocabulary.start,
        eos_token_id=vocabulary.end,
        decoder_start_token_id=vocabulary.start,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        _initialise(model)
    model.tie_weights()
    return model


@attrs.frozen
class Losses:
    """The four losses of a batch, nats per target."""

    text: torch.Tensor
    word: torch.Tensor
    phoneme: torch.Tensor
    attention: torch.Tensor


class Teacher:
    """A model with the extra heads that only training needs."""

    def __init__(
        self, model: WhisperForConditionalGeneration, vocabulary: Vocabulary, phonemes: int
    ) -> None:
        self.model = model
        self._phoneme_head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, phonemes))
        self._blank = nn.Parameter(torch.zeros(1, WIDTH))
        self._heard = torch.tensor(vocabulary.heard)
        self._seen: dict[tuple[int, str], torch.Tensor] = {}
        for index, layer in enumerate(model.model.decoder.layers):
            for name in ("q_proj", "k_proj"):
                projection = getattr(layer.encoder_attn, name)
                projection.register_forward_hook(self._keeper(index, name))

    def _keeper(self, index: int, name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            self._seen[index, name] = output

        return keep

    def extras(self) -> nn.ModuleList:
        """Return the parameters beside the model's, to be saved in checkpoints."""
        holder = nn.Module()
        holder.register_parameter("blank", self._blank)
        return nn.ModuleList([self._phoneme_head, holder])

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield everything that is learnt."""
        yield from (item for item in self.model.parameters() if item.requires_grad)
        yield from self.extras().parameters()

    def _encode(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states of the middle and the top, for windows of any length."""
        encoder = self.model.model.encoder
        state = functional.gelu(encoder.conv1(features))
        state = functional.gelu(encoder.conv2(state)).permute(0, 2, 1)
        state = middle = state + encoder.embed_positions.weight[: state.shape[1]]
        for index, layer in enumerate(encoder.layers, 1):
            state = layer(state, None)
            state = state[0] if isinstance(state, tuple) else state
            if index == ENCODER_LAYERS // 2:
                middle = state
        return middle, encoder.layer_norm(state)

    def losses(self, batch: Batch) -> Losses:
        """Run the model over `batch`."""
        middle, top = self._encode(torch.from_numpy(batch.features))
        decoder = self.model.model.decoder
        states = decoder(
            input_ids=torch.from_numpy(batch.inputs), encoder_hidden_states=top
        ).last_hidden_state
        # Scoring frames against the decoder's own embeddings puts the sound where it can copy from.
        table = torch.cat([self._blank, decoder.embed_tokens.weight[self._heard]])
        heard = torch.from_numpy(batch.heard)
        last = DECODER_LAYERS - 1
        return Losses(
            text=_cross_entropy(self.model.proj_out(states), batch.labels),
            word=_cross_entropy(top @ table.T, batch.words),
            phoneme=_cross_entropy(self._phoneme_head(middle), batch.phonemes),
            attention=self._guidance(last, heard[:, 1:], GUIDED_HEADS)
            + 0.5 * self._guidance(0, heard[:, :-1], (0,)),
        )

    def _guidance(self, layer: int, heard: torch.Tensor, heads: tuple[int, ...]) -> torch.Tensor:
        """Return -log of the attention that `heads` give to the frames where a token is heard."""
        query, key = (
            self._seen[layer, name].unflatten(-1, (HEADS, HEAD_WIDTH))[:, :, list(heads)]
            for name in ("q_proj", "k_proj")
        )
        scores = torch.einsum("blhd,bthd->blht", query * HEAD_WIDTH**-0.5, key)
        known = heard[..., 1] > heard[..., 0]
        scores, spans = scores[known].log_softmax(-1), heard[known]
        frames = torch.arange(key.shape[1])
        inside = (frames >= spans[:, :1]) & (frames < spans[:, 1:])
        usable = inside.any(-1)
        if not usable.any():
            return query.sum() * 0
        mass = scores.masked_fill(~inside[:, None], -1e9).logsumexp(-1)
        return -mass[usable].mean()


def _cross_entropy(logits: torch.Tensor, labels: Ints) -> torch.Tensor:
    targets = torch.from_numpy(labels).flatten()
    return functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORED)
