"""Trains a tokenizer and a classifier at build time; the model is in the image, this is not.

The classifier is that of fastText: the mean of the tokens' embeddings, and one linear layer
(A. Joulin et al., "Bag of tricks for efficient text classification", 2016).
"""

from pathlib import Path

import numpy as np
import onnx_model
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY, WIDTH, LENGTH = 500, 32, 512
STEPS, RATE, DECAY = 400, 0.02, 1e-3
SPECIAL = ["[PAD]", "[UNK]"]

texts, labels, languages = [], [], []
for line in Path("corpus.txt").read_text(encoding="utf-8").splitlines():
    if line.startswith("["):
        languages.append(line.strip("[]"))
    elif not line.startswith("#"):
        texts.append(line)
        labels.append(len(languages) - 1)

inner = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
inner.pre_tokenizer = pre_tokenizers.Metaspace()
inner.decoder = decoders.Metaspace()
trainer = trainers.BpeTrainer(
    vocab_size=VOCABULARY, special_tokens=SPECIAL, max_token_length=5, show_progress=False
)
inner.train_from_iterator(texts, trainer)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_max_length=LENGTH
)

# How often each token is in each text, as shares of the text.
batch = tokenizer(texts, padding=True, return_tensors="np")
shares = np.zeros((len(texts), len(tokenizer)))
for row, ids, mask in zip(shares, batch["input_ids"], batch["attention_mask"]):
    np.add.at(row, ids[mask == 1], 1 / mask.sum())

# Adam (D. P. Kingma and J. Ba, 2014) with weight decay, on all texts at once.
rng = np.random.default_rng(0)
wanted = np.eye(len(languages))[labels]
embeddings = rng.standard_normal((len(tokenizer), WIDTH)) * 0.1
weights = rng.standard_normal((WIDTH, len(languages))) * 0.1
learned = [embeddings, weights]
first, second = ([np.zeros_like(one) for one in learned] for _ in range(2))
for step in range(1, STEPS + 1):
    logits = shares @ embeddings @ weights
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    slope = (odds / odds.sum(axis=1, keepdims=True) - wanted) / len(texts)
    slopes = shares.T @ slope @ weights.T, (shares @ embeddings).T @ slope
    for values, change, mean, square in zip(learned, slopes, first, second):
        mean += 0.1 * (change - mean)
        square += 0.001 * (change**2 - square)
        moved = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        values -= RATE * (moved + DECAY * values)

nodes = [
    onnx_model.node("Gather", ["embeddings", "ids"], ["tokens"], axis=0),
    onnx_model.node("Unsqueeze", ["mask", "last"], ["column"]),
    onnx_model.node("Mul", ["tokens", "column"], ["kept"]),
    onnx_model.node("ReduceSum", ["kept", "second"], ["sum"], keepdims=0),
    onnx_model.node("ReduceSum", ["mask", "second"], ["counted"], keepdims=1),
    onnx_model.node("Max", ["counted", "one"], ["count"]),
    onnx_model.node("Div", ["sum", "count"], ["mean"]),
    onnx_model.node("MatMul", ["mean", "weights"], ["logits"]),
    onnx_model.node("Softmax", ["logits"], ["probabilities"], axis=1),
]
constants = {
    "embeddings": embeddings, "weights": weights, "one": np.ones(1),
    "last": np.array([2]), "second": np.array([1]),
}  # fmt: skip
shape = ("texts", "length")
folder = Path("model")
tokenizer.save_pretrained(folder)
(folder / "languages.txt").write_text("\n".join(languages) + "\n")
(folder / "model.onnx").write_bytes(
    onnx_model.model(
        nodes,
        constants,
        {"ids": shape, "mask": shape},
        {"probabilities": ("texts", len(languages))},
        {"ids": onnx_model.INT64},
    )
)
print(f"accuracy on the training set: {(logits.argmax(axis=1) == labels).mean():.3f}")
