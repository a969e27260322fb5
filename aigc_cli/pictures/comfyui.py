"""The `prompt` graph that ComfyUI writes into its pictures: nodes by id, each {"class_type", "inputs"}.

An input is a value, or a link [id, output] to another node. Read from the first sampler backwards, as far as its
nodes are those that ComfyUI itself has; what any other did is said, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aigc_cli.core.image import SEEDS
from aigc_cli.core.sampler_names import from_a1111
from aigc_cli.pictures.recipe import LORA, Part, Recipe

SAMPLERS = ("KSampler", "KSamplerAdvanced")
CHECKPOINTS = {"CheckpointLoaderSimple": "ckpt_name", "CheckpointLoader": "ckpt_name", "UNETLoader": "unet_name"}
LORAS = ("LoraLoader", "LoraLoaderModelOnly")
ENCODERS = {  # the inputs that hold the text, the best first
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeSDXL": ("text_g", "text_l"),
    "CLIPTextEncodeFlux": ("t5xxl", "clip_l"),
    "CLIPTextEncodeSD3": ("t5xxl", "clip_g", "clip_l"),
}
GUIDING = ("FluxGuidance", "CLIPTextEncodeFlux")
FLOW_LATENTS = ("EmptySD3LatentImage", "EmptyFlux2LatentImage")  # of models that predict a velocity
EMPTY_LATENTS = ("EmptyLatentImage", *FLOW_LATENTS)
LOADED_APART = ("VAELoader", "CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader")
WITHOUT_EFFECT = ("VAEDecode", "VAEDecodeTiled", "SaveImage", "PreviewImage", "Note", "ConditioningZeroOut")
UNDERSTOOD = {
    *(*SAMPLERS, *CHECKPOINTS, *LORAS, *ENCODERS, *EMPTY_LATENTS, *LOADED_APART, *WITHOUT_EFFECT),
    *("CLIPSetLastLayer", "FluxGuidance"),
}
# its words for a sampler and a schedule -> A1111's
SAMPLER_WORDS = {
    "ddim": "DDIM",
    "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_gpu": "DPM++ 2M SDE",
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "lcm": "LCM",
    "lms": "LMS",
    "uni_pc": "UniPC",
}
SCHEDULE_WORDS = {
    "ddim_uniform": "Uniform",
    "exponential": "Exponential",
    "karras": "Karras",
    "normal": "Normal",
    "sgm_uniform": "Uniform",
    "simple": "Simple",
}

Node = dict[str, Any]


def parse_graph(value: Any) -> tuple[Recipe, tuple[str, ...]]:
    """What the graph says of a picture, and what of it could not be taken, in words.

    Raises: ValueError for what is no graph, or one without a sampler.
    """
    if not isinstance(value, dict):
        raise ValueError("no graph")
    graph = Graph(value)
    sampler = graph.first_sampler()
    settings = {**graph.texts(sampler), **graph.numbers(sampler), **graph.size(sampler)}
    model, parts = graph.model_and_loras(sampler)
    graph.say_what_was_not_understood()
    return Recipe(settings=settings, model=model, parts=parts, source="comfyui"), tuple(graph.remarks)


class Graph:
    """Nodes and the links between them; `remarks` gathers what could not be taken."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.nodes: dict[str, Node] = {key: node for key, node in value.items() if is_node(node)}
        self.remarks: list[str] = []

    def linked(self, node: Node, name: str) -> Node | None:
        """The node behind an input."""
        link = node["inputs"].get(name)
        return self.nodes.get(str(link[0])) if isinstance(link, list) and link else None

    def back(self, node: Node | None, *names: str) -> Iterator[Node]:
        """The node and those before it, along the first of these inputs that is a link; each once, also in a circle."""
        seen: set[int] = set()
        while node is not None and id(node) not in seen:
            seen.add(id(node))
            yield node
            node = next(filter(None, (self.linked(node, name) for name in names)), None)

    def first_sampler(self) -> Node:
        """The one that begins with an empty picture. Raises: ValueError where there is none."""
        samplers = [node for node in self.nodes.values() if node["class_type"] in SAMPLERS]
        if not samplers:
            raise ValueError("no sampler")
        first: Node = next((each for each in samplers if self.latent_class(each) in EMPTY_LATENTS), samplers[0])
        if len(samplers) > 1:
            self.remarks.append(f"only the first of its {len(samplers)} samplers taken")
        return first

    def latent_class(self, sampler: Node) -> str:
        latent = self.linked(sampler, "latent_image")
        return str(latent["class_type"]) if latent else ""

    def texts(self, sampler: Node) -> dict[str, Any]:
        """The prompts, the guidance of FLUX, which stands beside its prompt, and the layers left out."""
        settings: dict[str, Any] = {"prompt": ""}
        for name, setting in (("positive", "prompt"), ("negative", "negative_prompt")):
            for node in self.back(self.linked(sampler, name), "conditioning", "conditioning_1", "positive"):
                inputs = node["inputs"]
                guidance = inputs.get("guidance")
                if name == "positive" and node["class_type"] in GUIDING and is_number(guidance):
                    settings["guidance_scale"] = float(guidance)
                if node["class_type"] in ENCODERS:
                    if text := self.text(node):
                        settings[setting] = text
                    settings |= self.clip_skip(node)
        if not settings["prompt"]:
            self.remarks.append("its prompt could not be found")
        return settings

    def text(self, encoder: Node) -> str:
        for name in ENCODERS[encoder["class_type"]]:
            value = encoder["inputs"].get(name)
            if isinstance(value, list):
                source = self.linked(encoder, name)
                inputs = source["inputs"] if source else {}
                value = next((text for key in ("value", "text", "string") if isinstance(text := inputs.get(key), str)), "")
            if value and isinstance(value, str):
                return value
        return ""

    def clip_skip(self, encoder: Node) -> dict[str, Any]:
        for node in self.back(self.linked(encoder, "clip"), "clip"):
            last = node["inputs"].get("stop_at_clip_layer")
            if isinstance(last, int) and last < -1:  # -1 leaves out nothing
                return {"clip_skip": -last - 1}
        return {}

    def numbers(self, sampler: Node) -> dict[str, Any]:
        inputs = sampler["inputs"]
        settings: dict[str, Any] = {}
        seed = inputs.get("seed", inputs.get("noise_seed"))
        if isinstance(seed, int) and 0 <= seed < SEEDS:
            settings["seed"] = seed
        else:
            self.remarks.append(f"its seed {seed} could not be taken: seeds end at {SEEDS - 1}")
        if isinstance(steps := inputs.get("steps"), int):
            settings["steps"] = steps
        if is_number(guidance := inputs.get("cfg")) and not self.guides_by_itself(sampler):
            settings["guidance_scale"] = float(guidance)
        return settings | self.scheduler(sampler)

    def scheduler(self, sampler: Node) -> dict[str, Any]:
        words = str(sampler["inputs"].get("sampler_name", "")), str(sampler["inputs"].get("scheduler", ""))
        is_flow = self.guides_by_itself(sampler) or self.latent_class(sampler) in FLOW_LATENTS
        name = from_a1111(SAMPLER_WORDS.get(words[0], "?"), SCHEDULE_WORDS.get(words[1], "?"), flow=is_flow)
        if name is None:
            self.remarks.append(f"there is no scheduler like its sampler {' '.join(words)}")
        return {"scheduler": name} if name else {}

    def guides_by_itself(self, sampler: Node) -> bool:
        """Whether guidance is an input of the model, as in FLUX, and `cfg` is 1."""
        nodes = self.back(self.linked(sampler, "positive"), "conditioning")
        return any(node["class_type"] in GUIDING for node in nodes)

    def size(self, sampler: Node) -> dict[str, Any]:
        latent = self.linked(sampler, "latent_image")
        inputs = latent["inputs"] if latent else {}
        if self.latent_class(sampler) in EMPTY_LATENTS and isinstance(inputs.get("width"), int) and isinstance(inputs.get("height"), int):
            if isinstance(count := inputs.get("batch_size"), int) and count > 1:
                self.remarks.append(f"it is one of {count} that were drawn from one seed together")
            return {"width": inputs["width"], "height": inputs["height"]}
        strength = sampler["inputs"].get("denoise", "")
        self.remarks.append(f"it was begun from another picture, with strength {strength}: name that with --init-image")
        return {}

    def model_and_loras(self, sampler: Node) -> tuple[str | None, tuple[Part, ...]]:
        model, parts = None, []
        for node in self.back(self.linked(sampler, "model"), "model"):
            inputs = node["inputs"]
            if node["class_type"] in LORAS:
                scale = inputs.get("strength_model")
                parts.append(Part(LORA, str(inputs.get("lora_name", "")), float(scale) if is_number(scale) else None))
            elif isinstance(name := inputs.get(CHECKPOINTS.get(node["class_type"], "")), str):
                model = name
        return model, tuple(reversed(parts))

    def say_what_was_not_understood(self) -> None:
        others = sorted({str(node["class_type"]) for node in self.nodes.values()} - UNDERSTOOD)
        apart = sorted({str(node["class_type"]) for node in self.nodes.values()} & set(LOADED_APART))
        if apart:
            self.remarks.append(f"files loaded apart from the model not taken: {', '.join(apart)}")
        if others:
            self.remarks.append(f"nodes not understood: {', '.join(others)}")


def is_node(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_type"), str) and isinstance(value.get("inputs"), dict)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
