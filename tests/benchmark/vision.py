"""Small images, models and captions, made on the spot in a folder of data."""

import csv
import json
from pathlib import Path

import numpy as np

from benchmark.seeding import Stream, seeded_torch

WORDS = ("dark", "light", "red", "green", "blue", "square", "on", "the", "left", "right")
SIDE, N_TOKENS = 16, 10  # of the small CLIP: pixels of a side, tokens of a caption


def write_cifar(datasets: Path, n: int = 40, n_test: int = 200, contrast: float = 15.0) -> Path:
    """Write files of CIFAR-10's form, so many examples each, whose classes are patterns of 4 x 4 under noise.

    Args:
        datasets: folder of data.
        n: examples of each of the five training files.
        n_test: of the test file.
        contrast: standard deviation of the patterns; that of the noise is 50.
    """
    generator = np.random.default_rng(0)
    patterns = contrast * generator.standard_normal((10, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
    folder = datasets / "cifar-10-batches-bin"
    folder.mkdir(parents=True, exist_ok=True)
    files = [*((f"data_batch_{number}.bin", n) for number in range(1, 6)), ("test_batch.bin", n_test)]
    for name, size in files:
        labels = generator.integers(0, 10, size)
        pixels = 128 + patterns[labels] + 50 * generator.standard_normal((size, 3, 32, 32))
        rows = np.concatenate([labels[:, None], pixels.clip(0, 255).reshape(size, -1)], axis=1)
        (folder / name).write_bytes(rows.astype(np.uint8).tobytes())
    return folder


def write_resnet(datasets: Path, name: str, n_classes: int = 10, seed: int = 0) -> Path:
    """Write a ResNet of random weights as transformers keeps it."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=n_classes
    )
    folder = datasets / "models" / name
    with seeded_torch(seed, Stream.INIT):
        ResNetForImageClassification(config).save_pretrained(folder)
    return folder


def write_clip(datasets: Path, name: str = "small", seed: int = 0) -> Path:
    """Write a CLIP model of random weights with its tokens, as transformers keeps them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel

    marks = ("<start>", "<end>")
    codes = {word: code for code, word in enumerate((*WORDS, *marks))}
    width = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **width,
        "vocab_size": len(codes),
        "max_position_embeddings": N_TOKENS,
        "eos_token_id": codes["<end>"],
        "bos_token_id": codes["<start>"],
        "pad_token_id": 0,
    }
    config = CLIPConfig(
        text_config=text, vision_config={**width, "image_size": SIDE, "patch_size": 8}, projection_dim=8
    )
    folder = datasets / "models" / name
    with seeded_torch(seed, Stream.INIT):
        CLIPModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(codes, unk_token="dark"))  # noqa: S106  (a word, no secret)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(mark, codes[mark]) for mark in marks]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    shades = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(shades), encoding="utf-8")
    return folder


def write_pairs(datasets: Path, name: str = "squares", n: int = 128) -> Path:
    """Write images of coloured halves with captions that tell of them, so many a split."""
    from PIL import Image

    generator = np.random.default_rng(1)
    folder = datasets / "pairs" / name
    for split in ("train", "validation", "test"):
        (folder / split).mkdir(parents=True)
        rows = []
        for place in range(n):
            shade, colour, side = generator.integers(0, 2), generator.integers(0, 3), generator.integers(0, 2)
            pixels = generator.integers(0, 60, (24, 20, 3))
            half = slice(0, 10) if side == 0 else slice(10, 20)
            pixels[:, half, colour] += 90 + 100 * shade
            Image.fromarray(pixels.astype(np.uint8)).save(folder / split / f"{place}.png")
            caption = f"{WORDS[shade]} {WORDS[2 + colour]} square on the {WORDS[8 + side]}"
            rows.append({"file_name": f"{place}.png", "text": caption})
        with (folder / split / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["file_name", "text"])
            writer.writeheader()
            writer.writerows(rows)
    return folder
