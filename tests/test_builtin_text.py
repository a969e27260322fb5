"""The language model in the package: these weights and no others, read by transformers alone, and what they say."""

from __future__ import annotations

import hashlib

from transformers import AutoModelForCausalLM, AutoTokenizer

from aigc_cli.models.catalogue import BUILTINS
from tests.conftest import run_here

FOLDER = BUILTINS["builtin:text"].path
WEIGHTS = "c123c4b3d4c48e59ea90ccccfea56cf2a7fc840167da2c7428e5809a02830708"
PROMPT = "Once upon a time, there was a little rabbit"
STORY = (
    " named Ben. Ben was a very happy rabbit. He loved to play with his friends in the forest."
    " One day, Ben saw a big tree with a lot of leaves. He wanted to climb the tree to get the leaves.\nBen"
)


def test_the_weights_are_those_that_were_measured() -> None:
    assert hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest() == WEIGHTS


def test_it_tells_this_story() -> None:
    greedy = ("--temperature", "0", "--repetition-penalty", "1", "--max-new-tokens", "48", "--dtype", "float32", "--device", "cpu")
    assert run_here("complete", PROMPT, *greedy).stdout == STORY


def test_transformers_alone_tells_the_same() -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(FOLDER, dtype="float32"), AutoTokenizer.from_pretrained(FOLDER)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    made = model.generate(
        inputs.input_ids, attention_mask=inputs.attention_mask, do_sample=False, repetition_penalty=1.0, max_new_tokens=48
    )
    assert tokenizer.decode(made[0], skip_special_tokens=True) == PROMPT + STORY
