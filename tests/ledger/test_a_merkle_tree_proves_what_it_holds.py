"""RFC 6962 trees, checked against the definition written out and against the RFC's own examples."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.ledger import merkle


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def leaves_of(n: int) -> list[bytes]:
    return [merkle.leaf_hash(str(i).encode()) for i in range(n)]


def reader(leaves: list[bytes]) -> merkle.NodeReader:
    return lambda level, index: mth(leaves[index << level : (index + 1) << level])


def test_known_roots() -> None:
    """Vectors of the certificate-transparency reference tests."""
    data = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"]
    frontier, roots = merkle.Frontier(), []
    for item in data:
        frontier.append(merkle.leaf_hash(item))
        roots.append(frontier.root().hex())
    assert roots[0] == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert roots[1] == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert roots[7] == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.integers(0, 300))
def test_the_frontier_has_the_root_of_the_definition(n: int) -> None:
    frontier = merkle.Frontier()
    for leaf in leaves_of(n):
        frontier.append(leaf)
    assert frontier.root() == mth(leaves_of(n))


@given(st.integers(1, 200), st.data())
def test_every_inclusion_proof_leads_to_the_root_and_no_changed_one_does(n: int, data: st.DataObject) -> None:
    leaves = leaves_of(n)
    index = data.draw(st.integers(0, n - 1))
    proof = merkle.inclusion_proof(reader(leaves), index, n)
    assert merkle.root_from_inclusion(leaves[index], index, n, proof) == mth(leaves)
    assert merkle.root_from_inclusion(merkle.leaf_hash(b"forged"), index, n, proof) != mth(leaves)
    with pytest.raises(ValueError, match="too"):
        merkle.root_from_inclusion(leaves[index], index, n, [*proof, b"\0" * 32])
    if proof:
        with pytest.raises(ValueError, match="too short"):
            merkle.root_from_inclusion(leaves[index], index, n, proof[:-1])


@given(st.integers(1, 150), st.integers(1, 150))
def test_consistency_proofs_hold_for_prefixes_only(a: int, b: int) -> None:
    old, new = sorted((a, b))
    leaves = leaves_of(new)
    proof = merkle.consistency_proof(reader(leaves), old, new)
    assert merkle.is_consistent(old, mth(leaves[:old]), new, mth(leaves), proof)
    forked = mth([*leaves[: old - 1], merkle.leaf_hash(b"fork")])
    assert not merkle.is_consistent(old, forked, new, mth(leaves), proof)


@given(st.integers(1, 700), st.data())
def test_nodes_come_out_of_tiles(n: int, data: st.DataObject) -> None:
    from watchbill.ledger.sealer import _Tiles

    leaves, tiles, kept = leaves_of(n), _Tiles({}), {}
    start = 0
    while start < n:
        step = data.draw(st.integers(1, 300))
        for number in range(start, min(n, start + step)):
            tiles.add(0, number, leaves[number])
        start += step
        kept |= tiles.changed
        tiles = _Tiles(tiles.edges)
    for level, index in merkle.peaks_of(n):
        if level <= 8:
            assert merkle.node_from_tiles(lambda t, i: kept.get((t, i), b""), level, index) == mth(
                leaves[index << level : (index + 1) << level]
            )
