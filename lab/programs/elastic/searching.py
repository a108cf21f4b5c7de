"""Queries over documents: match_all, term(s), match, exists, range, ids, bool; sorting and paging."""

from __future__ import annotations

from typing import Any

from lab.programs.elastic.indices import ElasticError, Index

Obj = dict[str, Any]


def search(indices: list[Index], body: Obj) -> Obj:
    """The answer to a search."""
    query = body.get("query") or {"match_all": {}}
    hits = [(index, name, source) for index in indices for name, source in index.documents.items() if fits(query, name, source)]
    for wish in reversed(_sorting(body.get("sort"))):
        hits.sort(key=lambda hit: (get(hit[2], wish[0]) is None, str(get(hit[2], wish[0]))), reverse=wish[1])
    begin, size = int(body.get("from", 0)), int(body.get("size", 10))
    page = hits[begin : begin + size]
    shown = [{"_index": index.name, "_type": "_doc", "_id": name, "_score": 1.0, "_source": source} for index, name, source in page]
    shards = {"total": len(indices), "successful": len(indices), "skipped": 0, "failed": 0}
    total = {"value": len(hits), "relation": "eq"}
    return {"took": 1, "timed_out": False, "_shards": shards, "hits": {"total": total, "max_score": 1.0 if hits else None, "hits": shown}}


def _sorting(sort: Any) -> list[tuple[str, bool]]:
    wishes = sort if isinstance(sort, list) else [sort] if sort else []
    found = []
    for wish in wishes:
        for name, how in wish.items() if isinstance(wish, dict) else [(wish, "asc")]:
            found.append((name.removesuffix(".keyword"), (how.get("order") if isinstance(how, dict) else how) == "desc"))
    return found


def get(source: Obj, path: str) -> Any:
    """A field by its dotted name; None when it is not there."""
    value: Any = source
    for part in path.removesuffix(".keyword").split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def fits(query: Obj, name: str, source: Obj) -> bool:
    """Whether a document is meant. ElasticError for a query that is not known here."""
    ((kind, wish),) = query.items() if len(query) == 1 else (("", {}),)
    if kind == "match_all":
        return True
    if kind == "ids":
        return name in (wish.get("values") or [])
    if kind == "exists":
        return get(source, wish["field"]) is not None
    if kind == "bool":
        return _bool(wish, name, source)
    if kind not in ("term", "terms", "match", "match_phrase", "range", "prefix"):
        raise ElasticError(400, "parsing_exception", f"unknown query [{kind}]", line=1, col=1)
    ((field, value),) = wish.items()
    return _field(kind, value, get(source, field))


def _bool(wish: Obj, name: str, source: Obj) -> bool:
    def clauses(kind: str) -> list[Obj]:
        found = wish.get(kind) or []
        return [found] if isinstance(found, dict) else list(found)

    needed = all(fits(one, name, source) for kind in ("must", "filter") for one in clauses(kind))
    some = clauses("should")
    optional = not some or clauses("must") or clauses("filter") or any(fits(one, name, source) for one in some)
    return bool(needed and optional and not any(fits(one, name, source) for one in clauses("must_not")))


def _field(kind: str, value: Any, found: Any) -> bool:
    if kind == "range":
        tests = {"gte": lambda a, b: a >= b, "gt": lambda a, b: a > b, "lte": lambda a, b: a <= b, "lt": lambda a, b: a < b}
        return found is not None and all(tests[name](str(found), str(bound)) for name, bound in value.items() if name in tests)
    if kind == "terms":
        return found in value
    wanted = value.get("value", value.get("query")) if isinstance(value, dict) else value
    if kind == "prefix":
        return str(found).startswith(str(wanted))
    if kind == "term":
        return bool(found == wanted) or str(found) == str(wanted)
    words = str(wanted).lower()
    text = str(found).lower()
    return words in text if kind == "match_phrase" else any(word in text.split() for word in words.split())
