"""Cases 28, 32 and 33: what the service says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .models import DEFAULT, F, M, S, body_of

if TYPE_CHECKING:
    from .service import Service

pytestmark = [pytest.mark.model, pytest.mark.slow]


def test_case_32_the_default_model_is_first_and_every_root_is_its_own(service: Service) -> None:
    listed = service.http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [M, DEFAULT, F, S]
    for model in listed["data"]:
        assert (model["root"], model["object"], model["parent"]) == (model["id"], "model", None)
        assert service.http.get(f"/v1/models/{model['id']}").json() == model
    assert service.http.get("/v1/models/org/none").status_code == 404


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (
            "/v1/metadata",
            {
                "version",
                "modelInfo",
                "assetInfo",
                "licenseInfo",
                "repository_override",
                "selectedModelProfileId",
            },
        ),
        ("/v1/license", {"name", "path", "sha", "size", "url", "type", "content"}),
        ("/v1/manifest", {"manifest_file", "repository_override"}),
        ("/v1/version", {"release", "api"}),
    ],
)
def test_case_32_the_other_endpoints_have_their_keys(service: Service, path: str, keys: set[str]) -> None:
    answer = service.http.get(path)
    assert answer.status_code == 200
    assert keys <= answer.json().keys()


def test_case_28_every_error_of_the_framework_is_of_the_one_kind(service: Service) -> None:
    for method, path, status in (
        ("GET", "/v1/none", 404),
        ("GET", "/v1/embeddings", 405),
        ("POST", "/v1/models", 405),
        ("PUT", "/v1/embeddings", 405),
    ):
        answer = service.http.request(method, path)
        fields = answer.json()
        assert answer.status_code == status
        assert isinstance(fields["detail"], dict)
        assert fields["error"]["message"]
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics"])
def test_case_33_counters_rise_by_exactly_the_traffic(service: Service, path: str) -> None:
    def counted() -> dict[tuple[str, ...], float]:
        text = service.http.get(path).text
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    before = counted()
    answers = [service.ok(body_of(F, ["a", "b c"])) for _ in range(3)]
    service.refused(body_of(F, ""))
    after = counted()

    risen = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    tokens = [rise for (name, *labels), rise in risen.items() if "tokens" in name and F in labels]
    assert tokens == [sum(answer.tokens for answer in answers)]
    requests = {tuple(labels): rise for (name, *labels), rise in risen.items() if "requests" in name}
    of_embeddings = {labels: rise for labels, rise in requests.items() if "/v1/embeddings" in labels}
    assert sorted(of_embeddings.values()) == [1, 3]
