"""Chat templates in the shapes that are in use, and a tokenizer to go with each."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.backends.tiny_models import TRAINING_TEXT


@dataclass(frozen=True)
class Shape:
    """special: tokens of the tokenizer; the first ends a text.  answer: what is learnt of the answer "A"."""

    template: str
    special: tuple[str, ...]
    answer: str


ASKED = "{% if add_generation_prompt %}"
CHATML = Shape(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    + ASKED
    + "<|im_start|>assistant\n{% endif %}",
    ("<|im_end|>", "<|im_start|>"),
    "A<|im_end|>",
)
LLAMA_2 = Shape(
    "{% for m in messages %}{% if m.role == 'user' %}<s>[INST] {{ m.content | trim }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content | trim }} </s>"
    "{% else %}{{ raise_exception('no system prompt') }}{% endif %}{% endfor %}",
    ("</s>", "<s>"),
    " A </s>",
)
LLAMA_3 = Shape(
    "{{ '<|begin|>' }}{% for m in messages %}<|header|>{{ m.role }}<|/header|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    + ASKED
    + "<|header|>assistant<|/header|>\n\n{% endif %}",
    ("<|eot|>", "<|begin|>", "<|header|>", "<|/header|>"),
    "A<|eot|>",
)
GEMMA = Shape(  # the system prompt goes into the first turn, the assistant has another name
    "{{ '<bos>' }}{% if messages[0].role == 'system' %}{% set first = messages[0].content | trim + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ first if loop.first else '' }}{{ m.content | trim }}<end_of_turn>\n{% endfor %}" + ASKED + "<start_of_turn>model\n{% endif %}",
    ("<end_of_turn>", "<bos>", "<start_of_turn>"),
    "A<end_of_turn>",
)
PHI_3 = Shape(  # closes a finished conversation with one more token
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    + ASKED
    + "<|assistant|>\n{% else %}<|endoftext|>{% endif %}",
    ("<|end|>", "<|endoftext|>", "<|user|>", "<|system|>", "<|assistant|>"),
    "A<|end|>",
)
ZEPHYR = Shape(  # only the end is a token of its own
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}" + ASKED + "<|assistant|>\n{% endif %}",
    ("</s>",),
    "A</s>",
)
MARKED = Shape(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}" + ASKED + "<|im_start|>assistant\n{% endif %}",
    ("<|im_end|>", "<|im_start|>"),
    "A<|im_end|>",
)
SHAPES = {
    "chatml": CHATML,
    "llama-2": LLAMA_2,
    "llama-3": LLAMA_3,
    "gemma": GEMMA,
    "phi-3": PHI_3,
    "zephyr": ZEPHYR,
    "marked": MARKED,
}


def tokenizer_for(shape: Shape) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, as GPT-2's: its offsets leave out the space before a word."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=list(shape.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*TRAINING_TEXT, "a\n\nb\n\n\nc", "[INST] the [/INST] the"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=shape.special[0],
        additional_special_tokens=list(shape.special[1:]),
        clean_up_tokenization_spaces=False,
        chat_template=shape.template,
    )


def sentencepiece_like(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """As Llama's first tokenizers: a space before every text, a token for the beginning put by the tokenizer, bytes to fall back on."""
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    vocabulary += [chr(code) for code in range(33, 127)]
    merges = [("▁", letter) for letter in "ABCHPQTabchpqt"] + [("l", "o"), ("i", "s")]
    vocabulary += ["".join(pair) for pair in merges]
    bpe = Tokenizer(
        models.BPE({token: at for at, token in enumerate(vocabulary)}, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
    )
