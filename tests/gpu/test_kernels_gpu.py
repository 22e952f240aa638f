"""The kernels that only a GPU has, beside plain ones; `scripts/test tests/gpu` on a machine with one."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ray_ft.kernels import adapter_gradients, attention, elementwise
from ray_ft.kernels.attention import packed_lengths, use_packed_attention
from ray_ft.kernels.lora import _frozen, fuse_lora
from ray_ft.kernels.nf4 import dequantise
from ray_ft.kernels.recompute import recompute_layers
from ray_ft.kernels.rotary import fuse_rotary
from ray_ft.kernels.swiglu import fuse_swiglu

BF16 = {"device": "cuda", "dtype": torch.bfloat16}

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


@pytest.mark.parametrize(("outputs", "rank"), [(4096, 16), (1000, 64), (11008, 8)])
def test_two_gradients_of_one_reading_are_those_of_two_products(outputs, rank):
    grad, inner = torch.randn(3000, outputs, **BF16), torch.randn(3000, 2 * rank, **BF16)
    b, grads = torch.randn(outputs, rank, **BF16), torch.zeros(3000, 2 * rank, **BF16)
    assert adapter_gradients.has_kernel(grad, rank)
    again = [adapter_gradients.gradients(grad, b, inner[:, rank:], grads[:, rank:], scale=2.0) for _ in range(2)]
    assert torch.equal(*again)
    for found, expected in (
        (grads[:, rank:], 2 * grad.float() @ b.float()),
        (again[0], 2 * grad.float().t() @ inner[:, rank:].float()),
    ):
        assert (found.float() - expected).norm() < 0.004 * expected.norm()  # 8 digits: 2^-9 of each at most
    assert (grads[:, :rank] == 0).all()


@pytest.mark.parametrize("quantised", [False, True])
def test_fused_adapters_are_pefts(quantised):
    model = make_model(quantised)
    expected = run(model)
    assert fuse_lora(model) == 21
    assert_close(run(model), expected, tolerance=0.05)


@pytest.mark.parametrize("keep", ["products", "attention"])
def test_activations_in_host_memory_come_back_as_they_were(keep, monkeypatch):
    from ray_ft.kernels import recompute

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
    from ray_ft.training.backends.acceleration import _compile

    model = make_model()
    base = model.get_base_model()
    use_packed_attention(base)
    fuse_lora(model)
    expected = run(model, borders=True)
    recompute_layers(base, base.model.layers, keep="products", offload=False)
    _compile(base, list(base.model.layers))
    assert_close(run(model, borders=True), expected, tolerance=0.05)


def test_the_update_in_one_pass_is_torch_s_and_rounds_the_weights():
    from ray_ft.kernels import adamw

    torch.manual_seed(0)
    weight = torch.randn(1100, 1031, device="cuda", dtype=torch.bfloat16)
    master = weight.float()
    reference = torch.nn.Parameter(master.clone())
    group = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    optimizer = torch.optim.AdamW([reference], fused=True, **group)
    state = {"step": torch.zeros((), device="cuda"), "exp_avg": torch.zeros_like(master)}
    state["exp_avg_sq"] = torch.zeros_like(master)
    one, zero = torch.ones((), device="cuda"), torch.zeros((), device="cuda")
    assert adamw.can_update([master], [weight])
    assert not adamw.can_update([master, one], [weight, one.bfloat16()])
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("shape", [(1, 1), (37, 341), (512, 11008)])
def test_gates_are_multiplied_as_fp64_does_and_rounded_once(shape, dtype):
    torch.manual_seed(0)
    gate, up, grad = (torch.randn(shape, device="cuda").mul(3).to(dtype) for _ in range(3))
    buffer = grad.clone()
    found = elementwise.silu_mul(gate, up), *elementwise.silu_mul_backward(buffer, gate, up, buffer), buffer
    wide = [t.double().requires_grad_() for t in (gate, up)]
    product = torch.nn.functional.silu(wide[0]) * wide[1]
    expected = product, *torch.autograd.grad(product, wide, grad.double()), product
    for one, other in zip(found, expected, strict=True):
        # In 16 bits half a unit in the last place, and rarely the other neighbour, where fp32 errs before it.
        rtol = max(1.2 * torch.finfo(dtype).eps, 1e-5)
        torch.testing.assert_close(one.double(), other.detach(), rtol=rtol, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("heads", "key_heads", "head_dim"), [(4, 2, 8), (28, 4, 128), (7, 1, 80)])
def test_strided_heads_are_turned_as_transformers_turns_them(heads, key_heads, head_dim, dtype):
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    torch.manual_seed(0)
    together = torch.randn(301, (heads + 2 * key_heads) * head_dim, device="cuda").to(dtype)
    query = together[:, : heads * head_dim].view(301, heads, head_dim)
    key = together[:, heads * head_dim :][:, : key_heads * head_dim].view(301, key_heads, head_dim)
    angles = torch.randn(301, head_dim // 2, device="cuda").repeat(1, 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    found = elementwise.rotate_heads(query, key, cos, sin, back=False)
    expected = apply_rotary_pos_emb(*(t.double() for t in (query, key, cos, sin)))  # heads are its dimension 1, too
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1.2 * torch.finfo(dtype).eps, atol=1e-5)
    back = elementwise.rotate_heads(*found, cos, sin, back=True)
    torch.testing.assert_close(back[0].double(), query.double(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("adapters", [True, False], ids=["adapters", "full"])
@pytest.mark.parametrize("keep", ["products", "attention"])
def test_own_kernels_in_compiled_layers_are_the_layers_as_written(keep, adapters):
    from ray_ft.training.backends.acceleration import _compile

    model = make_model()
    if not adapters:
        model = model.merge_and_unload().requires_grad_(True)
    base = model.get_base_model() if adapters else model
    use_packed_attention(base)
    if adapters:
        fuse_lora(model)
    expected = run(model, borders=True)
    assert fuse_swiglu(base) == fuse_rotary(base) == 3
    recompute_layers(base, base.model.layers, keep=keep, offload=keep == "attention")
    torch._dynamo.reset()
    _compile(base, list(base.model.layers))
    assert_close(run(model, borders=True), expected, tolerance=0.05)
