"""tokenizers and transformers without a framework; nothing is downloaded."""

import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from checks import equal, expect, raises

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog"] * 4
SPECIAL = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]


def words():
    """Train a tokenizer as BERT has it."""
    inner = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL)
    )
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def tokenizing():
    tokenizer = words()
    batch = tokenizer(["The cat sat", "a dog"], padding=True, return_tensors="np")
    equal(batch["input_ids"].shape[0], 2)
    equal(int(batch["attention_mask"].sum()), 3 + 2 + 4)
    text = tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True)
    equal(text, "the cat sat")
    offsets = tokenizer("the cat", return_offsets_mapping=True)["offset_mapping"]
    expect((4, 7) in offsets)
    bytewise = tokenizers.ByteLevelBPETokenizer()
    bytewise.train_from_iterator(TEXTS, vocab_size=300, show_progress=False)
    equal(bytewise.decode(bytewise.encode("a café").ids), "a café")
    unigram = tokenizers.SentencePieceUnigramTokenizer()
    unigram.train_from_iterator(TEXTS, vocab_size=60, show_progress=False)
    expect(unigram.encode("the cat").tokens)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        again = transformers.AutoTokenizer.from_pretrained(folder)
        equal(again("a cat")["input_ids"], tokenizer("a cat")["input_ids"])


def batches():
    tokenizer = words()
    batch = tokenizer(["a cat", "the dog sat"], padding="max_length", truncation=True, max_length=4)
    equal([len(ids) for ids in batch["input_ids"]], [4, 4])
    equal(batch["attention_mask"], [[1, 1, 1, 1], [1, 1, 1, 1]])
    pairs = tokenizer([("a cat", "a dog")], return_tensors="np")
    expect(isinstance(pairs["input_ids"], np.ndarray))
    equal(tokenizer.convert_ids_to_tokens(batch["input_ids"][0])[0], "[CLS]")
    equal(tokenizer.pad({"input_ids": [[2, 3], [2]]})["attention_mask"], [[1, 1], [1, 0]])
    equal(tokenizer("xyzzy")["input_ids"][1:-1], [tokenizer.unk_token_id])
    raises(ValueError, tokenizer, 7)


def configurations():
    """Names are looked up in folders of files, some of which slimming takes."""
    for name in ("bert", "gpt2", "llama", "t5", "qwen3", "gemma3", "whisper", "vit", "clip"):
        config = transformers.AutoConfig.for_model(name)
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            equal(transformers.AutoConfig.from_pretrained(folder).model_type, name)
    raises(ValueError, transformers.AutoConfig.for_model, "no such model")
    raises(OSError, transformers.AutoTokenizer.from_pretrained, "nobody/has-this-here")


CHECKS = (tokenizing, batches, configurations)
