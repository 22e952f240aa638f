"""Names that are served, for tests of what does not care how they came."""

from dataclasses import dataclass

from ray_ft.serving.adapters import ServedModel, short_name, unknown_model


@dataclass(frozen=True)
class Catalogue:
    """Served models that stay what they are, the base first."""

    models: tuple[ServedModel, ...]

    @property
    def base(self) -> ServedModel:
        """The base model."""
        return self.models[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """All names."""
        return tuple(model.id for model in self.models)

    def find(self, name: str, *, user: str | None = None) -> ServedModel:
        """The model a request names: a base, an adapter, or `base:adapter`. Raises ApiError 404."""
        short = short_name(name, self.base.id)
        for model in self.models:
            if model.id == name or (model.id == short and model.adapter is not None):
                return model
        raise unknown_model(name, self.ids)
