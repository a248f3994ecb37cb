"""transformers with PyTorch; nothing is downloaded."""

import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

from checks import close, equal, expect, raises
from checks.tokens import words

transformers.utils.logging.disable_progress_bar()


def small(kind, **more):
    """Make a model of random weights."""
    torch.manual_seed(0)
    options = {"vocab_size": 120, "hidden_size": 16, "num_attention_heads": 2, **more}
    if kind is transformers.GPT2LMHeadModel:
        config = transformers.GPT2Config(
            vocab_size=120, n_embd=16, n_head=2, n_layer=2, bos_token_id=2, eos_token_id=3
        )
    elif kind is transformers.LlamaForCausalLM:
        config = transformers.LlamaConfig(num_hidden_layers=2, intermediate_size=32, **options)
    elif kind is transformers.T5ForConditionalGeneration:
        config = transformers.T5Config(
            vocab_size=120, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
            decoder_start_token_id=1,
        )  # fmt: skip
    else:
        config = transformers.BertConfig(num_hidden_layers=2, intermediate_size=32, **options)
    return kind(config).eval()


def models_forward_and_back():
    ids = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 1]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    model = small(transformers.BertForSequenceClassification, num_labels=3).train()
    done = model(ids, attention_mask=mask, labels=torch.tensor([0, 2]))
    equal(tuple(done.logits.shape), (2, 3))
    done.loss.backward()
    expect(all(p.grad is not None for p in model.classifier.parameters()))
    other = small(transformers.LlamaForCausalLM)
    equal(tuple(other(ids).logits.shape), (2, 4, 120))
    answers = {
        kind: small(transformers.BertModel, attn_implementation=kind)(ids, attention_mask=mask)
        for kind in ("eager", "sdpa")
    }
    close(answers["sdpa"].pooler_output, answers["eager"].pooler_output.tolist(), 1e-3)
    raises(ValueError, transformers.AutoConfig.for_model, "no such model")


def generating():
    ids = torch.tensor([[2, 7, 9]])
    for kind in (transformers.GPT2LMHeadModel, transformers.LlamaForCausalLM):
        model = small(kind)
        found = model.generate(ids, max_new_tokens=5, min_new_tokens=5, do_sample=False)
        equal(tuple(found.shape), (1, 8))
        step = model(ids).logits[0, -1].argmax()
        equal(int(found[0, 3]), int(step))
    sums = small(transformers.T5ForConditionalGeneration)
    found = sums.generate(ids, max_new_tokens=4, num_beams=2)
    expect(found.shape[1] <= 5)


def saving():
    ids = torch.tensor([[2, 7, 9, 3]])
    model = small(transformers.BertForMaskedLM)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        expect(os.path.exists(f"{folder}/model.safetensors"))
        again = transformers.AutoModelForMaskedLM.from_pretrained(folder)
        close(again(ids).logits[0, 1], model(ids).logits[0, 1].tolist(), 1e-5)
        words().save_pretrained(folder)
        ask = transformers.pipeline("fill-mask", model=folder, tokenizer=folder, device="cpu")
        equal(len(ask("the [MASK] sat", top_k=3)), 3)
    raises(OSError, transformers.AutoModel.from_pretrained, "nobody/has-this-here")


def every_family():
    """Names are looked up in folders of files, some of which slimming takes."""
    for name in ("bert", "gpt2", "llama", "t5", "qwen3", "gemma3", "whisper", "vit", "clip"):
        config = transformers.AutoConfig.for_model(name)
        expect(config.model_type, name)
    for name in ("BertModel", "Qwen3ForCausalLM", "Gemma3ForCausalLM", "ViTModel", "CLIPModel"):
        expect(issubclass(getattr(transformers, name), torch.nn.Module), name)


CHECKS = (models_forward_and_back, generating, saving, every_family)
