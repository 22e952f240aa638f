"""Kernels of our own beside the layers as transformers writes them, and Triton's beside PyTorch's."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from ray_ft.kernels import elementwise
from ray_ft.kernels.attention import packed_lengths, use_packed_attention
from ray_ft.kernels.lora import fuse_lora
from ray_ft.kernels.recompute import recompute_layers
from ray_ft.kernels.rotary import fuse_rotary
from ray_ft.kernels.swiglu import fuse_swiglu

SIZES = {
    "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 61, "head_dim": 8, "sliding_window": None,
}  # fmt: skip


def make_model(kind, *, adapters, dtype=torch.float32, **lora):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES), dtype=dtype)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:  # zeros and ones at the start, which would hide them
            torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
    if adapters:
        config = LoraConfig(r=4, lora_alpha=8, **{"target_modules": "all-linear"} | lora, task_type="CAUSAL_LM")
        model = get_peft_model(model, config, autocast_adapter_dtype=False)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def base_of(model):
    return model.get_base_model() if hasattr(model, "peft_config") else model


def loss_and_gradients(model):
    """Two rows of 24 tokens: one of three examples, one of a single example."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 61, (2, 24), generator=generator)
    packed = torch.cat([torch.arange(9), torch.arange(1), torch.arange(14)])
    positions = torch.stack([packed, torch.arange(24)])
    model.zero_grad()
    batch = {"input_ids": ids, "labels": ids, "position_ids": positions}
    loss = model(**batch, **packed_lengths(positions), use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(found, expected, *, rtol=1e-4, atol=1e-6):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=0)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=rtol, atol=atol, msg=name)


@pytest.mark.parametrize("adapters", [True, False], ids=["adapters", "full"])
@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_own_kernels_give_transformers_loss_and_gradients(kind, adapters):
    # fp64, so that only an error in the arithmetic can show; transformers' norms and angles stay in fp32.
    model = make_model(kind, adapters=adapters, dtype=torch.float64)
    base = base_of(model)
    use_packed_attention(base)
    expected = loss_and_gradients(model)
    if adapters:
        fuse_lora(model)
    assert fuse_swiglu(base) == fuse_rotary(base) == 2
    assert_equal(loss_and_gradients(model), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("lora", [{"target_modules": ["q_proj"]}, {"lora_dropout": 1e-9}, {"use_dora": True}])
def test_a_down_projection_that_is_not_fused_gets_the_product_alone(lora):
    model = make_model("llama", adapters=True, **lora)
    use_packed_attention(base_of(model))
    expected = loss_and_gradients(model)
    fuse_lora(model)
    assert fuse_swiglu(base_of(model)) == 2
    assert_equal(loss_and_gradients(model), expected)


@pytest.mark.parametrize("change", [{"hidden_act": "gelu"}, {"hidden_act": "relu"}])
def test_other_activations_stay_with_transformers(change):
    config = AutoConfig.for_model("llama", **SIZES, **change)
    assert fuse_swiglu(AutoModelForCausalLM.from_config(config)) == 0


def test_architectures_that_are_not_known_stay_with_transformers():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("olmo2", **SIZES))
    use_packed_attention(model)
    assert fuse_swiglu(model) == fuse_rotary(model) == 0


def test_attention_with_a_mask_stays_with_transformers():
    assert fuse_rotary(make_model("llama", adapters=False)) == 0


def test_a_sample_with_a_cache_is_the_same():
    model = make_model("qwen3", adapters=False).eval()
    ids = torch.arange(7)[None]
    use_packed_attention(model)
    expected = model.generate(ids, max_new_tokens=5, do_sample=False, return_dict_in_generate=True, output_logits=True)
    assert fuse_swiglu(model) == fuse_rotary(model) == 2
    found = model.generate(ids, max_new_tokens=5, do_sample=False, return_dict_in_generate=True, output_logits=True)
    for step, logits in zip(found.logits, expected.logits, strict=True):
        torch.testing.assert_close(step, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("keep", "compiled", "adapters"),
    [
        *((keep, False, adapters) for keep in ("products", "attention", "inputs") for adapters in (True, False)),
        ("products", True, True),
        ("attention", True, True),
        ("products", True, False),
    ],
)
def test_recomputed_layers_give_equal_gradients(keep, compiled, adapters):
    model = make_model("llama", adapters=adapters)
    base = base_of(model)
    use_packed_attention(base)
    expected = loss_and_gradients(model)
    fused(model, adapters)
    recompute_layers(base, base.model.layers, keep=keep, offload=False)
    if compiled:  # as torch.compile sees it, without the code that Inductor would make
        for layer in base.model.layers:
            layer.compile(backend="aot_eager_decomp_partition", fullgraph=True)
    try:
        assert_equal(loss_and_gradients(model), expected)
    finally:
        torch._dynamo.reset()


def fused(model, adapters):
    base = base_of(model)
    if adapters:
        fuse_lora(model)
    fuse_swiglu(base)
    fuse_rotary(base)


@pytest.mark.parametrize("keep", ["products", "attention"])
@pytest.mark.parametrize("adapters", [True, False], ids=["adapters", "full"])
def test_the_product_is_neither_kept_nor_computed_twice(keep, adapters):
    graphs = compiled_graphs(keep, adapters)
    operator = "gated_lora" if adapters else "gated_linear"
    forward, backward = graphs
    assert called(forward).count(f"ray_ft.{operator}.default") == 1
    assert called(backward).count(f"ray_ft.{operator}_backward.default") == 1
    assert not {"ray_ft.silu_mul.default", f"ray_ft.{operator}.default"} & {*called(backward)}
    width = SIZES["intermediate_size"]
    wide = [node for node in kept(forward) if node.meta["val"].shape[-1] == width and node.op == "call_function"]
    assert len(wide) == (2 if keep == "products" else 0)  # gate and up


def test_turned_heads_are_kept_with_the_products_and_the_others_are_not():
    forward, backward = compiled_graphs("products", True)
    assert called(backward).count("ray_ft.rotate_heads.default") == 1  # back
    # Of 48 tokens: turned queries [4 heads of 8], turned keys, values and attention, each once.
    shapes = [tuple(node.meta["val"].shape) for node in kept(forward) if node.op == "call_function"]
    assert shapes.count((48, 4, 8)) == 2
    assert shapes.count((48, 2, 8)) == 1  # the values are kept as they come from their projection: [48, 16]
    assert shapes.count((48, 16)) == 1
    assert shapes.count((48, 32)) == 1  # what o_proj gives; no queries that are yet to turn


def compiled_graphs(keep, adapters):
    """The forward and backward graphs of the first layer, as torch.compile divides it."""
    from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
    from torch._dynamo.backends.common import aot_autograd

    graphs = []

    def compiler(graph, _):
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    model = make_model("llama", adapters=adapters)
    base = base_of(model)
    use_packed_attention(base)
    fused(model, adapters)
    recompute_layers(base, base.model.layers, keep=keep, offload=False)
    backend = aot_autograd(
        fw_compiler=compiler, bw_compiler=compiler, partition_fn=min_cut_rematerialization_partition
    )  # fmt: skip
    base.model.layers[0].compile(backend=backend, fullgraph=True)
    try:
        loss_and_gradients(model)
    finally:
        torch._dynamo.reset()
    assert len(graphs) == 2
    return graphs


def called(graph):
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def kept(forward):
    """What the forward graph returns beside the layer's output."""
    (output,) = (node for node in forward.graph.nodes if node.op == "output")
    return [node for node in output.args[0][1:] if hasattr(node, "meta") and hasattr(node.meta.get("val"), "shape")]


def test_gradients_are_those_of_small_differences():
    fused(make_model("llama", adapters=True), True)  # makes the operators
    ops = torch.ops.ray_ft
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True)

    gate, up = draw(3, 5), draw(3, 5)
    assert torch.autograd.gradcheck(ops.silu_mul, (gate, up))
    weight = draw(4, 5)
    linear = lambda g, u, w: ops.gated_linear(g, u, ops.silu_mul(g.detach(), u.detach()), w)  # noqa: E731
    assert torch.autograd.gradcheck(linear, (gate, up, weight))
    a, b, frozen = draw(2, 5), draw(4, 2), draw(4, 5).detach()

    def lora(g, u, a, b):
        product = ops.silu_mul(g.detach(), u.detach())
        return ops.gated_lora(g, u, product, ops.lora_inner(product, [a.detach()]), [frozen], a, b, 0.5)

    assert torch.autograd.gradcheck(lora, (gate, up, a, b))
    angles = draw(3, 2).detach()
    cos, sin = (torch.cat([turn(angles)] * 2, dim=-1) for turn in (torch.cos, torch.sin))
    heads = draw(3, 2, 4), draw(3, 1, 4)
    assert torch.autograd.gradcheck(lambda q, k: ops.rotate_heads(q, k, cos, sin, False), heads)


@pytest.fixture
def both(monkeypatch):
    """Runs a function without and with Triton's kernels, which its interpreter runs on the CPU."""
    pytest.importorskip("triton.language")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(elementwise, "_made", {})

    beyond = []  # what follows each result in memory, which no program may write to

    def guarded(shape, *, dtype, **_):
        count = torch.Size(shape).numel()
        memory = torch.full((count + 512,), 7.0, dtype=dtype)
        beyond.append(memory[count:])
        return memory[:count].view(shape)

    def run(function):
        plain = function()
        with monkeypatch.context() as patch:
            patch.setattr(elementwise, "_has_kernel", lambda tensor: True)
            patch.setattr(torch, "empty", guarded)
            patch.setattr(torch, "empty_like", lambda like: guarded(like.shape, dtype=like.dtype))
            found = function()
        assert beyond
        assert all((rest == 7.0).all() for rest in beyond)
        return found, plain

    return run


# fp16 may round the other way where fp32 differs in its last place. The interpreter cuts bf16 off where a GPU rounds
# to the nearest, so its results are up to a unit in the last of 8 places away.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=["fp32", "fp16", "bf16"])


def assert_same(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=TOLERANCE[dtype], atol=1e-6)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (3, 341), (2, 1024), (5, 3, 207)])
def test_triton_multiplies_gates_as_pytorch_does(both, shape, dtype):
    generator = torch.Generator().manual_seed(0)
    gate, up, grad = (torch.randn(shape, generator=generator).mul(3).to(dtype) for _ in range(3))
    gate.view(-1)[0] = -60.0  # exp(60) fits in fp32, and in no 16 bits of fp16

    def function():
        buffer = grad.clone()
        grads = elementwise.silu_mul_backward(buffer, gate, up, buffer)
        return elementwise.silu_mul(gate, up), *grads, *elementwise.silu_mul_backward(grad, gate, up), buffer

    found, plain = both(function)
    assert_same(found, plain, dtype)
    assert_same(found[-1:], found[:1], dtype)  # the product that the backward pass writes over its gradient


@DTYPES
@pytest.mark.parametrize(("heads", "key_heads", "head_dim"), [(4, 2, 8), (7, 1, 24), (3, 3, 128), (1, 1, 2)])
@pytest.mark.parametrize("back", [False, True])
def test_triton_turns_strided_heads_as_pytorch_does(both, heads, key_heads, head_dim, back, dtype):
    generator = torch.Generator().manual_seed(0)
    together = torch.randn(13, (heads + 2 * key_heads) * head_dim, generator=generator).to(dtype)
    query, key, _ = together.split([heads * head_dim, key_heads * head_dim, key_heads * head_dim], dim=1)
    query, key = query.view(13, heads, head_dim), key.view(13, key_heads, head_dim)
    angles = torch.randn(13, head_dim // 2, generator=generator).repeat(1, 2)
    found, plain = both(
        lambda: elementwise.rotate_heads(query, key, angles.cos().to(dtype), angles.sin().to(dtype), back=back)
    )
    for one, other in zip(found, plain, strict=True):
        # A difference of two products can be near zero, where their last places are not.
        torch.testing.assert_close(one, other, rtol=TOLERANCE[dtype], atol=1e-6)
        assert one.is_contiguous()


def test_turning_back_undoes_turning(both):
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(5, 2, 8, generator=generator), torch.randn(5, 1, 8, generator=generator)
    angles = torch.randn(5, 4, generator=generator).repeat(1, 2)
    turn = angles.cos(), angles.sin()
    rotate = elementwise.rotate_heads
    for found in both(lambda: rotate(*rotate(query, key, *turn, back=False), *turn, back=True)):
        torch.testing.assert_close(found[0], query)
        torch.testing.assert_close(found[1], key)
