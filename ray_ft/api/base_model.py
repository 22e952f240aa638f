"""The base of a configuration: its shape for a plan, its folder for the stages that run it."""

from ray_ft.config import Config
from ray_ft.models.added_tokens import with_added_tokens
from ray_ft.models.config_json import load_model_config
from ray_ft.models.folder import resolve_model
from ray_ft.models.quantised import refuse_foreign_quantisation
from ray_ft.models.shape import MODEL_TYPES, ModelShape, load_model_shape


def shape_of_base(config: Config) -> ModelShape:
    """The base's shape, with the run's own tokens in it."""
    shape = load_model_shape(config.model.name, revision=config.model.revision)
    return shape.with_added_tokens(len(config.model.added_tokens))


def traceable_shape(config: Config) -> ModelShape:
    """The same, by a trace for an architecture without formulas."""
    values, _ = load_model_config(config.model.name, revision=config.model.revision)
    if values.get("model_type") in MODEL_TYPES:
        return shape_of_base(config)
    from ray_ft.planning.trace.shape import shape_by_trace

    return shape_by_trace(values, config.model.name).with_added_tokens(len(config.model.added_tokens))


def base_path(config: Config, *, tokenizer_only: bool = False) -> str:
    """Local folder of the base, with the run's own tokens in it; ModelError where its files hold no whole model."""
    model = config.model
    path = resolve_model(
        model.name, output_dir=config.output_dir, revision=model.revision, tokenizer_only=tokenizer_only
    )
    if tokenizer_only:
        refuse_foreign_quantisation(load_model_config(path)[0], model.name)
    else:
        from ray_ft.models.weights import check_base

        check_base(path)
    return with_added_tokens(path, model.added_tokens, output_dir=config.output_dir, tokenizer_only=tokenizer_only)
