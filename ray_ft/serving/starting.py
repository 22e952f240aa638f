"""Starts an application on Ray Serve, and says what became of it."""

import json
import logging
from typing import TYPE_CHECKING

from ray_ft.artifacts import Endpoint
from ray_ft.config import ServingConfig
from ray_ft.errors import ModelError
from ray_ft.serving.stopping import shutdown

if TYPE_CHECKING:
    from ray.serve import Application

logger = logging.getLogger(__name__)


def start(application: "Application", serving: ServingConfig) -> None:
    """Start Serve and wait until the model is loaded; a failure leaves nothing running."""
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    if not logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # importing Serve has set it to INFO
    options = HTTPOptions(
        host=serving.host, port=serving.port, ssl_keyfile=serving.ssl_keyfile, ssl_certfile=serving.ssl_certfile
    )
    serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=options)
    try:
        serve.run(application, name=serving.name, route_prefix=serving.route_prefix)
    except RuntimeError as error:
        failed = serve.status().applications.get(serving.name)
        reason = _reason([str(error), *(d.message for d in (failed.deployments.values() if failed else ()))])
        shutdown(serving.name)
        raise ModelError(f"the endpoint did not start: {reason}") from None
    except BaseException:
        shutdown(serving.name)
        raise


def _reason(messages: list[str]) -> str:
    """The replica's own error, out of the tracebacks that Serve passes on as text; else the last line of all."""
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    ours = [line.partition(": ")[2] for line in lines if line.startswith("ray_ft.errors.")]
    return (ours or lines or ["no reason given"])[-1]


def greeting(endpoint: Endpoint, *, needs_key: bool = False) -> str:
    """What a user who started an endpoint is told: where it is, and a command to try."""
    body = json.dumps({"model": endpoint.models[-1], "messages": [{"role": "user", "content": "Hello"}]})
    key = "-H 'Authorization: Bearer KEY' " if needs_key else ""
    return (
        f"Serving {', '.join(endpoint.models)} at {endpoint.url}/v1 (stop with Ctrl-C), in a browser at "
        f"{endpoint.url}/playground. Try:\n"
        f"curl {endpoint.url}/v1/chat/completions {key}-H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
