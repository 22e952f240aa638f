"""What is running when a verb returns: an endpoint, or a job on a cluster."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A running HTTP endpoint."""

    url: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A submitted cluster job."""

    id: str
    address: str
    status: str
