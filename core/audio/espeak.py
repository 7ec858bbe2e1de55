"""
eSpeak NG in this process, through the library that the ``espeakng-loader`` wheel bundles.

A robotic voice for the demo, for tests and for training `junctor-tiny`: about a thousand times
faster than real time, and it tells when it says each word. The engine's phase runs on from call to
call, so a repeated sentence differs by some samples, though never audibly. English is fine; its
Thai reads the letters in written order, which no Thai listener would take for Thai.
The library is GPL-3.0-or-later, which is why it comes with the extra ``espeak``.
"""

import ctypes
import importlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import attrs

from junctor.core.errors import InvalidRequestError, NotConfiguredError, PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SYNCHRONOUS_OUTPUT = 2
_BUFFER_MS = 100
_PHONEME_EVENTS = 0x0001
_DO_NOT_EXIT_PROCESS = 0x8000
_CHARACTER_POSITIONS = 1
_UTF8 = 1
_PARAMETERS = {"rate": 1, "pitch": 3, "pitch_range": 4}
_LIST_END, _WORD, _PHONEME = 0, 1, 7


@attrs.frozen
class SpokenWord:
    """
    A word as it is said: `start` in seconds, `position` and `length` in characters of the text.

    eSpeak's idea of a word: Thai ones may come in several pieces, short English ones together.
    """

    start: float
    position: int
    length: int


@attrs.frozen
class SpokenPhoneme:
    """A phoneme as it is said: `start` in seconds and eSpeak's own `name` (``_:`` is a pause)."""

    start: float
    name: str


@attrs.frozen(eq=False)
class Speech:
    """Mono int16 `samples` at `sample_rate` Hz, and when which word and phoneme is said."""

    samples: "NDArray[np.int16]"
    sample_rate: int
    words: tuple[SpokenWord, ...]
    phonemes: tuple[SpokenPhoneme, ...]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Library:
    """The loaded shared library, which keeps global state: made once, used under a lock."""

    def __init__(self) -> None:
        try:
            loader = importlib.import_module("espeakng_loader")
        except ImportError as exc:
            message = "eSpeak NG is not installed. Install it with: pip install 'junctor[espeak]'"
            raise NotConfiguredError(message) from exc
        self._c = ctypes.CDLL(loader.get_library_path())
        self._c.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            *(ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
            *(ctypes.c_void_p, ctypes.c_void_p),
        ]
        data = str(loader.get_data_path())
        self.sample_rate = int(
            self._c.espeak_Initialize(
                _SYNCHRONOUS_OUTPUT,
                _BUFFER_MS,
                data.encode(),
                _DO_NOT_EXIT_PROCESS | _PHONEME_EVENTS,
            )
        )
        if self.sample_rate <= 0:
            raise PluginError(f"eSpeak NG cannot be initialised with its data in {data}.")
        self._variants = Path(data) / "voices" / "!v"
        self._chunks: list[NDArray[np.int16]] = []
        self._words: list[SpokenWord] = []
        self._phonemes: list[SpokenPhoneme] = []
        # The C side keeps only the address: without this reference the callback is collected.
        self._callback = _Callback(self._receive)
        self._c.espeak_SetSynthCallback(self._callback)

    def _receive(
        self,
        samples: "ctypes._Pointer[ctypes.c_short]",
        count: int,
        events: "ctypes._Pointer[_Event]",
    ) -> int:
        import numpy as np

        index = 0
        while bool(events) and events[index].type != _LIST_END:
            self._note(events[index])
            index += 1
        if bool(samples) and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0

    def _note(self, event: _Event) -> None:
        start = event.audio_position / 1000
        if event.type == _WORD:
            self._words.append(SpokenWord(start, event.text_position - 1, event.length))
        elif event.type == _PHONEME:
            name = event.id.string.decode("utf-8", "replace")
            self._phonemes.append(SpokenPhoneme(start, name))

    def choose(self, voice: str) -> None:
        """Select a voice such as ``en-us`` or ``th+f2``; eSpeak itself ignores unknown variants."""
        _, plus, variant = voice.partition("+")
        known = not plus or (self._variants / variant).is_file()
        if not known or self._c.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InvalidRequestError(f"eSpeak NG has no voice {voice!r}.", param="voice")

    def speak(self, text: str, parameters: dict[str, int]) -> Speech:
        """Synthesise with the chosen voice."""
        import numpy as np

        self._chunks, self._words, self._phonemes = [], [], []
        for name, value in parameters.items():
            self._c.espeak_SetParameter(_PARAMETERS[name], value, 0)
        raw = text.encode() + b"\0"
        self._c.espeak_Synth(raw, len(raw), 0, _CHARACTER_POSITIONS, 0, _UTF8, None, None)
        self._c.espeak_Synchronize()
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)
        return Speech(samples, self.sample_rate, tuple(self._words), tuple(self._phonemes))


class Espeak:
    """
    The eSpeak NG voice of this process; instances are cheap and share one engine and its lock.

    Raises:
        NotConfiguredError: ``espeakng-loader`` is not installed.
        PluginError: the library is there but does not start.

    """

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _library: ClassVar[_Library | None] = None

    def __init__(self) -> None:
        with Espeak._lock:
            if Espeak._library is None:
                Espeak._library = _Library()
            self._engine = Espeak._library

    @property
    def sample_rate(self) -> int:
        """Hz of everything it says (22050)."""
        return self._engine.sample_rate

    def speak(
        self,
        text: str,
        *,
        voice: str = "en-us",
        rate: int = 160,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> Speech:
        """
        Say `text`, with the times of its words and phonemes.

        A blocking call of about a millisecond per second of speech.

        Args:
            text: what to say; a voice given another script spells it letter by letter.
            voice: a language, with a speaker variant after ``+`` if wished: ``en-us``, ``th+f2``.
            rate: words per minute, 80 to 450.
            pitch: 0 to 100.
            pitch_range: liveliness, 0 (monotone) to 100.

        Raises:
            InvalidRequestError: no such voice or variant.

        """
        with self._lock:
            self._engine.choose(voice)
            return self._engine.speak(
                text, {"rate": rate, "pitch": pitch, "pitch_range": pitch_range}
            )

    def synthesize(
        self,
        text: str,
        *,
        voice: str = "en-us",
        rate: int = 160,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> "NDArray[np.int16]":
        """Say `text` and return only the samples: mono int16 at `sample_rate`. See `speak`."""
        return self.speak(
            text, voice=voice, rate=rate, pitch=pitch, pitch_range=pitch_range
        ).samples
