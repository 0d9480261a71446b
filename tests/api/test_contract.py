"""Requests made up from the OpenAPI document, at the real program: none of them may break it."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.browser.server import Server

GENERATING = ("/chat/stream", "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses")
BRIEF = settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def test_no_request_made_up_from_the_document_is_a_500(server: Server):
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 22
    for operation in operations:

        @BRIEF
        @given(operation.as_strategy() | operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
        def check(case: schemathesis.Case) -> None:
            if isinstance(case.body, dict) and case.path in GENERATING:
                case.body |= {"max_output_tokens": 2} if case.path == "/v1/responses" else {"max_tokens": 2}
            response = case.call(base_url=server.url, timeout=60)
            assert response.status_code < 500, (case.method, case.path, response.text)

        check()
