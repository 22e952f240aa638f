"""NEFTune's noise: as strong as the paper's formula says for each packed example, and in training alone."""

from typing import Any

import pytest

from ray_ft.training.neftune import add_noise_to_embeddings, example_lengths


def make_model(alpha: float) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            vocab_size=32,
        )
    )
    add_noise_to_embeddings(model, alpha=alpha)
    return model.train()


def embeddings(model: Any, positions: Any, *, seed: int = 1) -> Any:
    """What the first layer gets."""
    import torch

    seen = []
    hook = model.model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    torch.manual_seed(seed)
    with torch.no_grad():
        model(input_ids=torch.full_like(positions, 7), position_ids=positions, use_cache=False)
    hook.remove()
    return seen[0]


def test_each_token_knows_the_length_of_its_example() -> None:
    import torch

    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])
    assert example_lengths(positions).tolist() == [[3, 3, 3, 2, 2, 1], [6] * 6]


def test_the_noise_is_uniform_and_as_strong_as_the_paper_says() -> None:
    import torch

    # Three quarters of the row are one example of 192 tokens, the rest four of 16.
    positions = torch.cat([torch.arange(192), *[torch.arange(16)] * 4])[None]
    noise = embeddings(make_model(5.0), positions) - embeddings(make_model(0.0), positions)
    for part, length in ((noise[:, :192], 192), (noise[:, 192:], 16)):
        bound = 5.0 / (length * 64) ** 0.5
        assert float(part.abs().max()) <= bound * (1 + 1e-5)
        # Uniform on [-b, b]: the mean of |x| is b / 2; 4,096 values or more put it within 5%.
        assert float(part.abs().mean()) == pytest.approx(bound / 2, rel=0.05)
        assert float(part.mean()) == pytest.approx(0.0, abs=0.05 * bound)


def test_the_noise_is_that_of_transformers_where_a_row_is_one_example() -> None:
    import torch
    from transformers.integrations.neftune import neftune_post_forward_hook

    positions = torch.arange(48)[None]
    theirs = make_model(0.0)
    theirs.get_input_embeddings().neftune_noise_alpha = 5.0
    theirs.get_input_embeddings().register_forward_hook(neftune_post_forward_hook)
    torch.testing.assert_close(embeddings(make_model(5.0), positions), embeddings(theirs, positions))


def test_equal_seeds_give_equal_noise_and_others_do_not() -> None:
    import torch

    model, positions = make_model(5.0), torch.arange(32)[None]
    first = embeddings(model, positions, seed=3)
    assert torch.equal(embeddings(model, positions, seed=3), first)
    assert not torch.equal(embeddings(model, positions, seed=4), first)


def test_evaluation_sees_no_noise_and_draws_nothing() -> None:
    import torch

    model, positions = make_model(5.0).eval(), torch.arange(32)[None]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with torch.no_grad():
        model(input_ids=positions, position_ids=positions, use_cache=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(embeddings(model, positions), embeddings(make_model(0.0).eval(), positions))
