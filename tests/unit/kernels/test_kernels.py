import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from ray_ft.kernels.attention import ATTENTION, packed_lengths, use_packed_attention
from ray_ft.kernels.lora import FusedForward, fuse_lora
from ray_ft.kernels.recompute import recompute_layers

SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 61, "use_cache": False,
}  # fmt: skip


def make_model(kind="llama", **lora):
    torch.manual_seed(0)
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SIZES))
    else:  # biases on q, k and v
        model = Qwen2ForCausalLM(Qwen2Config(**SIZES))
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **lora)
    model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at the start, which would hide half of the arithmetic
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def make_batch():
    """Two rows of 24 tokens: one of three examples, one of a single example."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 61, (2, 24), generator=generator)
    packed = torch.cat([torch.arange(9), torch.arange(1), torch.arange(14)])
    return {"input_ids": ids, "labels": ids, "position_ids": torch.stack([packed, torch.arange(24)])}


def loss_and_gradients(model, **extra):
    batch = make_batch()
    model.zero_grad()
    loss = model(**batch, use_cache=False, **extra).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=0)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-7, msg=name)


def borders():
    return packed_lengths(make_batch()["position_ids"])


def test_borders_are_where_positions_restart():
    assert borders()["cu_seq_lens_q"].tolist() == [0, 9, 10, 24, 48]
    assert borders()["max_length_q"] == 24


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_packed_attention_equals_transformers_masked_attention(kind):
    model = make_model(kind)
    expected = loss_and_gradients(model)
    assert use_packed_attention(model.get_base_model()) == "examples"
    assert model.get_base_model().config._attn_implementation == ATTENTION
    assert_equal(loss_and_gradients(model, **borders()), expected)


def test_packed_attention_keeps_examples_apart():
    model = make_model()
    use_packed_attention(model.get_base_model())
    batch = make_batch()
    with torch.no_grad():
        before = model(**batch, **borders()).logits
        batch["input_ids"][0, :9] = 3  # the first example of the first row
        after = model(**batch, **borders()).logits
    torch.testing.assert_close(after[0, 9:], before[0, 9:], rtol=0, atol=0)
    assert not torch.equal(after[0, :9], before[0, :9])


def test_attention_with_dropout_stays_with_transformers():
    model = LlamaForCausalLM(LlamaConfig(**SIZES, attention_dropout=0.1))
    assert use_packed_attention(model) is None


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_fused_adapters_equal_pefts(kind):
    model = make_model(kind)
    expected = loss_and_gradients(model)
    assert fuse_lora(model) == 2 * 7
    assert_equal(loss_and_gradients(model), expected)


def test_adapters_of_different_ranks_are_fused_one_by_one():
    model = make_model(rank_pattern={"k_proj": 2}, alpha_pattern={"k_proj": 4})
    expected = loss_and_gradients(model)
    fuse_lora(model)
    attention = model.get_base_model().model.layers[0].self_attn
    assert len(attention.q_proj.fused_group.members) == 1
    assert len(model.get_base_model().model.layers[0].mlp.up_proj.fused_group.members) == 2
    assert_equal(loss_and_gradients(model), expected)


@pytest.mark.parametrize("variant", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_variants_keep_pefts_own_forward(variant):
    model = make_model(**variant)
    assert fuse_lora(model) == 0
    assert not any(isinstance(module, FusedForward) for module in model.modules())


def test_names_of_parameters_stay_pefts():
    model = make_model()
    names = list(model.state_dict())
    fuse_lora(model)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("keep", ["products", "attention", "inputs"])
def test_recomputed_layers_give_equal_gradients(keep):
    model = make_model()
    use_packed_attention(model.get_base_model())
    fuse_lora(model)
    expected = loss_and_gradients(model, **borders())
    base = model.get_base_model()
    recompute_layers(base, base.model.layers, keep=keep, offload=False)
    assert_equal(loss_and_gradients(model, **borders()), expected)


def test_the_less_is_kept_the_less_memory_is_held():
    held = {}
    for keep in ("products", "attention", "inputs"):
        model = make_model()
        use_packed_attention(model.get_base_model())
        fuse_lora(model)
        base = model.get_base_model()
        recompute_layers(base, base.model.layers, keep=keep, offload=False)
        held[keep] = _bytes_held(model)
    assert held["products"] > held["attention"] > held["inputs"]


def _bytes_held(model):
    """Bytes of activations that an eager selective checkpoint stores, by running its own cache."""
    from torch.utils import checkpoint

    stored = []

    class Counting(checkpoint._CachingTorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = super().__torch_dispatch__(func, types, args, kwargs)
            if self.policy_fn(None, func, *args, **(kwargs or {})) is checkpoint.CheckpointPolicy.MUST_SAVE:
                tensors = out if isinstance(out, tuple | list) else [out]
                stored.append(sum(t.numel() * t.element_size() for t in tensors))
            return out

    plain, checkpoint._CachingTorchDispatchMode = checkpoint._CachingTorchDispatchMode, Counting
    try:
        loss_and_gradients(model, **borders())
    finally:
        checkpoint._CachingTorchDispatchMode = plain
    return sum(stored)


def test_dropout_is_drawn_alike_when_a_layer_is_recomputed():
    gradients = []
    for recomputed in (False, True):
        model = make_model(lora_dropout=0.5)
        base = model.get_base_model()
        use_packed_attention(base)
        if recomputed:
            recompute_layers(base, base.model.layers, keep="products", offload=False)
        torch.manual_seed(7)
        gradients.append(loss_and_gradients(model, **borders()))
    assert_equal(gradients[1], gradients[0])
