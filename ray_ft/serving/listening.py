"""Where the endpoint listens: who may reach it, over what, and beside which others; checked before anything starts."""

import errno
import ipaddress
import socket
import ssl
from pathlib import Path

from ray_ft.config import ServingConfig
from ray_ft.errors import ConfigError
from ray_ft.serving.access.keys import ENVIRONMENT, KeyRing

WAY_IN = (
    "give serving.keys_file (`python -m ray_ft.serving.access.keys NAME` makes a key) or set "
    f"{ENVIRONMENT}; serving.open_access=true is for endpoints behind something that checks who asks"
)


def check_reach(serving: ServingConfig, keys: KeyRing) -> None:
    """Raise ConfigError where other machines could ask without a key."""
    if not keys.keys and not serving.open_access and not _is_loopback(serving.host):
        raise ConfigError(
            f"serving.host: {serving.host} can be reached from other machines, and there are no API keys; {WAY_IN}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_certificate(serving: ServingConfig) -> None:
    """Load the certificate with its key once, because Ray Serve's proxy would only fail in a log file."""
    if serving.ssl_certfile is None or serving.ssl_keyfile is None:
        return
    for name, path in (("ssl_certfile", serving.ssl_certfile), ("ssl_keyfile", serving.ssl_keyfile)):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise ConfigError(f"serving.{name}: {path}: {error.strerror or error}") from None
    try:
        # a key with a passphrase would have OpenSSL ask on the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            serving.ssl_certfile, serving.ssl_keyfile, password=lambda: ""
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"serving.ssl_certfile: {serving.ssl_certfile} and {serving.ssl_keyfile} are no certificate in PEM format "
            f"and its key, without a passphrase: {error}"
        ) from None


def is_beside_others(serving: ServingConfig) -> bool:
    """Whether Ray Serve runs already and takes this endpoint in.

    Serve keeps the host and port that it was started with. Raises ConfigError where they, the name or the route prefix
    do not let this endpoint stand beside what is there.
    """
    from ray import serve

    if not serve.status().proxies:
        return False
    from ray.serve.context import _get_global_client  # what is public does not tell where Serve listens

    client = _get_global_client()
    options, there = client.http_config, client.get_serve_details()["applications"]
    if (options.host, options.port, options.ssl_certfile) != (serving.host, serving.port, serving.ssl_certfile):
        raise ConfigError(
            f"Ray Serve is already running on this cluster, on {options.host}:{options.port}; stop it with `serve "
            "shutdown`, or serve there too, with the same serving.host, serving.port and certificate and a "
            "serving.name and serving.route_prefix of its own"
        )
    if serving.name in there:
        raise ConfigError(f"serving.name: an endpoint {serving.name!r} runs already on this cluster; give another name")
    for name, application in there.items():
        if application["route_prefix"] == serving.route_prefix:
            raise ConfigError(
                f"serving.route_prefix: {serving.route_prefix} is taken by the endpoint {name!r} on this cluster; give "
                f"another, e.g. serving.route_prefix=/{serving.name}"
            )
    return True


def check_port(serving: ServingConfig) -> None:
    """Bind the port once, because Ray Serve would only say so in a log file. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((serving.host, serving.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"serving.port: {serving.port} is in use on {serving.host}; "
                    f"choose another, e.g. serving.port={serving.port + 1}"
                ) from None
            raise ConfigError(
                f"serving.host: cannot listen on {serving.host}:{serving.port}: {error.strerror or error}"
            ) from None


def url_of(serving: ServingConfig) -> str:
    """An address that a client on this machine can use; all interfaces include the local one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(serving.host, serving.host)
    scheme = "http" if serving.ssl_certfile is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{serving.port}{serving.route_prefix.rstrip('/')}"
