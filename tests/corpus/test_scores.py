"""The labelled documents: precision first, because a wrong policy pages people at night. Skips where the corpus is absent."""

import pytest

from tests.corpus.score import CORPUS, KINDS, PAGING, labels, pooled, score, values

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"{CORPUS} is not here")


def test_at_least_forty_documents_are_labelled_and_there() -> None:
    told = labels()
    assert len(told) >= 40
    assert [path for path in told if not (CORPUS / path).is_file()] == []


def test_precision_and_recall_hold() -> None:
    counts, mistakes = score()
    precision, recall, *_ = pooled(counts, PAGING)
    assert (precision >= 0.97, recall >= 0.65) == (True, True), mistakes
    assert pooled(counts, KINDS)[0] >= 0.95, mistakes
    for kind in KINDS:
        if counts[kind]["hit"] + counts[kind]["missed"] >= 10:
            precision, recall, *_ = pooled(counts, (kind,))
            assert (precision >= 0.85, recall >= 0.4) == (True, True), (kind, mistakes)


@pytest.mark.parametrize(("sort", "least"), [("d", 0.95), ("f", 0.95), ("o", 0.9)])
def test_values_are_read_exactly(sort: str, least: float) -> None:
    exact, total, mistakes = values()[sort]
    assert total >= 40
    assert exact / total >= least, mistakes
