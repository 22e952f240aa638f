"""The YAML keys of the endpoint: a section of `keys`."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ServingConfig:
    """Where and what the endpoint serves."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on."""
    adapters: dict[str, str] = field(default_factory=dict)
    """More adapters, as name: folder; this run's own is always served under run_name."""
    max_new_tokens: int = 512
    """Longest answer when a request names none, and the most that it may ask for."""
    num_replicas: int = 1
    """Copies of the model."""
    num_gpus: float | None = None
    """GPUs of one copy, fractions share one; null takes 1 where the cluster has any and else 0."""
    max_replicas: int | None = None
    """Most copies; more are started while requests wait, and stopped again. null: always num_replicas."""
    min_replicas: int | None = None
    """Fewest copies, 0 stops all while nobody asks; null: num_replicas, with which an endpoint starts."""
    requests_per_replica: float = 32.0
    """Open requests of one copy beyond which another is started, where max_replicas lets it."""
    idle_seconds: float = 600.0
    """How long a copy has to be too many before it is stopped."""
    keys_file: str | None = None
    """YAML or JSON file of API keys, read again when it changes; RAY_FT_API_KEY holds one more. null: no keys."""
    open_access: bool = False
    """Serve other machines without keys: only where something in front checks who asks."""
    max_open: int = 1024
    """Answers being made or waiting, of all clients; more get status 429."""
    max_open_tokens: int = 4_000_000
    """Tokens that open answers may take, their prompts included; more get status 429."""
    drain_seconds: float = 60.0
    """How long open answers may go on once the endpoint is told to stop."""
    strict: bool = False
    """Refuse requests with fields that are not known; else a header of the response names them."""
    access_log: bool = True
    """One JSON line for every request, in the log of the gateway's process."""
    ssl_certfile: str | None = None
    """Certificate chain in PEM format, to speak HTTPS; with ssl_keyfile."""
    ssl_keyfile: str | None = None
    """The certificate's private key in PEM format."""
    name: str = "ray_ft"
    """The endpoint's name on its cluster; two endpoints have two."""
    route_prefix: str = "/"
    """Path before all routes; two endpoints of one cluster share host and port and have two."""
    retrieval: bool = False
    """Let requests ask for answers with passages of the run's documents, which those who ask then can read."""
    adapter_roots: list[str] = field(default_factory=list)
    """Folders below which adapters may be loaded over HTTP, beside output_dir."""
    adapter_wait_s: float = 30.0
    """How long a request waits for an adapter that is being loaded, in seconds."""
    keep_versions: int = 3
    """Newest versions of an adapter that stay, beside those that an alias, experiment or shadow names."""
    watch: dict[str, str] = field(default_factory=dict)
    """Runs that are followed, as name: run folder; each new checkpoint becomes a version of the name."""
