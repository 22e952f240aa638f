"""Writes data through a server's chat API."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from ray_ft.engines.openai.client import make_client, no_answer, response_format
from ray_ft.engines.requests import WriteRequest, Written
from ray_ft.errors import first_line

if TYPE_CHECKING:
    from ray_ft.engines.openai import OpenAIEngine


class ServerWriter:
    """A `Writer` that asks the server's base model."""

    def __init__(self, engine: "OpenAIEngine") -> None:
        self._engine = engine
        self._client = make_client(engine, "OpenAI")

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        """Answers with the places of their requests, in the order in which they come."""
        with ThreadPoolExecutor(max(1, self._engine.max_in_flight)) as threads:
            places = {threads.submit(self._ask, request): i for i, request in enumerate(requests)}
            try:
                for done in as_completed(places):
                    yield places[done], done.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask(self, request: WriteRequest) -> Written:
        """One answer; what the server refuses for this request alone is an error of the answer."""
        import openai

        client: Any = self._client.chat.completions
        try:
            response = client.create(
                model=self._engine.model,
                messages=request.messages,
                max_tokens=request.max_new_tokens,
                temperature=request.temperature,
                seed=request.seed,
                **response_format(self._engine, request.schema),
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Written("", f"the server refused: {first_line(error)}"[:300])
        except openai.OpenAIError as error:
            raise no_answer(self._engine, self._engine.model, error) from None
        message = response.choices[0].message if response.choices else None
        return Written(message.content) if message and message.content else Written("", "the server gave no text")
