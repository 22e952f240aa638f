"""Models with random weights, made where they will train; a 70B in NF4 never exists in bf16."""

from typing import Any

from bench.timed_steps.shapes import Shape


def random_model(shape: Shape, *, device: Any, dtype: Any, seed: int, quantization: Any = None) -> Any:
    """LlamaForCausalLM on `device`, as `random_causal_lm` makes it."""
    from transformers import LlamaConfig

    config = LlamaConfig(**shape.config(), dtype=dtype, use_cache=False)
    return random_causal_lm(config, device=device, dtype=dtype, seed=seed, quantization=quantization)


def random_causal_lm(config: Any, *, device: Any, dtype: Any, seed: int, quantization: Any = None) -> Any:
    """The model of a transformers config on `device`.

    With a BitsAndBytesConfig the decoder's linear layers are quantised one by one.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    generator = torch.Generator(device).manual_seed(seed)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if quantization is not None and type(child) is torch.nn.Linear and child is not model.lm_head:
                setattr(module, name, _quantised(child, quantization, device, dtype, generator))
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.device.type == "meta":
                filled = _random(parameter, device, dtype, generator) if parameter.dim() > 1 else None
                plain = torch.zeros if name == "bias" else torch.ones
                value = plain(parameter.shape, device=device, dtype=dtype) if filled is None else filled
                setattr(module, name, torch.nn.Parameter(value))
    model.tie_weights()
    for module in model.modules():  # the rotary frequencies
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))
    if quantization is not None:
        _mark_as_quantised(model, quantization)
    return model


def _random(parameter: Any, device: Any, dtype: Any, generator: Any) -> Any:
    import torch

    # Llama's initial deviation; the same numbers whether they are quantised afterwards or not.
    return torch.empty(parameter.shape, device=device, dtype=dtype).normal_(0.0, 0.02, generator=generator)


def _quantised(linear: Any, quantization: Any, device: Any, dtype: Any, generator: Any) -> Any:
    """bitsandbytes' layer in place of a linear layer without weights."""
    import bitsandbytes as bnb

    layer = bnb.nn.Linear4bit(
        linear.in_features, linear.out_features, bias=linear.bias is not None,
        compute_dtype=quantization.bnb_4bit_compute_dtype,
        compress_statistics=quantization.bnb_4bit_use_double_quant, quant_type=quantization.bnb_4bit_quant_type,
        quant_storage=quantization.bnb_4bit_quant_storage, device="meta",
    )  # fmt: skip
    layer.weight = bnb.nn.Params4bit(
        _random(linear.weight, device, dtype, generator), requires_grad=False,
        compress_statistics=quantization.bnb_4bit_use_double_quant, quant_type=quantization.bnb_4bit_quant_type,
        quant_storage=quantization.bnb_4bit_quant_storage, module=layer,
    ).to(device)  # fmt: skip
    return layer


def _mark_as_quantised(model: Any, quantization: Any) -> None:
    """What from_pretrained leaves on a model that it has quantised, and PEFT asks for."""
    from transformers.quantizers import AutoHfQuantizer

    model.is_loaded_in_4bit, model.is_quantized = True, True
    model.quantization_method = quantization.quant_method
    model.config.quantization_config = quantization
    model.hf_quantizer = AutoHfQuantizer.from_config(quantization)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
