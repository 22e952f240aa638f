"""The kernels that only a GPU has, beside plain ones; `scripts/test tests/gpu` on a machine with one."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ray_ft.training.kernels import attention
from ray_ft.training.kernels.attention import packed_lengths, use_packed_attention
from ray_ft.training.kernels.lora import _frozen, fuse_lora
from ray_ft.training.kernels.nf4 import dequantise
from ray_ft.training.kernels.recompute import recompute_layers

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def quantised_linear(inputs, outputs, seed):
    import bitsandbytes as bnb

    torch.manual_seed(seed)
    layer = bnb.nn.Linear4bit(inputs, outputs, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    return layer.cuda()


@pytest.mark.parametrize("shape", [(64, 128), (4096, 11008), (192, 320)])
def test_four_bits_come_back_bit_by_bit_as_bitsandbytes_has_them(shape):
    import bitsandbytes as bnb

    layer = quantised_linear(*shape, seed=0)
    state = layer.weight.quant_state
    state.dtype = torch.bfloat16
    expected = bnb.functional.dequantize_4bit(layer.weight.data, state)
    found = dequantise(_frozen(layer), outputs=shape[1], dtype=torch.bfloat16)
    assert torch.equal(found, expected.view(found.shape))


def make_model(quantised=False):
    config = LlamaConfig(
        hidden_size=512, intermediate_size=1024, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=1000, use_cache=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).cuda().to(torch.bfloat16)
    if quantised:
        import bitsandbytes as bnb

        for layer in model.model.layers:
            for parent in (layer.self_attn, layer.mlp):
                for name, child in list(parent.named_children()):
                    if isinstance(child, torch.nn.Linear):
                        new = bnb.nn.Linear4bit(
                            child.in_features, child.out_features, bias=False, compute_dtype=torch.bfloat16,
                            compress_statistics=True, quant_type="nf4",
                        )  # fmt: skip
                        new.weight = bnb.nn.Params4bit(
                            child.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
                        ).cuda()
                        setattr(parent, name, new)
        model.is_loaded_in_4bit = True
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora, autocast_adapter_dtype=False)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.bfloat16)
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.train()


def batch():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 1000, (2, 512), generator=generator)
    packed = torch.cat([torch.arange(n) for n in (200, 1, 63, 128, 120)])
    positions = torch.stack([packed, torch.arange(512)])
    return {"input_ids": ids.cuda(), "labels": ids.cuda(), "position_ids": positions.cuda()}, packed_lengths(positions)


def run(model, borders=None):
    inputs, lengths = batch()
    if borders:
        inputs |= {k: v.cuda() if torch.is_tensor(v) else v for k, v in lengths.items()}
    model.zero_grad()
    loss = model(**inputs, use_cache=False).loss
    loss.backward()
    return loss.item(), {n: p.grad.float() for n, p in model.named_parameters() if p.grad is not None}


def assert_close(found, expected, tolerance):
    assert found[0] == pytest.approx(expected[0], rel=2e-3)
    for name, gradient in expected[1].items():
        error = (found[1][name] - gradient).norm() / gradient.norm()
        assert error < tolerance, f"{name}: {error:.3f}"


@pytest.mark.parametrize("kernel", ["flash2", "flash4"])
def test_packed_attention_is_transformers_masked_attention(kernel, monkeypatch):
    if kernel == "flash4" and not attention._has_flash4():
        pytest.skip("flash-attn-4 is not installed")
    model = make_model()
    expected = run(model)
    monkeypatch.setattr(attention, "_has_flash4", lambda: kernel == "flash4")
    assert use_packed_attention(model.get_base_model()) == kernel
    # bf16 rounds to 3 significant digits, and a layer's errors add up to some percent of its gradient.
    assert_close(run(model, borders=True), expected, tolerance=0.05)


@pytest.mark.parametrize("quantised", [False, True])
def test_fused_adapters_are_pefts(quantised):
    model = make_model(quantised)
    expected = run(model)
    assert fuse_lora(model) == 21
    assert_close(run(model), expected, tolerance=0.05)


@pytest.mark.parametrize("keep", ["products", "attention"])
def test_activations_in_host_memory_come_back_as_they_were(keep, monkeypatch):
    from ray_ft.training.kernels import recompute

    monkeypatch.setattr(recompute, "OFFLOADED_BYTES", 1024)
    model = make_model()
    base = model.get_base_model()
    use_packed_attention(base)
    fuse_lora(model)
    expected = run(model, borders=True)
    recompute_layers(base, base.model.layers, keep=keep, offload=True)
    for _ in range(3):  # buffers are used again
        assert_close(run(model, borders=True), expected, tolerance=0.02)


def test_compiled_layers_are_the_layers_as_written():
    from ray_ft.training.kernels import _compile

    model = make_model()
    base = model.get_base_model()
    use_packed_attention(base)
    fuse_lora(model)
    expected = run(model, borders=True)
    recompute_layers(base, base.model.layers, keep="products", offload=False)
    _compile(base, list(base.model.layers))
    assert_close(run(model, borders=True), expected, tolerance=0.05)


def test_the_update_in_one_pass_is_torch_s_and_rounds_the_weights():
    from ray_ft.training.kernels import adamw

    torch.manual_seed(0)
    weight = torch.randn(300, 1031, device="cuda", dtype=torch.bfloat16)
    master = weight.float()
    reference = torch.nn.Parameter(master.clone())
    group = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    optimizer = torch.optim.AdamW([reference], fused=True, **group)
    state = {"step": torch.zeros((), device="cuda"), "exp_avg": torch.zeros_like(master)}
    state["exp_avg_sq"] = torch.zeros_like(master)
    one, zero = torch.ones((), device="cuda"), torch.zeros((), device="cuda")
    assert adamw.can_update(master, weight)
    for _ in range(30):
        gradient = torch.randn_like(weight)
        state["step"] += 1
        adamw.update(weight, master, state, gradient, group=group, divisor=one, skipped=zero)
        reference.grad = gradient.float()
        optimizer.step()
    torch.testing.assert_close(master, reference.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(weight, master.to(torch.bfloat16))
    adamw.update(weight, master, state, gradient, group=group, divisor=one, skipped=one)
    assert torch.equal(weight, master.to(torch.bfloat16))
